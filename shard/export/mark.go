package export

import (
	"encoding/json"
	"errors"
	"fmt"
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
const exportVersion = 2

// mark is what tells one export from another, and the sizes of the files that
// it has finished.
type mark struct {
	Version    int              `json:"version"`
	To         string           `json:"to"`
	ShardBytes int64            `json:"shard_bytes"`
	Splits     []markSplit      `json:"splits"`
	Files      map[string]int64 `json:"files,omitempty"`
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

// finished says whether a file was finished, and still has its size.
func (m *mark) finished(out, name string) bool {
	info, err := os.Stat(filepath.Join(out, filepath.FromSlash(name)))
	size, done := m.Files[name]
	return err == nil && done && info.Mode().IsRegular() && info.Size() == size
}

// finish notes that a file is whole.
func (m *mark) finish(out, name string) error {
	info, err := os.Stat(filepath.Join(out, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	if m.Files == nil {
		m.Files = map[string]int64{}
	}
	m.Files[name] = info.Size()
	return m.write(out)
}
