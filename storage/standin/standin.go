// Package standin makes paths here that stand for URLs: copies of files, which are
// read; files that become objects when they are whole; directories that are written
// here and, in the same order, there. Libraries that know of paths alone work on them.
package standin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/cached"
)

// Paths are those of one call of a program. The zero value with Dir serves. It is for
// one goroutine.
type Paths struct {
	// Dir is where they lie. Copies stay there for later calls, until what is at their URL is another.
	Dir string
	// Besides are the endings of files that belong to another of the same name, where
	// they are there: they are copied and written with it.
	Besides []string
	Options storage.Options // how their places are opened

	names   []mapping
	copies  []*cached.Copies
	written []mapping
	places  []*storage.Place
	used    []func() error // releases of what is in use
}

// mapping is a path on this machine that stands for a URL.
type mapping struct{ path, url string }

// Place opens a place that Close closes.
func (p *Paths) Place(ctx context.Context, url string) (*storage.Place, error) {
	at, err := storage.Open(ctx, url, p.Options)
	if err == nil {
		p.places = append(p.places, at)
	}
	return at, err
}

// endings are those of a file and of those that belong to it, itself first.
func (p *Paths) endings() []string { return append([]string{""}, p.Besides...) }

// hashed is the path of a text's own directory.
func (p *Paths) hashed(kind, text string) string {
	return filepath.Join(p.Dir, kind, fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:32])
}

// claim makes a directory that is in use until Close.
func (p *Paths) claim(dir string) error {
	release, err := cached.Use(dir)
	if err != nil {
		return err
	}
	p.used = append(p.used, release)
	return durable.MkdirAll(dir)
}

// ErrName is of a URL that ends in no file's name.
var ErrName = errors.New("no file's name")

// Copy copies the file at a URL, and those that belong to it, and gives the path. What
// is here in the same state of them all, and is what was copied, is not copied again.
func (p *Paths) Copy(ctx context.Context, url string) (string, error) {
	dir, base := storage.Split(url)
	if base == "" || base == "." || base != filepath.Base(base) || !filepath.IsLocal(base) {
		return "", fmt.Errorf("%s: %q is %w", storage.Shown(url), base, ErrName)
	}
	at, err := p.Place(ctx, dir)
	if err != nil {
		return "", err
	}
	var names []string
	for _, end := range p.endings() {
		names = append(names, base+end)
	}
	copies, err := p.copyNamed(ctx, at, url, names)
	if err != nil {
		return "", err
	}
	return p.maps(filepath.Join(copies, base), url), nil
}

// Named is Copy of files directly below a URL, the first of which must be there, into a
// directory, whose path it gives.
func (p *Paths) Named(ctx context.Context, url string, names ...string) (string, error) {
	at, err := p.Place(ctx, url)
	if err != nil {
		return "", err
	}
	copies, err := p.copyNamed(ctx, at, url, names)
	if err != nil {
		return "", err
	}
	return p.maps(copies, url), nil
}

// copyNamed copies files of a place, the first of which must be there, into a directory of
// their state.
func (p *Paths) copyNamed(ctx context.Context, at *storage.Place, url string, names []string) (dir string, err error) {
	objects, state := map[string]*storage.Object{}, url
	for i, name := range names {
		o, err := at.OpenObject(ctx, name)
		if i > 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		objects[name] = o
		state += "\n" + name + " " + o.Info().ID
	}
	copies, err := p.copiesOf(ctx, url, state)
	if err != nil {
		return "", err
	}
	for name, o := range objects {
		if err := cached.Copy(o, filepath.Join(copies.Dir, name)); err != nil {
			return "", err
		}
	}
	return copies.Dir, nil
}

// copiesOf opens the directory of copies of what lies at a URL in a state.
func (p *Paths) copiesOf(ctx context.Context, url, state string) (*cached.Copies, error) {
	c, err := cached.OpenCopies(ctx, p.Dir, url, state)
	if err == nil {
		p.copies = append(p.copies, c)
	}
	return c, err
}

// Copies is Copy of all files that a URL stands for: one whose own name has a * or [ is
// a pattern of path.Match's, and one that ends in a slash stands for what lies directly
// below it. They come in order of their names; none is fs.ErrNotExist.
func (p *Paths) Copies(ctx context.Context, url string) ([]string, error) {
	front, query, asked := strings.Cut(url, "?")
	dir, pattern := storage.Split(url)
	if strings.HasSuffix(front, "/") {
		dir, pattern = url, "*"
	} else if !strings.ContainsAny(pattern, "*[") {
		one, err := p.Copy(ctx, url)
		return []string{one}, err
	}
	at, err := p.Place(ctx, dir)
	if err != nil {
		return nil, err
	}
	all, err := at.List(ctx, pattern[:strings.IndexAny(pattern, "*[")])
	if err != nil {
		return nil, err
	}
	var copies []string
	for _, i := range all {
		is, err := path.Match(pattern, i.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", storage.Shown(url), ErrName, err)
		}
		if !is || strings.HasPrefix(i.Name, ".") || slices.ContainsFunc(p.Besides, func(end string) bool { return strings.HasSuffix(i.Name, end) }) {
			continue
		}
		to := storage.Join(storage.Shown(dir), i.Name)
		if asked {
			to += "?" + query
		}
		one, err := p.Copy(ctx, to)
		if err != nil {
			return nil, err
		}
		copies = append(copies, one)
	}
	if len(copies) == 0 {
		return nil, fmt.Errorf("%s: no such objects: %w", storage.Shown(url), fs.ErrNotExist)
	}
	return copies, nil
}

// Tree copies files below a URL into a directory and gives its path: those that choose
// gives of all names, which are relative, with slashes. What is copied is of one moment:
// where others write there meanwhile, it begins again.
func (p *Paths) Tree(ctx context.Context, url string, choose func(names []string) []string) (string, error) {
	at, err := p.Place(ctx, url)
	if err != nil {
		return "", err
	}
	var copies *cached.Copies
	before, failed := "", error(nil)
	for {
		chosen, state, err := listed(ctx, at, choose)
		switch {
		case err != nil:
			return "", err
		case copies != nil && state == before:
			return p.maps(copies.Dir, url), failed
		}
		before = state
		if copies, err = p.copiesOf(ctx, url, state); err != nil {
			return "", err
		}
		failed = copyAll(ctx, at, chosen, copies.Dir)
		if failed != nil && !errors.Is(failed, fs.ErrNotExist) && !errors.Is(failed, storage.ErrChanged) {
			return "", failed
		}
	}
}

// copyAll copies objects into a directory.
func copyAll(ctx context.Context, at *storage.Place, objects []storage.Info, dir string) error {
	for _, info := range objects {
		to := filepath.Join(dir, filepath.FromSlash(info.Name))
		if err := durable.MkdirAll(filepath.Dir(to)); err != nil {
			return err
		}
		if err := cached.Copy(at.Listed(ctx, info), to); err != nil {
			return err
		}
	}
	return nil
}

// listed are the objects that choose chooses, and what tells them from others.
func listed(ctx context.Context, at *storage.Place, choose func([]string) []string) (chosen []storage.Info, state string, err error) {
	all, err := at.List(ctx, "")
	if err != nil {
		return nil, "", err
	}
	var names []string
	byName := map[string]storage.Info{}
	for _, i := range all {
		if filepath.IsLocal(filepath.FromSlash(i.Name)) && !strings.HasSuffix(i.Name, "/") {
			names = append(names, i.Name)
			byName[i.Name] = i
		}
	}
	for _, name := range choose(names) {
		chosen = append(chosen, byName[name])
		state += "\n" + name + " " + byName[name].ID
	}
	return chosen, state, nil
}

// maps notes that a path stands for a URL.
func (p *Paths) maps(path, url string) string {
	p.names = append(p.names, mapping{path, storage.Shown(url)})
	return path
}

// fetch copies an object into a file, which is whole or absent.
func fetch(o *storage.Object, to string) error {
	return durable.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, o.Reader())
		return err
	})
}

// fetchAll copies the object base of a place and those that belong to it, as far as there
// are any, into a directory.
func (p *Paths) fetchAll(ctx context.Context, place, base, dir string) error {
	at, err := p.Place(ctx, place)
	if err != nil {
		return err
	}
	for _, end := range p.endings() {
		o, err := at.OpenObject(ctx, base+end)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = fetch(o, filepath.Join(dir, base+end))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// File gives the path of a file that stands for a URL until Publish makes the object of
// it. It holds what is at the URL, so that who writes it finds what was made before, or
// what a killed call left here.
func (p *Paths) File(ctx context.Context, url string) (string, error) {
	if err := storage.Writable(url); err != nil {
		return "", err
	}
	dir, base := storage.Split(url)
	local := p.hashed("written", url)
	if err := p.claim(local); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(local)
	if err != nil {
		return "", err
	}
	if len(entries) == 0 { // else it is a killed call's, which goes on
		err := cached.Fill(local, func(to string) error { return p.fetchAll(ctx, dir, base, to) })
		if err != nil {
			return "", err
		}
	}
	path := filepath.Join(local, base)
	p.written = append(p.written, mapping{path, url})
	return p.maps(path, url), nil
}

// Publish makes the objects that the files of File stand for.
func (p *Paths) Publish(ctx context.Context) error {
	for _, s := range p.written {
		dir, base := storage.Split(s.url)
		at, err := p.Place(ctx, dir)
		if err != nil {
			return err
		}
		for _, end := range slices.Backward(p.endings()) { // the file itself last
			if _, err := os.Stat(s.path + end); errors.Is(err, fs.ErrNotExist) && end != "" {
				continue
			}
			if err := at.Put(ctx, base+end, s.path+end); err != nil {
				return err
			}
		}
		if err := cached.Discard(filepath.Dir(s.path)); err != nil {
			return err
		}
	}
	return nil
}

// Forget removes the copies that were given, of a call that found something damaged: what
// came damaged over the network is copied anew by the next one.
func (p *Paths) Forget() error {
	var failed error
	for _, c := range p.copies {
		failed = cmp.Or(failed, c.Remove())
	}
	return failed
}

// Any says whether any path stands for a URL.
func (p *Paths) Any() bool { return len(p.names) > 0 }

// Shown is a text with URLs in the place of the paths that stand for them.
func (p *Paths) Shown(text string) string {
	for _, s := range p.names {
		text = strings.ReplaceAll(text, s.path, s.url)
	}
	return text
}

// Close lets connections go.
func (p *Paths) Close() error {
	var failed error
	for _, release := range p.used {
		failed = cmp.Or(failed, release())
	}
	for _, at := range p.places {
		failed = cmp.Or(failed, at.Close())
	}
	for _, c := range p.copies {
		failed = cmp.Or(failed, c.Close())
	}
	return failed
}
