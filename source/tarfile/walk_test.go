package tarfile

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
)

// counted counts what is read in place.
type counted struct {
	io.ReaderAt
	bytes, calls int
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, at)
	c.bytes, c.calls = c.bytes+n, c.calls+1
	return n, err
}

// TestListingReadsHeadersOnly bounds what is read of an archive to list it.
func TestListingReadsHeadersOnly(t *testing.T) {
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for i := range 50 {
		err := tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("%02d.jpg", i), Size: 100000, Typeflag: tar.TypeReg})
		if _, wErr := tw.Write(make([]byte, 100000)); errors.Join(err, wErr) != nil {
			t.Fatal(err, wErr)
		}
	}
	tw.Close()
	b := out.Bytes()
	in := &counted{ReaderAt: bytes.NewReader(b)}
	w := &tarWalk{in: newWindow(in, 0, int64(len(b))), skip: func(string, string, bool) {}}
	n := 0
	if err := w.each(t.Context(), func(*member, io.Reader) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	if n != 50 || in.calls > 55 || in.bytes > 55*windowBuffer {
		t.Errorf("%d members took %d reads of %d bytes", n, in.calls, in.bytes)
	}
}
