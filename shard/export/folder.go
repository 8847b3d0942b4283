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
	"path"
	"path/filepath"
	"syscall"
	"unicode/utf8"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/shard"
)

// folder writes files, and leaves alone those that are there with the right
// bytes. No link that lies in the tree is followed.
func (e *exporter) folder(p Split) error {
	root, err := os.OpenRoot(e.out)
	if err != nil {
		return err
	}
	defer root.Close()
	names := newNamer(p.View, e.tree.choices)
	dirs := map[string]bool{}
	err = e.each(p.View, 0, p.View.Len(), func(i int, b []byte) error {
		name, err := names.name(i)
		if err != nil {
			return err
		}
		file := path.Join(p.Name, name)
		if err := makeDirs(root, path.Dir(file), dirs); err != nil {
			return err
		}
		return putFile(root, file, b)
	})
	if err != nil {
		return err
	}
	for dir := range dirs {
		if err := durable.SyncDir(filepath.Join(e.out, filepath.FromSlash(dir))); err != nil {
			return err
		}
	}
	if e.mark.Anew {
		if err := e.wantNoOthers(p); err != nil {
			return err
		}
	}
	e.o.Made(p.Name)
	return nil
}

// wantNoOthers wants in the tree of a split no files but its images: where the mark was
// damaged there may have been another export's.
func (e *exporter) wantNoOthers(p Split) error {
	n := 0
	err := filepath.WalkDir(filepath.Join(e.out, p.Name), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".aside" {
			n++
		}
		return err
	})
	if err == nil && n != p.View.Len() {
		err = fmt.Errorf("%w: %s was damaged, and there are %d files of %d images: another export was in it; give another directory",
			shard.ErrCorrupt, markName, n, p.View.Len())
	}
	return err
}

// makeDirs makes a directory and those above it, unless they are among those made.
func makeDirs(root *os.Root, dir string, made map[string]bool) error {
	if dir == "." || made[dir] {
		return nil
	}
	if err := makeDirs(root, path.Dir(dir), made); err != nil {
		return err
	}
	if err := root.Mkdir(filepath.FromSlash(dir), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := root.Lstat(filepath.FromSlash(dir))
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s: %w", filepath.Join(root.Name(), dir), durable.ErrLink)
	case !info.IsDir():
		return fmt.Errorf("%s: a file is in the place of a directory", filepath.Join(root.Name(), dir))
	}
	made[dir] = true
	return nil
}

// putFile makes file hold b. It is written aside and renamed, but not synced:
// that would take a turn of the disk for each of a million files, and a rerun
// mends what a power cut took.
func putFile(root *os.Root, file string, b []byte) error {
	name := filepath.FromSlash(file)
	if holds(root, name, b) {
		return nil
	}
	aside := filepath.Join(filepath.Dir(name), ".aside")
	f, err := createAside(root, aside)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = cmp.Or(err, f.Close()); err != nil {
		return errors.Join(err, root.Remove(aside))
	}
	return root.Rename(aside, name)
}

// holds says whether a file that is no link holds b.
func holds(root *os.Root, name string, b []byte) bool {
	info, err := root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(b)) {
		return false
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	old, err := io.ReadAll(io.LimitReader(f, info.Size()+1))
	return err == nil && bytes.Equal(old, b)
}

// createAside makes a new file: what has its name, a killed export's or a link
// to somewhere else, is removed and not written through.
func createAside(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := root.Remove(name); err != nil {
		return nil, err
	}
	return root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// plainTar writes one tar of a split.
func (e *exporter) plainTar(p Split) error {
	return e.file(p.Name+".tar", func(w io.Writer) error {
		names := newNamer(p.View, e.tree.choices)
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
