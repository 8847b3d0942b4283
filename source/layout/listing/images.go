// Package listing reads the lists that lie beside the images of a tree and say of them
// what names do not: splits, as Food-101's meta/train.txt and CUB-200's three files do, and
// labels, as Caffe's val.txt, MXNet's .lst and Kaggle's train.csv do. Which images a list
// speaks of, the names in it tell: with or without endings, from the root of the tree, from
// the list's own directory or from one of the images'.
package listing

import (
	"path"
	"slices"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/naming"
)

// Images are the images of a tree, found by what lists call them.
type Images struct {
	paths  []string
	byPath map[string]int32 // by the path without its ending, the first
	next   []int32          // the next image of the same path but for the ending; -1: none
	byName map[string]int32 // by the base name without its ending; several: -1
	dirs   []string         // that hold images, in order
}

// NewImages gives the images of these paths, with slashes from the root of the tree.
func NewImages(paths []string) *Images {
	x := &Images{paths: paths, byPath: make(map[string]int32, len(paths)), next: make([]int32, len(paths)), byName: make(map[string]int32, len(paths))}
	dirs := map[string]bool{}
	for i, p := range paths {
		key := stem(p)
		x.next[i] = -1
		if first, ok := x.byPath[key]; ok {
			x.next[i] = first
		}
		x.byPath[key] = int32(i)
		dir, _ := naming.Cut(p)
		dirs[dir] = true
		if base := naming.Base(key); x.byName[base] != 0 {
			x.byName[base] = -1
		} else {
			x.byName[base] = int32(i) + 1
		}
	}
	for d := range dirs {
		x.dirs = append(x.dirs, d)
	}
	slices.Sort(x.dirs)
	return x
}

// stem is a path without the ending of an image's name.
func stem(p string) string {
	if source.ImageName(p) {
		return strings.TrimSuffix(p, path.Ext(p))
	}
	return p
}

// known says whether a name may be that of one of the images, wherever it lies.
func (x *Images) known(name string) bool {
	name = clean(name)
	if _, ok := x.byName[naming.Base(stem(name))]; !ok || name == "" {
		return false
	}
	return true
}

// clean is a name in a list as a path from some directory.
func clean(name string) string {
	name = strings.ReplaceAll(strings.TrimSpace(name), `\`, "/")
	if len(name) > 1 && name[1] == ':' { // C:\data
		name = name[2:]
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// find gives the image that a path leads to, with its ending or without; -1: none, or
// several.
func (x *Images) find(p string) int32 {
	at, ok := x.byPath[stem(p)]
	if !ok {
		return -1
	}
	if !source.ImageName(p) {
		if x.next[at] >= 0 {
			return -1
		}
		return at
	}
	for ; at >= 0; at = x.next[at] {
		if x.paths[at] == p {
			return at
		}
	}
	return -1
}

// Found is what the names of a list lead to.
type Found struct {
	Images  []int32 // of each name: a place in the paths; -1: none
	Missing int     // how many lead to none
	First   string  // the first of these
	// Doubt are two directories from which the names lead to as many images; no
	// directory is told apart then, and no name leads to any.
	Doubt []string
}

// tries is how many names are asked for the directory that they start from.
const tries = 16

// start is where the names of a list begin: so many elements are left off, and the rest
// is below a directory.
type start struct {
	strip int
	dir   string
}

// Find gives the images that names lead to, of a list in the directory dir. All names
// start from one directory: that from which most lead to images, of several the list's
// own, the root, or the one that is called after the split. Names without directories may
// also be those of images wherever they lie.
func (x *Images) Find(names []string, dir, split string) Found {
	cleaned := make([]string, len(names))
	flat := true
	for i, n := range names {
		cleaned[i] = clean(n)
		flat = flat && !strings.Contains(cleaned[i], "/")
	}
	var best Found
	var from []start
	for _, s := range x.starts(cleaned, absolute(names[0])) {
		f := x.from(cleaned, s)
		switch {
		case len(from) == 0 || f.Missing < best.Missing:
			best, from = f, []start{s}
		case f.Missing == best.Missing:
			from = append(from, s)
		}
	}
	if flat && (len(from) == 0 || best.Missing > 0) {
		if f := x.anywhere(cleaned); len(from) == 0 || f.Missing < best.Missing {
			return f
		}
	}
	if len(from) == 0 {
		return Found{Images: none(len(names)), Missing: len(names), First: names[0]}
	}
	if len(from) > 1 {
		s, ok := preferred(from, dir, split)
		if !ok {
			return Found{Images: none(len(names)), Missing: len(names), First: names[0], Doubt: []string{from[0].dir, from[1].dir}}
		}
		best = x.from(cleaned, s)
	}
	return best
}

func none(n int) []int32 { return slices.Repeat([]int32{-1}, n) }

// absolute says whether a path is one of some machine's: what is above the images says nothing
// then.
func absolute(name string) bool {
	name = strings.ReplaceAll(strings.TrimSpace(name), `\`, "/")
	return strings.HasPrefix(name, "/") || len(name) > 1 && name[1] == ':'
}

// starts are the places from which one of the first names leads to an image, those that leave the
// least off: one directory stays, unless bare.
func (x *Images) starts(names []string, bare bool) []start {
	seen := map[start]bool{}
	var out []start
	for _, n := range names[:min(len(names), tries)] {
		for strip := 0; n != ""; strip++ {
			for _, d := range x.dirs {
				within, _ := naming.Cut(n)
				if d != within && !strings.HasSuffix(d, "/"+within) && within != "" {
					continue
				}
				s := start{strip, strings.TrimSuffix(strings.TrimSuffix(d, within), "/")}
				if !seen[s] && x.find(path.Join(s.dir, n)) >= 0 {
					seen[s] = true
					out = append(out, s)
				}
			}
			if len(out) > 0 {
				break
			}
			if _, n, _ = strings.Cut(n, "/"); !bare && !strings.Contains(n, "/") {
				break
			}
		}
	}
	return out
}

// from gives the images that names lead to from one place.
func (x *Images) from(names []string, s start) Found {
	return found(names, func(n string) int32 {
		for range s.strip {
			_, n, _ = strings.Cut(n, "/")
		}
		return x.find(path.Join(s.dir, n))
	})
}

// anywhere gives the only images of these names.
func (x *Images) anywhere(names []string) Found {
	return found(names, func(n string) int32 {
		at := x.byName[stem(n)] - 1
		if at < 0 || source.ImageName(n) && naming.Base(x.paths[at]) != n {
			return -1
		}
		return at
	})
}

func found(names []string, find func(string) int32) Found {
	f := Found{Images: make([]int32, len(names))}
	for i, n := range names {
		if f.Images[i] = find(n); f.Images[i] < 0 {
			if f.Missing++; f.Missing == 1 {
				f.First = n
			}
		}
	}
	return f
}

// preferred is the place that names start from by themselves: nothing is left off, from the
// list's own directory, from the root, or from a directory called after the list's split.
func preferred(all []start, dir, split string) (start, bool) {
	for _, want := range []string{dir, ""} {
		if i := slices.Index(all, start{0, want}); i >= 0 {
			return all[i], true
		}
	}
	var of []start
	for _, s := range all {
		if like, _ := naming.LikeSplit(naming.Base(s.dir)); like == split && split != "" {
			of = append(of, s)
		}
	}
	if len(of) == 1 {
		return of[0], true
	}
	return start{}, false
}
