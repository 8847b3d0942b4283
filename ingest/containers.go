package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout"
)

// containers are the open containers of all sources.
type containers struct {
	list   []container
	left   *skips // gets what the sources leave out
	inputs []int  // those that hold images: the place of each is Entry.Container from then on
}

// container is one of them.
type container struct {
	info      source.Info
	set       *source.Set
	place     int32 // in set
	split     string
	layout    string
	auxiliary auxiliary
	entries   []source.Entry // with place as their Container
	notes     notes          // of one that is read front to back
	unlisted  bool           // it is read front to back, and its names were not read before
}

// auxiliary is what a container is that holds no images.
type auxiliary int

const (
	images auxiliary = iota // it does
	devkit
	annotations
)

// lookAhead bounds the entries that are looked at of what is not listed.
const lookAhead = 256

// openContainers opens every source. left gets what they leave out, with the
// container's place in the list.
func openContainers(ctx context.Context, o Options, deep bool, left *skips) (*containers, error) {
	c := &containers{left: left}
	for _, s := range o.Sources {
		first := len(c.list)
		so := source.Options{Stdin: o.Stdin, Deep: deep, FollowLinks: o.FollowLinks, OnSkip: func(k source.Skip) { c.left.add(first+int(k.Container), k) }}
		open := func() (*source.Set, error) { return source.Open(ctx, []string{s.Path}, so) }
		if s.Kind != "" {
			open = func() (*source.Set, error) { return source.OpenAs(ctx, s.Kind, []string{s.Path}, so) }
		}
		set, err := open()
		if err != nil {
			c.close()
			return nil, err
		}
		entries := set.Entries()
		for i, info := range set.Infos() {
			n := 0
			for n < len(entries) && entries[n].Container == int32(i) {
				n++
			}
			c.list = append(c.list, container{info: info, set: set, place: int32(i), split: s.Split, layout: s.Layout, entries: entries[:n:n]})
			entries = entries[n:]
		}
	}
	return c, nil
}

func (c *containers) close() error {
	var err error
	for i := range c.list {
		err = errors.Join(err, c.list[i].notes.close())
		if c.list[i].place == 0 {
			err = errors.Join(err, c.list[i].set.Close())
		}
	}
	return err
}

func (c *containers) paths() []string {
	var out []string
	for i := range c.list {
		if given := c.list[i].info.Given; !slices.Contains(out, given) {
			out = append(out, given)
		}
	}
	return out
}

// folder says whether a source is a folder.
func (c *containers) folder(given string) bool {
	return slices.ContainsFunc(c.list, func(k container) bool { return k.info.Given == given && k.info.Kind == source.Folder })
}

// unchanged wants the sources to be what they were when they were opened.
func (c *containers) unchanged() error {
	for i := range c.list {
		if c.list[i].place == 0 {
			if err := c.list[i].set.Unchanged(); err != nil {
				return err
			}
		}
	}
	return nil
}

// of gives an entry's container.
func (c *containers) of(e *source.Entry) *container { return &c.list[c.inputs[e.Container]] }

// theirs is an entry as its set knows it.
func (k *container) theirs(e source.Entry) source.Entry {
	e.Container = k.place
	return e
}

func (c *containers) read(e source.Entry, buf []byte) ([]byte, error) {
	k := c.of(&e)
	if b, ok, err := k.notes.read(e.Name); ok || err != nil {
		return b, err
	}
	return k.set.Read(k.theirs(e), buf)
}

// each is source.Set.Each for entries of any containers.
func (c *containers) each(ctx context.Context, entries []source.Entry, f func(source.Entry, []byte, error) error) error {
	for len(entries) > 0 {
		n, place := 1, entries[0].Container
		for n < len(entries) && entries[n].Container == place {
			n++
		}
		k := c.of(&entries[0])
		for i := range entries[:n] {
			entries[i].Container = k.place
		}
		err := k.set.Each(ctx, entries[:n], func(e source.Entry, b []byte, err error) error {
			e.Container = place
			return f(e, b, err)
		})
		if err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// walk is source.Set.Walk; i is a place among the inputs.
func (c *containers) walk(ctx context.Context, i int, f func(source.Entry, io.Reader) error) error {
	k := &c.list[c.inputs[i]]
	return k.set.Walk(ctx, int(k.place), func(e source.Entry, r io.Reader) error {
		e.Container = int32(i)
		return f(e, r)
	})
}

// errSeen ends a look at the first entries.
var errSeen = errors.New("seen enough")

// auxiliaryOf tells the development kit and annotations from containers of
// images, by the first names in them.
func (c *containers) auxiliaryOf(ctx context.Context, i int) (auxiliary, error) {
	k := &c.list[i]
	if k.split != "" || k.info.Path == "-" {
		return images, nil
	}
	is, seen := images, 0
	look := func(e *source.Entry) error {
		seen++
		name := strings.ToLower(e.Name)
		switch {
		case path.Base(name) == imagenet.MetaName:
			is = devkit
		case path.Ext(name) == ".xml", strings.HasSuffix(name, ".tar.gz") && k.info.Kind == source.Tar:
			is = annotations
		case source.ImageName(name):
			is = images
		case seen < lookAhead:
			return nil
		}
		return errSeen
	}
	var err error
	switch {
	case k.info.Sequential:
		err = k.set.Walk(ctx, int(k.place), func(e source.Entry, _ io.Reader) error { return look(&e) })
	default:
		for n := 0; n < len(k.entries) && err == nil; n++ {
			if e := &k.entries[n]; e.Archive { // the first file in it tells
				err = k.set.Each(ctx, []source.Entry{*e}, func(e source.Entry, _ []byte, _ error) error { look(&e); return errSeen })
			} else {
				err = look(e)
			}
		}
	}
	if err != nil && !errors.Is(err, errSeen) {
		return images, err
	}
	if is == annotations && slices.ContainsFunc(k.entries, func(e source.Entry) bool { return source.ImageName(e.Name) }) {
		is = images // with their annotations beside them
	}
	return is, nil
}

// layoutInputs gives the containers of images as layout wants them. The names
// in an archive that is read front to back are read before, unless it is a
// pipe, or the classes are known and a flag says the split: then nothing
// depends on them.
func (c *containers) layoutInputs(ctx context.Context, classesKnown bool) ([]layout.Input, error) {
	var out []layout.Input
	for i := range c.list {
		k := &c.list[i]
		if k.auxiliary != images {
			continue
		}
		place := int32(len(c.inputs))
		c.inputs = append(c.inputs, i)
		switch {
		case !k.info.Sequential:
			k.number(place)
		case k.info.Path == "-":
			if !classesKnown {
				return nil, &OptionError{"classes", "a pipe is read once, and labels depend on all classes: give the development kit or a list of the classes"}
			}
			k.unlisted = true
		case classesKnown && k.split != "":
			k.unlisted = true
		default:
			err := c.walk(ctx, int(place), func(e source.Entry, r io.Reader) error {
				k.entries = append(k.entries, e)
				return k.notes.add(&e, r)
			})
			if err != nil {
				return nil, err
			}
		}
		out = append(out, layout.Input{Info: k.info, Entries: k.entries, Split: k.split})
	}
	return out, nil
}

// number gives the entries their container's place among the inputs.
func (k *container) number(place int32) {
	if place == k.place {
		return
	}
	k.entries = slices.Clone(k.entries)
	for i := range k.entries {
		k.entries[i].Container = place
	}
}

// describe names a container for people.
func (k *container) describe() string {
	switch {
	case k.info.Path == "-":
		return "standard input"
	case k.info.Kind == source.Folder:
		return path.Base(k.info.Path) + "/"
	}
	return fmt.Sprintf("%s, %d bytes", path.Base(k.info.Path), k.info.Size)
}

// rowGroup counts the rows at the front of list that are of one row group, and
// gives the group's bytes.
func (c *containers) rowGroup(list []layout.Image) (rows int, bytes int64) {
	k := c.of(list[0].Entry)
	group, bytes := k.set.Group(k.theirs(*list[0].Entry))
	for rows = 1; rows < len(list) && list[rows].Container == list[0].Container; rows++ {
		if g, _ := k.set.Group(k.theirs(*list[rows].Entry)); g != group {
			break
		}
	}
	return rows, bytes
}
