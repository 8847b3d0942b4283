package export

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// folder writes files, and leaves alone those that are there with the right
// bytes.
func (e *exporter) folder(p Split) error {
	names := newNamer(p.View, treeChoices)
	dirs := map[string]bool{}
	err := e.each(p.View, 0, p.View.Len(), func(i int, b []byte) error {
		name, err := names.name(i)
		if err != nil {
			return err
		}
		file := filepath.Join(e.out, p.Name, filepath.FromSlash(name))
		if dir := filepath.Dir(file); !dirs[dir] {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
			dirs[dir] = true
		}
		return putFile(file, b)
	})
	if err != nil {
		return err
	}
	for dir := range dirs {
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	e.o.Made(p.Name)
	return nil
}

// putFile makes file hold b. It is written aside and renamed, but not synced:
// that would take a turn of the disk for each of a million files, and a rerun
// mends what a power cut took.
func putFile(file string, b []byte) error {
	if info, err := os.Stat(file); err == nil && info.Size() == int64(len(b)) {
		if old, err := regular.ReadFile(file, int64(len(b))); err == nil && bytes.Equal(old, b) {
			return nil
		}
	}
	aside, err := createAside(filepath.Join(filepath.Dir(file), ".aside"))
	if err != nil {
		return err
	}
	_, err = aside.Write(b)
	if err = cmp.Or(err, aside.Close()); err != nil {
		return errors.Join(err, os.Remove(aside.Name()))
	}
	return os.Rename(aside.Name(), file)
}

// createAside makes a new file: what has its name, a killed export's or a link
// to somewhere else, is removed and not written through.
func createAside(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := os.Remove(name); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// plainTar writes one tar of a split.
func (e *exporter) plainTar(p Split) error {
	return e.file(p.Name+".tar", func(w io.Writer) error {
		names := newNamer(p.View, treeChoices)
		t := tar.NewWriter(w)
		err := e.each(p.View, 0, p.View.Len(), func(i int, b []byte) error {
			name, err := names.name(i)
			if err != nil {
				return err
			}
			return member(t, name, b)
		})
		return cmp.Or(err, t.Close())
	}, p.View, 0, p.View.Len())
}

// member adds a file to a tar, with the same head whenever it is written.
func member(t *tar.Writer, name string, b []byte) error {
	h := &tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644}
	if !utf8.ValidString(name) {
		h.Format = tar.FormatGNU // which takes bytes as they are
	}
	if err := t.WriteHeader(h); err != nil {
		return fmt.Errorf("member %s: %w", name, err)
	}
	_, err := t.Write(b)
	return err
}
