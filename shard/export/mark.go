package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/shard"
)

// markName is the file in which an export notes what it makes, so that the
// same one can go on and another one cannot be mixed into it.
const markName = ".synshard-export.json"

// exportVersion changes where the same export would get other names or bytes
// than before: one must not go on in the other's files.
const exportVersion = 3

// mark is what tells one export from another, and the files that it has finished.
type mark struct {
	Version    int                 `json:"version"`
	To         string              `json:"to"`
	ShardBytes int64               `json:"shard_bytes"`
	Splits     []markSplit         `json:"splits"`
	Files      map[string]finished `json:"files,omitempty"`
}

// finished is a file that is whole.
type finished struct {
	Size   int64  `json:"size"`
	CRC32C uint32 `json:"crc32c"` // Castagnoli
}

// UnmarshalJSON takes the size alone, as an earlier version wrote it, for nothing
// that is known of the bytes: the file is made again.
func (f *finished) UnmarshalJSON(b []byte) error {
	type plain finished
	if len(b) > 0 && b[0] != '{' {
		*f = finished{Size: -1}
		return nil
	}
	return json.Unmarshal(b, (*plain)(f))
}

type markSplit struct {
	Name        string `json:"split"`
	Fingerprint string `json:"fingerprint"`
	Images      int    `json:"images"`
}

func newMark(splits []Split, o Options) mark {
	m := mark{Version: exportVersion, To: o.To, ShardBytes: o.ShardBytes}
	for _, s := range splits {
		m.Splits = append(m.Splits, markSplit{s.Name, s.View.Fingerprint(), s.View.Len()})
	}
	return m
}

// begin makes the mark that of the directory out: a new one where the directory
// is empty, or that of the same export, with the files that it has finished.
func (m *mark) begin(out string) error {
	var old mark
	text, err := regular.ReadFile(filepath.Join(out, markName), regular.Document)
	if errors.Is(err, fs.ErrNotExist) {
		if err := wantEmpty(out); err != nil {
			return err
		}
		return m.write(out)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &old); err != nil {
		return fmt.Errorf("%s: %w", markName, err)
	}
	files := old.Files
	if old.Files = nil; !reflect.DeepEqual(old, *m) {
		return errors.New("another export is in it; give another directory")
	}
	m.Files = files
	return nil
}

// wantEmpty wants nothing but the lock in a directory.
func wantEmpty(out string) error {
	entries, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != shard.LockName {
			return fmt.Errorf("%s is in it already; give an empty or a new directory", e.Name())
		}
	}
	return nil
}

func (m *mark) write(out string) error {
	return durable.WriteFile(filepath.Join(out, markName), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(m)
	})
}

// has says whether a file was finished, and still is what was written.
func (m *mark) has(out, name string) bool {
	want, done := m.Files[name]
	if !done {
		return false
	}
	file := filepath.Join(out, filepath.FromSlash(name))
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() { // a link is not what was written
		return false
	}
	f, info, err := regular.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	if info.Size() != want.Size {
		return false
	}
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, f)
	return err == nil && finished{n, sum.Sum32()} == want
}

// finish notes that a file is whole.
func (m *mark) finish(out, name string, f finished) error {
	if m.Files == nil {
		m.Files = map[string]finished{}
	}
	m.Files[name] = f
	return m.write(out)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summed writes and notes what it wrote.
type summed struct {
	w io.Writer
	f finished
}

func (s *summed) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.f.Size += int64(n)
	s.f.CRC32C = crc32.Update(s.f.CRC32C, castagnoli, p[:n])
	return n, err
}
