// Package folder lists directories as a source of images: links are followed within
// the directory, or as people use them, and nothing that is no file is opened.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/source/entry"
)

// folderReaders is how many directories are listed at a time, which pays where
// a file server takes its time with each name.
const folderReaders = 8

// Folder is a directory and what is below it.
type Folder struct {
	path      string
	follow    bool
	skip      entry.SkipFunc
	container func(name string) bool
}

// New gives the folder at path, of which skip is told what is left out. With follow
// links are followed out of it. container knows the names of archives and files of
// columns, which links may then lead to wherever they are.
func New(path string, follow bool, skip entry.SkipFunc, container func(name string) bool) *Folder {
	return &Folder{path, follow, skip, container}
}

// OutReason is why a link is left out that leads out of its folder: what is there
// nobody gave.
const OutReason = "a link out of the folder, which --follow-links follows"

// List gives the files below the folder, by name. Links within it are followed, to
// directories unless they lead back to where they are; and where links are followed
// out of it, those to directories, and to images wherever they are. All else is told.
func (d *Folder) List(ctx context.Context) ([]entry.Entry, error) {
	root, err := os.Stat(d.path)
	if err != nil {
		return nil, err
	}
	real, err := realPath(d.path)
	if err != nil {
		return nil, err
	}
	l := &listing{d: d, ctx: ctx, real: real, todo: []directory{{info: root}}}
	l.more.L = &l.mu
	var wg sync.WaitGroup
	for range folderReaders {
		wg.Go(l.work)
	}
	wg.Wait()
	if l.err != nil {
		return nil, l.err
	}
	slices.SortFunc(l.skips, func(a, b entry.Skip) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range l.skips {
		d.skip(s.Name, s.Reason, s.Image)
	}
	return entry.SortByName(l.entries, d.skip), nil
}

// directory is one to be listed. Its info and those above it tell loops.
type directory struct {
	name   string // below the root; "" is the root
	info   fs.FileInfo
	above  *directory
	links  int  // on the way to it
	hidden bool // it is left out, or one above it, and looked through for images
}

// maxLinksDeep bounds what links in linked directories multiply.
const maxLinksDeep = 8

// listing is the work of listing a folder.
type listing struct {
	d    *Folder
	ctx  context.Context
	real string // the root without links

	mu      sync.Mutex
	more    sync.Cond
	todo    []directory
	working int
	entries []entry.Entry
	skips   []entry.Skip
	err     error
}

func (l *listing) work() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.todo) == 0 && l.working > 0 && l.err == nil {
			l.more.Wait()
		}
		if len(l.todo) == 0 || l.err != nil {
			return
		}
		dir := l.todo[len(l.todo)-1]
		l.todo = l.todo[:len(l.todo)-1]
		l.working++
		l.mu.Unlock()
		found, err := l.directory(&dir)
		l.mu.Lock()
		l.working--
		if err != nil && l.err == nil {
			l.err = err
		}
		l.entries = append(l.entries, found.entries...)
		l.skips = append(l.skips, found.skips...)
		l.todo = append(l.todo, found.below...)
		l.more.Broadcast()
	}
}

// found is what one directory holds.
type found struct {
	entries []entry.Entry
	skips   []entry.Skip
	below   []directory
}

func (f *found) skip(name, reason string, image bool) {
	f.skips = append(f.skips, entry.Skip{Name: name, Reason: reason, Image: image})
}

func (l *listing) directory(dir *directory) (out found, err error) {
	at := filepath.Join(l.d.path, filepath.FromSlash(dir.name))
	list, err := os.ReadDir(at)
	if err != nil {
		return out, err
	}
	for i, e := range list {
		if i%1024 == 0 && l.ctx.Err() != nil {
			return out, l.ctx.Err()
		}
		name := path.Join(dir.name, e.Name())
		hidden := e.IsDir() && entry.HiddenFolder(e.Name())
		if entry.Junk(e.Name()) && !hidden || dir.hidden && !e.IsDir() {
			reason, image := entry.Junked(name)
			out.skip(name, reason, image)
			continue
		}
		if err := l.one(dir, e, name, &out); err != nil {
			return out, err
		}
	}
	if dir.name != "" && !dir.hidden && out.nothing() {
		out.skip(dir.name, entry.EmptyReason, false)
	}
	return out, nil
}

// nothing says whether a directory holds nothing but junk.
func (f *found) nothing() bool {
	return len(f.entries)+len(f.below) == 0 && !slices.ContainsFunc(f.skips, func(s entry.Skip) bool { return s.Reason != entry.JunkReason })
}

// one notes what a name leads to.
func (l *listing) one(dir *directory, e fs.DirEntry, name string, out *found) error {
	p := filepath.Join(l.d.path, filepath.FromSlash(name))
	link := e.Type()&fs.ModeSymlink != 0
	var info fs.FileInfo
	var err error
	if link {
		info, err = os.Stat(p)
	} else {
		info, err = e.Info()
	}
	switch {
	case err != nil && link:
		out.skip(name, "a link that leads nowhere", entry.MaybeImages(name))
	case errors.Is(err, fs.ErrNotExist): // removed meanwhile
	case err != nil:
		return err
	case info.IsDir():
		next := directory{name: name, info: info, above: dir, links: dir.links, hidden: dir.hidden || entry.HiddenFolder(path.Base(name))}
		if link {
			next.links++
		}
		switch {
		case dir.loop(info), link && l.contains(p):
			out.skip(name, "a link to a directory that it is in", false)
		case link && !l.d.follow && !l.within(p):
			out.skip(name, OutReason, true)
		case next.links > maxLinksDeep:
			out.skip(name, "a link in more than eight linked directories", true)
		default:
			out.below = append(out.below, next)
		}
	case !info.Mode().IsRegular():
		out.skip(name, "not a regular file: "+regular.Kind(info.Mode()), entry.ImageName(name))
	case link && !l.d.follow && !l.within(p):
		out.skip(name, OutReason, entry.MaybeImages(name) || l.d.container(name))
	case link && !l.mayRead(p):
		out.skip(name, "a link out of the folder to what is not called as an image is", entry.ImageName(name))
	default:
		out.entries = append(out.entries, entry.Entry{Name: name, Size: info.Size(), Modified: info.ModTime().UnixNano()})
	}
	return nil
}

// loop says whether a directory is the one at hand or above it.
func (d *directory) loop(info fs.FileInfo) bool {
	for ; d != nil; d = d.above {
		if os.SameFile(d.info, info) {
			return true
		}
	}
	return false
}

// contains says whether a directory that a link leads to is above the whole
// tree.
func (l *listing) contains(link string) bool {
	to, err := realPath(link)
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(to, l.real)
	return err == nil && filepath.IsLocal(rel)
}

// realPath gives a path without links, from the root.
func realPath(p string) (string, error) {
	p, err := filepath.EvalSymlinks(p)
	if err != nil {
		return "", err
	}
	return filepath.Abs(p)
}

// within says whether a link leads to what is of this tree.
func (l *listing) within(link string) bool {
	to, err := realPath(link)
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(l.real, to)
	return err == nil && filepath.IsLocal(rel)
}

// mayRead says whether a link leads to a file that is of this tree, or that an
// image may be: one that is called so, or an object of a store that names
// objects by their content, where the link has the image's name. A link to
// anything else would put a file into a dataset that nobody gave.
func (l *listing) mayRead(p string) bool {
	to, err := realPath(p)
	if err != nil {
		return false
	}
	return l.within(p) || entry.ImageName(to) || l.d.container(to) || contentName(filepath.Base(to))
}

// contentName knows a name that is a digest in hexadecimal digits, of 128 bits
// or more.
func contentName(s string) bool {
	return len(s) >= 30 && strings.Trim(s, "0123456789abcdef") == ""
}

// Read gives a file's bytes. Whatever is wrong with it is its own.
func (d *Folder) Read(e *entry.Entry, buf []byte) ([]byte, error) {
	return entry.ReadImage(filepath.Join(d.path, filepath.FromSlash(e.Name)), buf)
}

// Head gives a file's first bytes, as many as buf has or the file.
func (d *Folder) Head(e *entry.Entry, buf []byte) ([]byte, error) {
	f, _, err := regular.Open(filepath.Join(d.path, filepath.FromSlash(e.Name)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", entry.ErrUnreadable, err)
	}
	defer f.Close()
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w: %w", entry.ErrUnreadable, err)
	}
	return buf[:n], nil
}

// Each reads files in the order given.
func (d *Folder) Each(ctx context.Context, entries []entry.Entry, f entry.Visit) error {
	return entry.EachRead(ctx, d, entries, f)
}

// Unchanged has nothing to ask: a folder's files are each their own, with their
// times.
func (d *Folder) Unchanged() error {
	if _, err := os.Stat(d.path); err != nil {
		return fmt.Errorf("the folder is gone: %w", err)
	}
	return nil
}
