package cached

import (
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage"
)

// sumEnd is the end of the file, beside a copy, that says the copy's SHA-256 in hex.
const sumEnd = ".sha256"

// Copy has an object's bytes at a path: those that an earlier Copy left there, where they still are
// what it wrote, or else fetched now. The path is to be this state of this object's alone.
func Copy(o *storage.Object, to string) error {
	note := filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+sumEnd)
	if want, err := regular.ReadFile(note, 2*sha256.Size); err == nil {
		if got, err := regular.SHA256(to); err == nil && got == string(want) {
			return nil
		}
	}
	sum := sha256.New()
	err := durable.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(io.MultiWriter(w, sum), o.Reader())
		return err
	})
	if err != nil {
		return err
	}
	return durable.WriteFile(note, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%x", sum.Sum(nil))
		return err
	})
}
