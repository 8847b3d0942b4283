package zipfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/source/entry/entrytest"
)

// FuzzZip: the members of a zip have the sizes that are listed and the bytes that
// archive/zip reads there, or an error; time is bounded.
func FuzzZip(f *testing.F) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"a/1.jpg", "b\\2.jpg", "../3.jpg", "\x824.jpg", "dir/"} {
		w, err := z.Create(name)
		if err != nil {
			f.Fatal(err)
		}
		if name != "dir/" {
			io.WriteString(w, "abcabcabcabcabcabcabcabc")
		}
	}
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(append([]byte("before it"), b.Bytes()...))
	names, err := filepath.Glob("../testdata/archives/*.zip")
	if err != nil || len(names) == 0 {
		f.Fatalf("no zips to begin with: %v", err)
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && len(b) < 32<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		began := time.Now()
		theirs := contents(b)
		z := New(entrytest.Hold("x.zip", b), func(string, string, bool) {})
		entries, err := z.List(t.Context())
		if err != nil {
			return
		}
		err = z.Each(t.Context(), entries, func(e entry.Entry, text []byte, err error) error {
			switch {
			case err != nil:
				return nil
			case e.Size >= 0 && int64(len(text)) != e.Size:
				t.Errorf("%q has %d bytes, %d are listed", e.Name, len(text), e.Size)
			}
			if all := theirs[e.Name]; len(all) > 0 && !slices.Contains(all, string(text)) {
				t.Errorf("%q has other bytes than archive/zip gives: %.50q", e.Name, text)
			}
			return nil
		})
		if err != nil && !errors.Is(err, entry.ErrCorrupt) {
			t.Errorf("an error of no kind: %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%d bytes are read in %v", len(b), took)
		}
	})
}

// contents are the members that archive/zip reads, whole and with the sums they should
// have; of a name there may be several.
func contents(b []byte) map[string][]string {
	out := map[string][]string{}
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil
	}
	for _, m := range r.File {
		in, err := m.Open()
		if err != nil || m.UncompressedSize64 > 16<<20 || !m.Mode().IsRegular() { // a link's bytes are where it leads
			continue
		}
		if text, err := io.ReadAll(in); err == nil {
			out[m.Name] = append(out[m.Name], string(text))
		}
	}
	return out
}
