package tarfile

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/source/entry/entrytest"
)

func hold(b []byte) entry.File { return entrytest.Hold("x.tar", b) }

// FuzzTar: the members of a tar, read in place and as it comes, are the same, each of the size that
// is listed, or both readers fail; time is bounded.
func FuzzTar(f *testing.F) {
	var b, inner bytes.Buffer
	for _, w := range []*tar.Writer{tar.NewWriter(&inner), tar.NewWriter(&b)} {
		for _, h := range []tar.Header{{Name: "a/1.jpg", Size: 3}, {Name: "../b//2.jpg", Size: 0, Mode: 0o644}, {Name: "link", Typeflag: tar.TypeSymlink, Linkname: "a/1.jpg"},
			{Name: "hard", Typeflag: tar.TypeLink, Linkname: "a/1.jpg"}, {Name: strings.Repeat("long/", 40) + "3.jpg", Size: 3, Format: tar.FormatPAX}, {Name: "n01.tar", Size: int64(inner.Len())}} {
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
			if h.Name == "n01.tar" {
				w.Write(inner.Bytes())
			} else if h.Size > 0 {
				io.WriteString(w, "abc")
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add(inner.Bytes())
	f.Add(inner.Bytes()[:700])
	names, err := filepath.Glob("../testdata/archives/*.tar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && len(b) < 32<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		began := time.Now()
		placed, errPlaced := inPlace(t, b)
		came, errCame := asItComes(t.Context(), b)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%d bytes are read in %v", len(b), took)
		}
		if errPlaced != nil || errCame != nil {
			return
		}
		if diff := cmp.Diff(placed, came); diff != "" {
			t.Errorf("(-in place +as it comes):\n%s", diff)
		}
	})
}

func skipped(string, string, bool) {}

func inPlace(t *testing.T, b []byte) (map[string]string, error) {
	r := New(hold(b), skipped)
	entries, err := r.List(t.Context(), true)
	if err != nil {
		return nil, err
	}
	out, bad := map[string]string{}, error(nil)
	err = r.Each(t.Context(), entries, func(e entry.Entry, b []byte, err error) error {
		if err == nil && e.Size >= 0 && int64(len(b)) != e.Size {
			t.Errorf("%q has %d bytes, %d are listed", e.Name, len(b), e.Size)
		}
		bad = errors.Join(bad, err)
		out[e.Name] = string(b)
		return nil
	})
	if len(out) != len(entries) && err == nil && bad == nil {
		t.Errorf("%d members of %d are read", len(out), len(entries))
	}
	return out, errors.Join(err, bad)
}

func asItComes(ctx context.Context, b []byte) (map[string]string, error) {
	s, err := NewStream(hold(b), skipped)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	err = s.Walk(ctx, func(e entry.Entry, r io.Reader) error {
		b, err := io.ReadAll(io.LimitReader(r, 64<<20))
		out[e.Name] = string(b)
		return err
	})
	return out, err
}
