package tarfile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/source/entry/entrytest"
)

// TestAway: a compressed tar that cannot be read to its end is not called damaged.
func TestAway(t *testing.T) {
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	noise := make([]byte, 512<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	err := errors.Join(w.WriteHeader(&tar.Header{Name: "a.jpg", Size: int64(len(noise)), Mode: 0o666}))
	if _, werr := w.Write(noise); errors.Join(err, werr, w.Close()) != nil {
		t.Fatal(err, werr)
	}
	for name, compress := range map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"xz":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
		"none": func(w io.Writer) (io.WriteCloser, error) { return nopCloser{w}, nil },
	} {
		var b bytes.Buffer
		c, err := compress(&b)
		if err == nil {
			_, err = c.Write(plain.Bytes())
		}
		if err = errors.Join(err, c.Close()); err != nil {
			t.Fatal(err)
		}
		f := entrytest.Failing(entrytest.Hold("a.tar", b.Bytes()), 200<<10)
		s, err := NewStream(f, func(string, string, bool) {})
		if err == nil {
			var r io.ReadCloser
			if r, err = s.open(); err == nil {
				_, err = io.Copy(io.Discard, r)
			}
		}
		if !errors.Is(err, entrytest.ErrAway) || errors.Is(err, entry.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
