package export

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/shard"
)

// markName is the file in which an export notes what it makes, so that the
// same one can go on and another one cannot be mixed into it.
const markName = shard.ExportMarkName

// exportVersion changes where the same export would get other names or bytes
// than before: one must not go on in the other's files.
const exportVersion = 4

// mark is what tells one export from another, and the files that it has finished.
type mark struct {
	Version    int                 `json:"version"`
	To         string              `json:"to"`
	ShardBytes int64               `json:"shard_bytes"`
	Splits     []markSplit         `json:"splits"`
	Files      map[string]finished `json:"files,omitempty"`
	Anew       bool                `json:"anew,omitempty"` // the one that was there was damaged, or is gone: until all is made again
}

// finished is a file that is whole.
type finished = shard.ExportedFile

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
// is empty, or that of the same export, with the files that it has finished. One that
// is damaged or lost tells neither: where nothing lies there that this export does not make,
// it is made anew, and so are the files.
func (m *mark) begin(out string) error {
	var old mark
	err := shard.ReadExportMark(out, &old)
	if lost := shard.ExportMarkLost(out); lost != nil {
		err = lost
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := wantEmpty(out); err != nil {
			return err
		}
		return m.write(out)
	case errors.Is(err, shard.ErrCorrupt):
		m.Anew = true
		if other := m.others(out); other != nil {
			return fmt.Errorf("%w, and %w", err, other)
		}
		return m.write(out)
	case err != nil:
		return err
	}
	m.Files, m.Anew = old.Files, old.Anew
	if !reflect.DeepEqual(old, *m) {
		return errors.New("another export is in it; give another directory")
	}
	return nil
}

// others is an error where something lies in a directory that such an export does not
// make. Pieces, whose number and bounds are another export's if its mark is, are removed.
func (m *mark) others(out string) error {
	var pieces []string
	for _, s := range m.Splits {
		switch m.To {
		case "webdataset":
			pieces = append(pieces, s.Name+"-??????.tar")
		case "hf":
			pieces = append(pieces, "data/*-?????-of-?????.parquet")
		}
	}
	for _, pattern := range pieces {
		found, err := filepath.Glob(filepath.Join(out, filepath.FromSlash(pattern)))
		for _, file := range found {
			err = cmp.Or(err, os.Remove(file))
		}
		if err != nil {
			return err
		}
	}
	own := map[string]bool{shard.LockName: true, markName: true, shard.ExportName: true, classesName: true, "data": m.To == "hf"}
	for _, s := range m.Splits {
		own[s.Name] = m.To == "folder"
		own[s.Name+".tar"] = m.To == "tar"
	}
	entries, err := os.ReadDir(out)
	for _, e := range entries {
		if !own[e.Name()] {
			return fmt.Errorf("%s is in it, which is none of this export; give another directory", e.Name())
		}
	}
	return err
}

// wantEmpty wants nothing but the lock in a directory.
func wantEmpty(out string) error {
	entries, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != shard.LockName {
			return fmt.Errorf("%s is in it already, and no %s of an export; give an empty or a new directory", e.Name(), markName)
		}
	}
	return nil
}

func (m *mark) write(out string) error { return shard.WriteExportMark(out, m) }

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
	return err == nil && finished{Size: n, CRC32C: sum.Sum32()} == want
}

// settle notes that all of an export is there, and nothing else.
func (m *mark) settle(out string) error {
	if !m.Anew {
		return nil
	}
	m.Anew = false
	return m.write(out)
}

// keep notes a file of those that are kept beside what is handed on, which are written
// each time.
func (m *mark) keep(out, name string) error {
	name = shard.ExportName + "/" + name
	f, _, err := regular.Open(filepath.Join(out, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, f)
	if is := (finished{Size: n, CRC32C: sum.Sum32()}); err == nil && m.Files[name] != is {
		return m.finish(out, name, is)
	}
	return err
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
