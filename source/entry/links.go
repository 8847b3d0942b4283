package entry

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
)

// maxChain bounds links from one to the next, as kernels have it.
const maxChain = 40

// maxLinked bounds the entries that an archive's links give, which may
// multiply. Tests lower it.
var maxLinked = 1 << 22

// Link is a link in an archive: an entry without bytes, and what it leads to,
// from the root of the archive.
type Link struct {
	Entry
	To string // a clean name
}

// LinkTarget gives what a link in the directory from leads to, from the root of
// its archive ("." is that root); ok is false where it leads out of it. A hard
// link's target is from the root already.
func LinkTarget(from, target string, hard bool) (to string, ok bool) {
	if hard {
		return CleanName(target)
	}
	to = path.Join(from, target)
	return to, !path.IsAbs(target) && to != ".." && !strings.HasPrefix(to, "../")
}

// MaybeImages says whether a link that leads nowhere may have stood for images:
// it is called as an image is, or as a directory may be.
func MaybeImages(name string) bool { return ImageName(name) || path.Ext(name) == "" }

// linkTree is the files and links of an archive.
type linkTree struct {
	files  []Entry           // by name
	links  []Link            // by name
	target map[string]string // of links
	skip   SkipFunc
	out    []Entry
}

// Follow gives the entries that links lead to, under the links' names: for a
// link to a file that file, for a link to a directory all that is in it. Links
// to nothing and loops are told to skip. files, which have names of their own, and
// links are put in order of their names. Links that multiply without measure are
// ErrCorrupt.
func Follow(files []Entry, links []Link, skip SkipFunc) ([]Entry, error) {
	t := &linkTree{files: files, links: links, target: make(map[string]string, len(links)), skip: skip}
	slices.SortFunc(files, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(links, func(a, b Link) int { return cmp.Compare(a.Name, b.Name) })
	for i := range links {
		t.target[links[i].Name] = links[i].To
	}
	for i := range links {
		if err := t.link(&links[i], links[i].Name, nil); err != nil {
			return nil, err
		}
	}
	return t.out, nil
}

// link gives what a link leads to under the name as. within are the directories
// that are being given already.
func (t *linkTree) link(l *Link, as string, within []string) error {
	real, err := t.resolve(l.To)
	if err != nil {
		t.skip(as, err.Error(), MaybeImages(as))
		return nil
	}
	if i, ok := slices.BinarySearchFunc(t.files, real, func(e Entry, name string) int { return cmp.Compare(e.Name, name) }); ok {
		return t.give(&t.files[i], as)
	}
	within = append(within, path.Dir(l.Name))
	for _, dir := range within {
		if real == "." || dir == real || strings.HasPrefix(dir, real+"/") {
			t.skip(as, "a link to a directory that it is in", false)
			return nil
		}
	}
	return t.directory(l, real+"/", as, append(within, real))
}

// directory gives all files in a directory, and what its links lead to.
func (t *linkTree) directory(l *Link, dir, as string, within []string) error {
	found := false
	at := sort.Search(len(t.files), func(i int) bool { return t.files[i].Name >= dir })
	for ; at < len(t.files) && strings.HasPrefix(t.files[at].Name, dir); at++ {
		found = true
		if err := t.give(&t.files[at], as+"/"+t.files[at].Name[len(dir):]); err != nil {
			return err
		}
	}
	at = sort.Search(len(t.links), func(i int) bool { return t.links[i].Name >= dir })
	for ; at < len(t.links) && strings.HasPrefix(t.links[at].Name, dir); at++ {
		found = true
		if err := t.link(&t.links[at], as+"/"+t.links[at].Name[len(dir):], slices.Clip(within)); err != nil {
			return err
		}
	}
	if !found {
		t.skip(as, "a link to "+l.To+", which is not there", MaybeImages(as))
	}
	return nil
}

func (t *linkTree) give(e *Entry, as string) error {
	if len(t.out) == maxLinked {
		return fmt.Errorf("%w: its links lead to more than %d files", ErrCorrupt, maxLinked)
	}
	linked := *e
	linked.Name = as
	t.out = append(t.out, linked)
	return nil
}

var errChain = errors.New("a link that leads to itself")

// resolve follows the links that are elements of a name.
func (t *linkTree) resolve(name string) (string, error) {
	at, rest := "", name
	for chain := 0; rest != ""; {
		var element string
		element, rest, _ = strings.Cut(rest, "/")
		at = path.Join(at, element)
		to, linked := t.target[at]
		if !linked {
			continue
		}
		if chain++; chain > maxChain {
			return "", errChain
		}
		at, rest = "", path.Join(to, rest)
	}
	return at, nil
}
