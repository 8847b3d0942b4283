package files

import (
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

	"github.com/synshard/synshard/internal/durable"
)

// Aside is the name, beside a file of a Tree, under which it is written here.
const Aside = ".aside"

// tree writes files that are not synced one by one: that would take a turn of the disk
// for each of a million files, and a rerun mends what a power cut took. It is for one
// goroutine. No link that lies in it is followed.
type tree struct {
	root *os.Root
	dirs map[string]bool // that were made or found
}

// Tree begins to write below the directory, which must exist.
func (l Local) Tree() (Tree, error) {
	root, err := os.OpenRoot(string(l))
	if err != nil {
		return nil, err
	}
	return &tree{root, map[string]bool{}}, nil
}

// Put writes a file aside and renames it.
func (t *tree) Put(name string, b []byte) error {
	if err := t.makeDirs(path.Dir(name)); err != nil {
		return err
	}
	file := filepath.FromSlash(name)
	if t.holds(file, b) {
		return nil
	}
	aside := filepath.Join(filepath.Dir(file), Aside)
	f, err := t.createAside(aside)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = cmp.Or(err, f.Close()); err != nil {
		return errors.Join(err, t.root.Remove(aside))
	}
	return t.root.Rename(aside, file)
}

// Close syncs the directories.
func (t *tree) Close() error {
	var err error
	for dir := range t.dirs {
		err = cmp.Or(err, durable.SyncDir(filepath.Join(t.root.Name(), filepath.FromSlash(dir))))
	}
	return cmp.Or(err, t.root.Close())
}

// makeDirs makes a directory and those above it, unless they were.
func (t *tree) makeDirs(dir string) error {
	if dir == "." || t.dirs[dir] {
		return nil
	}
	if err := t.makeDirs(path.Dir(dir)); err != nil {
		return err
	}
	if err := t.root.Mkdir(filepath.FromSlash(dir), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := t.root.Lstat(filepath.FromSlash(dir))
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s: %w", filepath.Join(t.root.Name(), dir), durable.ErrLink)
	case !info.IsDir():
		return fmt.Errorf("%s: a file is in the place of a directory", filepath.Join(t.root.Name(), dir))
	}
	t.dirs[dir] = true
	return nil
}

// holds says whether a file that is no link holds b.
func (t *tree) holds(name string, b []byte) bool {
	info, err := t.root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(b)) {
		return false
	}
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	old, err := io.ReadAll(io.LimitReader(f, info.Size()+1))
	return err == nil && bytes.Equal(old, b)
}

// createAside makes a new file: what has its name, a killed writer's or a link to
// somewhere else, is removed and not written through.
func (t *tree) createAside(name string) (*os.File, error) {
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := t.root.Remove(name); err != nil {
		return nil, err
	}
	return t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}
