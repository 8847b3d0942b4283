package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestArchivesLeaveOutEmptyDirectories: directories that an archive has entries of, and in which
// there is nothing but junk, are told as a folder's are.
func TestArchivesLeaveOutEmptyDirectories(t *testing.T) {
	names := []string{"./", "cat/", "cat/a.jpg", "dog/", "dog/.DS_Store", "fish/", "fish/deep/", "odd/", "odd/b.txt", ".git/", ".git/refs/", "bird/c.jpg", "bird/"}
	var asTar, asZip, packed bytes.Buffer
	tw, zw := tar.NewWriter(&asTar), zip.NewWriter(&asZip)
	for _, name := range names {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := zw.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	zw.Close()
	gz := gzip.NewWriter(&packed)
	gz.Write(asTar.Bytes())
	gz.Close()
	for name, b := range map[string][]byte{"a.tar": asTar.Bytes(), "a.zip": asZip.Bytes(), "a.tgz": packed.Bytes()} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, b, 0o666); err != nil {
			t.Fatal(err)
		}
		var got []string
		s, err := Open(t.Context(), []string{file}, Options{OnSkip: func(k Skip) {
			if k.Reason == EmptyReason {
				got = append(got, k.Name)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.Infos()[0].Sequential {
			if err := s.Walk(t.Context(), 0, func(Entry, io.Reader) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff([]string{"dog", "fish/deep"}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
