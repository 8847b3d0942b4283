package tarfile

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/gzip"
)

// members reads the members of a gzip file as one, and takes zeros behind the last for the padding that tapes and
// block devices leave, as GNU gzip does. Anything else there is damage.
type members struct {
	one *gzip.Reader // not embedded: its WriteTo ends with a member
	in  *bufio.Reader
}

func newMembers(in *bufio.Reader) (io.ReadCloser, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &members{z, in}, nil
}

// Read implements io.Reader.
func (m *members) Read(b []byte) (int, error) {
	for {
		n, err := m.one.Read(b)
		if err == io.EOF {
			err = m.next()
		}
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
	}
}

// Close implements io.Closer.
func (m *members) Close() error { return m.one.Close() }

// next begins the next member; io.EOF: there is none.
func (m *members) next() error {
	for padded := false; ; padded = true {
		b, err := m.in.ReadByte()
		switch {
		case err != nil:
			return err
		case b == 0:
			continue
		case padded:
			return gzip.ErrHeader
		}
		m.in.UnreadByte() // cannot fail: it was read
		err = m.one.Reset(m.in)
		m.one.Multistream(false)
		return err
	}
}
