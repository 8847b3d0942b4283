package prediction

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzSidecar: what lies beside a text file is ErrFormat, or metadata that tell of that
// file alone: a sidecar with another sum is refused.
func FuzzSidecar(f *testing.F) {
	f.Add([]byte(`{"bytes":5,"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","metadata":{"synshard.predictions":"1"}}`))
	f.Add([]byte(`{"bytes":5,"metadata":{}}`))
	f.Add([]byte(`{"bytes":-1,"sha256":"","metadata":{"a":null}}`))
	dir := f.TempDir()
	path := filepath.Join(dir, "p.csv")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(sidecarName(path), text, 0o666); err != nil {
			t.Fatal(err)
		}
		s, err := readSidecar(path)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		sum := newByteSum()
		sum.Write([]byte("hello"))
		if s.check(path, sum) == nil && s.Bytes != 5 {
			t.Errorf("%d bytes are said of 5: %q", s.Bytes, text)
		}
	})
}
