package entry

import (
	"path"
	"slices"
)

// Directories tell which of an archive's own entries of directories have nothing below them, as
// a folder tells it of its own.
type Directories struct {
	own   []string
	holds map[string]bool
	last  string
}

// Own notes an entry of a directory, by its clean name.
func (d *Directories) Own(name string) {
	d.own = append(d.own, name)
	d.Holds(name)
}

// Holds notes anything else by its clean name, which may be left out. What is Junk counts for
// nothing.
func (d *Directories) Holds(name string) {
	dir := path.Dir(name)
	if dir == d.last || Junk(name) { // there are millions of files, which lie together
		return
	}
	if d.last = dir; d.holds == nil {
		d.holds = map[string]bool{}
	}
	for ; dir != "." && !d.holds[dir]; dir = path.Dir(dir) {
		d.holds[dir] = true
	}
}

// Tell tells skip of the directories that hold nothing, of those in one another the innermost.
func (d *Directories) Tell(skip SkipFunc) {
	slices.Sort(d.own)
	for _, name := range slices.Compact(d.own) {
		if !d.holds[name] && !Junk(name) {
			skip(name, EmptyReason, false)
		}
	}
}
