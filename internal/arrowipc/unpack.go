package arrowipc

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// unpacker unpacks the buffers of one batch. What it makes is bounded, and it
// makes no more than there are bytes for: a length is not believed, it is
// where reading ends.
type unpacker struct {
	zstd bool
	left int64 // bytes that may yet be made
}

// A batch may unpack to a hundred times its file's bytes, and so much at least.
const leastUnpacked = 256 << 20

// newUnpacker knows a BodyCompression {0 codec, 1 method}.
func newUnpacker(codec, method byte, size int64) (*unpacker, error) {
	if codec > 1 || method != 0 {
		return nil, unsupportedf("compression %d by method %d", codec, method)
	}
	return &unpacker{zstd: codec == 1, left: leastUnpacked + 100*size}, nil
}

// buffer unpacks a buffer: its length as int64, or -1 where it is as it was,
// then its bytes.
func (u *unpacker) buffer(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 8 {
		return nil, corruptf("a compressed buffer of %d bytes", len(b))
	}
	n := int64(le.Uint64(b))
	if b = b[8:]; n == -1 {
		return b, nil
	}
	if n < 0 || n > u.left {
		return nil, corruptf("a buffer that unpacks to %d bytes", n)
	}
	u.left -= n
	var in io.Reader
	if u.zstd {
		d, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(leastUnpacked))
		if err != nil {
			return nil, corruptf("unpack: %v", err)
		}
		defer d.Close()
		in = d
	} else {
		in = lz4.NewReader(bytes.NewReader(b))
	}
	// One byte more than there should be, so that too many are seen.
	var out bytes.Buffer
	out.Grow(int(min(n+1, 1<<20)))
	if _, err := out.ReadFrom(io.LimitReader(in, n+1)); err != nil {
		return nil, corruptf("unpack: %v", err)
	}
	if int64(out.Len()) != n {
		return nil, corruptf("a buffer unpacks to %d bytes or more, not %d", out.Len(), n)
	}
	return out.Bytes(), nil
}
