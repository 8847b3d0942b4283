package export

import (
	"encoding/json"
	"hash/maphash"
	"path"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
)

// Renamed counts the names of a tree that are not the dataset's, or are not apart
// everywhere.
type Renamed struct {
	Classes int `json:"classes"` // whose directories have other names
	Images  int `json:"images"`  // whose files have
	// Alike are directories and files whose names differ from another's by the case
	// of letters alone: on some systems they are one.
	Alike int `json:"alike"`
}

// renamed keeps beside a tree, or tars of one, what is called otherwise there than
// in the dataset, for shard.ReadExportNames, and tells how much that is.
func (e *exporter) renamed(splits []Split) error {
	if e.o.To != "folder" && e.o.To != "tar" {
		return nil
	}
	if err := e.out.MkdirBelow(shard.ExportName); err != nil {
		return err
	}
	f, err := e.out.Create(shard.ExportName + "/" + shard.NamesName)
	if err != nil {
		return err
	}
	defer f.Abort()
	var n Renamed
	lines, apart := json.NewEncoder(f), newFolded()
	for _, class := range splits[0].View.Classes() {
		dir := utf8name.Escape(e.tree.dirs[class])
		n.Alike += apart.add(dir)
		if dir == class {
			continue
		}
		n.Classes++
		if err := lines.Encode(shard.ExportedName{Class: class, Name: dir}); err != nil {
			return err
		}
	}
	for _, s := range splits {
		if err := e.renamedOf(s, &n, lines); err != nil {
			return err
		}
	}
	e.o.Renamed(n)
	if n.Classes+n.Images == 0 {
		return nil
	}
	if err := f.Commit(); err != nil {
		return err
	}
	return e.mark.keep(e.out, shard.NamesName)
}

// renamedOf is renamed for the images of a split.
func (e *exporter) renamedOf(s Split, n *Renamed, lines *json.Encoder) error {
	names, apart := newNamer(s.View, e.tree.choices), newFolded()
	in := s.Name
	if e.o.To == "tar" {
		in += ".tar"
	}
	for i := range s.View.Len() {
		name, err := names.name(i)
		if err != nil {
			return err
		}
		n.Alike += apart.add(name)
		below := strings.TrimPrefix(strings.TrimPrefix(name, e.tree.dirs[s.View.Synset(i)]), "/")
		if utf8name.Escape(below) == s.View.Path(i) {
			continue
		}
		n.Images++
		if err := lines.Encode(shard.ExportedName{Path: s.View.Path(i), File: utf8name.Escape(path.Join(in, name))}); err != nil {
			return err
		}
	}
	return nil
}

// folded finds names that are alike but for the case of letters, by digests of
// them, since there may be millions.
type folded struct {
	seed maphash.Seed
	seen map[uint64]bool
}

func newFolded() folded { return folded{maphash.MakeSeed(), map[uint64]bool{}} }

// add counts a name that is like one before it.
func (f folded) add(name string) int {
	sum := maphash.String(f.seed, strings.ToLower(name))
	if f.seen[sum] {
		return 1
	}
	f.seen[sum] = true
	return 0
}
