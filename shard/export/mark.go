package export

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"reflect"
	"strings"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
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
// is damaged or lost tells neither: where nothing is there that this export does not make,
// it is made anew, and so are the files.
func (m *mark) begin(out files.Dir) error {
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
func (m *mark) others(out files.Dir) error {
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
		in, form := path.Split(pattern)
		entries, err := out.ReadDir(path.Clean(in))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, e := range entries {
			if is, merr := path.Match(form, e.Name()); is || merr != nil {
				err = cmp.Or(err, merr, out.Remove(path.Join(in, e.Name())))
			}
		}
		if err != nil {
			return err
		}
	}
	own := map[string]bool{shard.LockName: true, markName: true, shard.ExportName: true, shard.ExportedClassesName: true,
		"data": m.To == "hf", cardName: m.To == "hf", croissantName: m.To == "hf"}
	for _, s := range m.Splits {
		own[s.Name] = m.To == "folder"
		own[s.Name+".tar"] = m.To == "tar"
	}
	entries, err := out.ReadDir(".")
	for _, e := range entries {
		if !own[e.Name()] && !strings.HasPrefix(e.Name(), shard.LockName) {
			return fmt.Errorf("%s is in it, which is not of this export; give another directory", e.Name())
		}
	}
	return err
}

// wantEmpty wants nothing but the lock in a directory.
func wantEmpty(out files.Dir) error {
	entries, err := out.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), shard.LockName) { // elsewhere, who else wants it is a file beside it
			return fmt.Errorf("%s is in it already, and no %s of an export; give an empty or a new directory", e.Name(), markName)
		}
	}
	return nil
}

func (m *mark) write(out files.Dir) error { return shard.WriteExportMark(out, m) }

// has says whether a file was finished, and still is what was written. That it cannot be told, of a store that is
// away, is an error, and not that it was not finished.
func (m *mark) has(out files.Dir, name string) (bool, error) {
	want, done := m.Files[name]
	if !done {
		return false, nil
	}
	info, err := out.Lstat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() != want.Size) { // a link is not what was written
		return false, nil
	}
	var is finished
	if err == nil {
		is.Size, is.CRC32C, err = files.CRC32C(out, name)
	}
	if shard.Damage(err) {
		return false, nil
	}
	return err == nil && is == want, err
}

// settle notes that all of an export is there, and nothing else.
func (m *mark) settle(out files.Dir) error {
	if !m.Anew {
		return nil
	}
	m.Anew = false
	return m.write(out)
}

// keep notes a file of those that are kept beside what is handed on, which are written
// each time.
func (m *mark) keep(out files.Dir, name string) error {
	name = shard.ExportName + "/" + name
	n, sum, err := files.CRC32C(out, name)
	if is := (finished{Size: n, CRC32C: sum}); err == nil && m.Files[name] != is {
		return m.finish(out, name, is)
	}
	return err
}

// finish notes that a file is whole.
func (m *mark) finish(out files.Dir, name string, f finished) error {
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
