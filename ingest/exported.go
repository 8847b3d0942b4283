package ingest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
)

// readExported reads what exports of a dataset among the sources keep of its
// classes and boxes, so that an export read again has those it came from. Of two
// that say different things of a class neither is taken.
func (p *Plan) readExported() error {
	p.exported, p.called, p.keptClasses = map[string]shard.Class{}, map[string]shard.ExportedNames{}, map[string][]string{}
	differ := map[string]bool{}
	var lists [][]shard.Class
	for _, s := range p.o.Sources {
		given := source.Given(s.Path)
		if !p.set.folder(given) {
			lists = append(lists, nil)
			continue
		}
		dir, err := p.o.openDir(s.Path)
		if err != nil {
			return err
		}
		classes, err := shard.ReadExportClasses(dir)
		if err != nil {
			return fmt.Errorf("%s: the class list of an export: %w", given, err)
		}
		objects, err := shard.ReadExportObjects(dir)
		if err != nil {
			return fmt.Errorf("%s: the boxes of an export: %w", given, err)
		}
		if p.called[given], err = shard.ReadExportNames(dir); err != nil {
			return fmt.Errorf("%s: the names of an export: %w", given, err)
		}
		if p.objects == nil {
			p.objects = objects
		} else {
			maps.Copy(p.objects, objects)
		}
		lists = append(lists, classes)
		if len(classes) > 0 {
			p.keptClasses[given] = synsets(classes)
			p.skips.forgetOf(p.set, given, shard.KeptByExport) // they are read, or their writer's own
		}
		for _, c := range classes {
			c.Label = -1 // it has none here yet
			if have, ok := p.exported[c.Synset]; ok && !reflect.DeepEqual(have, c) {
				differ[c.Synset] = true
			}
			p.exported[c.Synset] = c
		}
	}
	for name := range differ {
		delete(p.exported, name)
	}
	p.exportedAlone(lists)
	return nil
}

// exportedAlone keeps, where all sources are exports of one class list, that
// list: it knows classes without images, and that directories are classes
// whatever their images are called.
func (p *Plan) exportedAlone(lists [][]shard.Class) {
	if len(lists) == 0 || len(lists[0]) == 0 || p.kit != nil {
		return
	}
	list := synsets(lists[0])
	for _, other := range lists[1:] {
		if !slices.Equal(synsets(other), list) {
			return
		}
	}
	p.exportedList = classlist.Kept(list, "the export's class list")
}

func synsets(classes []shard.Class) (out []string) {
	for _, c := range classes {
		out = append(out, c.Synset)
	}
	return out
}

// keptList is what an export keeps of the classes that its file of names beside the
// images, e, lists: the file itself need not be read, and cannot be where a name is one
// of signs alone. nil: e is no such file.
func (p *Plan) keptList(e source.Entry) *classlist.List {
	info := p.set.of(&e).info
	classes := p.keptClasses[info.Given]
	if len(classes) == 0 || join(info.Within, e.Name) != shard.ExportedClassesName {
		return nil
	}
	return classlist.Kept(p.asDirs(classes, info.Given), info.Given+"/"+e.Name)
}

// asDirs are classes by the names that directories of exports, those of these sources, have for
// them, or by their own.
func (p *Plan) asDirs(classes []string, given ...string) []string {
	dirs := map[string]string{}
	for _, from := range given {
		for dir, class := range p.called[from].Classes {
			dirs[class] = dir
		}
	}
	names := slices.Clone(classes)
	for i, name := range names {
		names[i] = cmp.Or(dirs[name], name)
	}
	return names
}

// exportedClass is the name that the dataset of an export had for the class whose
// directory is called name.
func (p *Plan) exportedClass(name string) string {
	for _, s := range p.o.Sources {
		if class, ok := p.called[source.Given(s.Path)].Classes[name]; ok {
			return class
		}
	}
	return name
}

// asExported is a class list with the names that directories of exports have in the
// place of their classes' own.
func (p *Plan) asExported(l *classlist.List) (*classlist.List, error) {
	if l == nil {
		return nil, nil
	}
	var given []string
	for _, s := range p.o.Sources {
		given = append(given, source.Given(s.Path))
	}
	names := p.asDirs(l.Names, given...)
	if slices.Equal(names, l.Names) {
		return l, nil
	}
	return l.WithNames(names)
}

// ownNames gives the classes and the listed images of exports the names that their
// dataset had for them. Of two classes that would have one name neither gets it.
func (p *Plan) ownNames() {
	times := map[string]int{}
	for _, name := range p.Classes {
		times[p.exportedClass(name)]++
	}
	for i, name := range p.Classes {
		if class := p.exportedClass(name); times[class] == 1 {
			p.Classes[i] = class
		}
	}
	for i := range p.names.Splits {
		images := p.names.Splits[i].Images
		for k := range images {
			images[k].Path = p.ownPath(images[k].Entry, images[k].Path)
		}
	}
}

// ownPath is the path that the dataset of an export had for an image of it, or
// path.
func (p *Plan) ownPath(e *source.Entry, path string) string {
	info := p.set.of(e).info
	paths := p.called[info.Given].Paths
	if len(paths) == 0 {
		return path
	}
	if own, ok := paths[utf8name.Escape(join(info.Within, e.Name))]; ok {
		return own
	}
	return path
}

// isExport says whether a container is of an export.
func (p *Plan) isExport(container int32) bool {
	return p.keptClasses[p.set.of(&source.Entry{Container: container}).info.Given] != nil
}

func join(within, name string) string {
	if within == "" {
		return name
	}
	return within + "/" + name
}

// exportedSum sums up what exports say of the classes; "" where they say
// nothing.
func (p *Plan) exportedSum() string {
	renamed := slices.ContainsFunc(p.o.Sources, func(s Source) bool { n := p.called[source.Given(s.Path)]; return len(n.Classes)+len(n.Paths) > 0 })
	if len(p.exported) == 0 && len(p.objects) == 0 && !renamed {
		return ""
	}
	b, err := json.Marshal(p.exported) // in order of the names
	if err != nil {
		panic(err) // of texts and numbers alone
	}
	if len(p.objects) > 0 {
		keys := slices.SortedFunc(maps.Keys(p.objects), func(a, b shard.ImageKey) int {
			return cmp.Or(bytes.Compare(a.SHA256[:], b.SHA256[:]), cmp.Compare(a.Path, b.Path))
		})
		for _, k := range keys {
			b = fmt.Appendf(b, "%x %q %v\n", k.SHA256, k.Path, p.objects[k])
		}
	}
	for _, s := range p.o.Sources {
		for _, names := range []map[string]string{p.called[source.Given(s.Path)].Classes, p.called[source.Given(s.Path)].Paths} {
			for _, name := range slices.Sorted(maps.Keys(names)) {
				b = fmt.Appendf(b, "%q is %q\n", name, names[name])
			}
		}
	}
	sum := record.Digest(sha256.Sum256(b))
	return sum.Hex()
}

// class describes a class: as an export that is read has it, or as the
// development kit and WordNet have it.
func (p *Plan) class(label int, name string) shard.Class {
	if c, ok := p.exported[name]; ok && p.kit == nil {
		c.Label = label
		return c
	}
	c := shard.Class{Label: label, Synset: name, ILSVRC2012ID: p.kit.ID(name)}
	c.Describe(p.o.WordNet)
	return c
}
