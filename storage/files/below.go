package files

import (
	"io/fs"
	"path"
	"strings"
)

// Below is a directory of a directory.
func Below(d Dir, name string) Dir { return below{d, name} }

type below struct {
	d  Dir
	in string
}

func (b below) name(name string) string { return path.Join(b.in, name) }

func (b below) String() string                             { return b.d.Path(b.in) }
func (b below) Path(name string) string                    { return b.d.Path(b.name(name)) }
func (b below) Create(name string) (File, error)           { return b.d.Create(b.name(name)) }
func (b below) Open(name string) (Opened, error)           { return b.d.Open(b.name(name)) }
func (b below) Stat(name string) (fs.FileInfo, error)      { return b.d.Stat(b.name(name)) }
func (b below) Lstat(name string) (fs.FileInfo, error)     { return b.d.Lstat(b.name(name)) }
func (b below) ReadDir(name string) ([]fs.DirEntry, error) { return b.d.ReadDir(b.name(name)) }
func (b below) MkdirAll(name string) error                 { return b.d.MkdirAll(b.name(name)) }
func (b below) MkdirBelow(name string) error               { return b.d.MkdirBelow(b.name(name)) }
func (b below) Remove(name string) error                   { return b.d.Remove(b.name(name)) }
func (b below) RemoveAll(name string) error                { return b.d.RemoveAll(b.name(name)) }
func (b below) Rename(from, to string) error               { return b.d.Rename(b.name(from), b.name(to)) }
func (b below) Sync(name string) error                     { return b.d.Sync(b.name(name)) }
func (b below) Touch(name string) error                    { return b.d.Touch(b.name(name)) }
func (b below) RemoveTemps(name string, deep bool) error   { return b.d.RemoveTemps(b.name(name), deep) }
func (b below) TryLock(name string) (Lock, error)          { return b.d.TryLock(b.name(name)) }
func (b below) TryShare(name, member string) (Lock, error) { return b.d.TryShare(b.name(name), member) }
func (b below) AtOnce() int                                { return b.d.AtOnce() }

func (b below) Walk(name string, f func(name string, e fs.DirEntry) error) error {
	return b.d.Walk(b.name(name), func(name string, e fs.DirEntry) error {
		return f(strings.TrimPrefix(name, path.Clean(b.in)+"/"), e)
	})
}

// Tree is of names as the directory above has them.
func (b below) Tree() (Tree, error) {
	t, err := b.d.Tree()
	if err != nil {
		return nil, err
	}
	return belowTree{b, t}, nil
}

type belowTree struct {
	b below
	Tree
}

func (t belowTree) Put(name string, b []byte) error { return t.Tree.Put(t.b.name(name), b) }
