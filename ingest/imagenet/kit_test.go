package imagenet

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/mat5"
)

// TestMeta reads what scipy wrote.
func TestMeta(t *testing.T) {
	b, err := os.ReadFile("testdata/meta_scipy.mat")
	if err != nil {
		t.Fatal(err)
	}
	var want []Synset
	golden.Read(t, "testdata/meta_scipy.json", &want)
	got, err := readMeta(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for i := range b { // no damage may do more than give an error
		c := bytes.Clone(b)
		c[i] ^= 0xff
		if _, err := readMeta(c); err != nil && !errors.Is(err, mat5.ErrMalformed) {
			t.Errorf("byte %d: %v", i, err)
		}
		if part, err := readMeta(b[:i]); err == nil && !cmp.Equal(part, want) { // the array may be whole without what follows
			t.Errorf("the first %d bytes give %+v", i, part)
		}
	}
}

func FuzzReadMeta(f *testing.F) {
	b, err := os.ReadFile("testdata/meta_scipy.mat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := readMeta(b); err != nil && !errors.Is(err, mat5.ErrMalformed) {
			t.Fatalf("an error of another kind: %v", err)
		}
	})
}

func FuzzReadKit(f *testing.F) {
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "data/" + truthName, Size: 4}), func() error { _, err := w.Write([]byte("1\n2\n")); return err }(), w.Close()); err != nil {
		f.Fatal(err)
	}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain.Bytes()); err != nil || z.Close() != nil {
		f.Fatal("cannot compress")
	}
	f.Add(plain.Bytes())
	f.Add(packed.Bytes())
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, fmt.Sprint(os.Getpid()))
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		if k, err := ReadKit(t.Context(), path); err == nil && len(k.Synsets) == 0 {
			t.Fatal("a kit without synsets is accepted")
		}
	})
}
