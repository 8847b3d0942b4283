package ingest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout"
)

// unit is a unit and where its images come from.
type unit struct {
	record.Unit
	bytes   int64         // to be read, for progress; 0 where it is not known
	images  int64         // -1: not known before they are read
	sum     record.Digest // of all that is known of the images before they are read
	kept    bool          // it is in the dataset that is amended, and stays as it is there
	unknown bool          // nothing is known of its images before they are read: they come from a pipe
	// streamed says that its container is read front to back, and waits to be told
	// whether the images are needed.
	streamed bool

	archives map[int32]map[string]bool // that stand for images which are not listed

	// each calls f with every image, in an order that is always the same, for the job that
	// notes what else is met.
	each func(ctx context.Context, j *job, f func(item) error) error
}

// item is one image as it was read. Its bytes are valid while it is handled.
type item struct {
	path      string // of the row
	name      string // as Entry.Name: in its container
	class     int32  // place in the plan's classes; -1: none
	container int32  // among the inputs
	bytes     []byte
	err       error // why its bytes cannot be had
}

// listedUnits cuts the images of a split whose containers are read in place into
// units: by class a training split whose images all have one, anything else into
// pieces of about a shard. Rows of columns stay in their order, because a row
// group is read as a whole.
func (p *Plan) listedUnits(split *layout.Split) []unit {
	images := slices.DeleteFunc(slices.Clone(split.Images), func(im layout.Image) bool { return p.set.of(im.Entry).info.Sequential })
	if p.byClass[split.Name] {
		return p.classUnits(split.Name, images)
	}
	return p.pieceUnits(split.Name, images)
}

// columns says whether an entry is a row of a file of columns.
func (p *Plan) columns(e *source.Entry) bool {
	kind := p.set.of(e).info.Kind
	return kind == source.Parquet || kind == source.Arrow
}

// splitByClass says whether the shards of a split are by class. Those of a
// stream are if the images of each class lie together in it.
func (p *Plan) splitByClass(split *layout.Split) bool {
	if split.Name != "train" {
		return false
	}
	last, seen := map[int32]int32{}, map[[2]int32]bool{}
	for i := range split.Images {
		im := &split.Images[i]
		if im.Class < 0 || p.columns(im.Entry) {
			return false
		}
		if c := im.Container; p.set.of(im.Entry).info.Sequential {
			class, begun := last[c]
			if begun && class == im.Class {
				continue
			}
			if seen[[2]int32{c, im.Class}] {
				return false
			}
			last[c], seen[[2]int32{c, im.Class}] = im.Class, true
		}
	}
	return true
}

func (p *Plan) classUnits(split string, images []layout.Image) []unit {
	slices.SortStableFunc(images, func(a, b layout.Image) int {
		return cmp.Or(cmp.Compare(p.className(a.Class), p.className(b.Class)), cmp.Compare(a.Path, b.Path))
	})
	var units []unit
	for len(images) > 0 {
		n := 1
		for n < len(images) && images[n].Class == images[0].Class {
			n++
		}
		units = append(units, p.unitOf(record.Unit{Split: split, Class: p.className(images[0].Class)}, images[:n]))
		images = images[n:]
	}
	return units
}

// pieceUnits cuts a flat split. The order of its images is by class and name, or
// by name alone where the class is looked up for each image by its name.
func (p *Plan) pieceUnits(split string, images []layout.Image) []unit {
	rows := slices.ContainsFunc(images, func(im layout.Image) bool { return p.columns(im.Entry) })
	if !rows {
		byName := slices.ContainsFunc(images, func(im layout.Image) bool { return im.ByName })
		slices.SortStableFunc(images, func(a, b layout.Image) int {
			if c := cmp.Compare(p.className(a.Class), p.className(b.Class)); c != 0 && !byName {
				return c
			}
			return cmp.Compare(a.Path, b.Path)
		})
	}
	var units []unit
	for len(images) > 0 {
		n := p.pieceEnd(images)
		units = append(units, p.unitOf(record.Unit{Split: split, Piece: len(units)}, images[:n]))
		images = images[n:]
	}
	return units
}

// pieceEnd counts the images of a piece that begins with the first of images.
func (p *Plan) pieceEnd(images []layout.Image) int {
	var size int64
	n := 0
	for n < len(images) {
		run, bytes := 1, max(images[n].Size, 0)
		if p.columns(images[n].Entry) {
			if n > 0 && images[n].Container != images[0].Container {
				break // a file begins a piece
			}
			run, bytes = p.set.rowGroup(images[n:])
		}
		if n > 0 && size+bytes > p.o.ShardBytes {
			break
		}
		n, size = n+run, size+bytes
	}
	return n
}

// unitOf makes a unit of listed images.
func (p *Plan) unitOf(id record.Unit, list []layout.Image) unit {
	u := unit{Unit: id, images: int64(len(list))}
	s := record.NewSummer()
	for i := range list {
		im := &list[i]
		u.bytes += max(im.Size, 0)
		if im.Archive {
			u.images = -1
		}
		s.Text(im.Name)
		s.Text(p.className(im.Class))
		s.Number(im.Size)
		s.Number(im.Modified)
		s.Number(p.set.of(im.Entry).info.Modified)
	}
	u.sum = s.Sum()
	u.each = func(ctx context.Context, j *job, f func(item) error) error { return j.eachOf(ctx, &u, list, f) }
	u.archives = archivesOf(list)
	return u
}

// archivesOf lists the archives among images, by container and name.
func archivesOf(list []layout.Image) map[int32]map[string]bool {
	var out map[int32]map[string]bool
	for i := range list {
		if im := &list[i]; im.Archive {
			if out == nil {
				out = map[int32]map[string]bool{}
			}
			if out[im.Container] == nil {
				out[im.Container] = map[string]bool{}
			}
			out[im.Container][im.Name] = true
		}
	}
	return out
}

// eachOf reads listed images, and those in archives that stand for unknown ones.
func (j *job) eachOf(ctx context.Context, u *unit, list []layout.Image, f func(item) error) error {
	set, entries := j.plan.set, make([]source.Entry, len(list))
	for i := range list {
		entries[i] = *list[i].Entry
	}
	at := 0
	return set.each(ctx, entries, func(e source.Entry, b []byte, err error) error {
		for at < len(list) && list[at].Archive && !(e.Container == list[at].Container && strings.HasPrefix(e.Name, list[at].Name+"/")) {
			at++
		}
		if at == len(list) {
			return fmt.Errorf("%s: %s was read and not asked for", set.of(&e).info.Path, e.Name)
		}
		if im := &list[at]; !im.Archive {
			at++
			return f(item{path: im.Path, name: e.Name, class: im.Class, container: im.Container, bytes: b, err: err})
		}
		to, ok, perr := j.place(&e, true)
		switch {
		case perr != nil:
			return perr
		case !ok:
			return nil
		case to.Split != u.Split:
			return fmt.Errorf("%s: %s is of the split %s, and the archive that it is in of %s", set.of(&e).info.Path, e.Name, to.Split, u.Split)
		}
		return f(item{path: to.Path, name: e.Name, class: to.Class, container: e.Container, bytes: b, err: err})
	})
}

// place is the plan's, for many goroutines. With note it is noted what is left out, which
// it was already where it was listed.
func (j *job) place(e *source.Entry, note bool) (to layout.Placement, ok bool, err error) {
	j.placing.Lock()
	defer j.placing.Unlock()
	if to, ok, err = j.plan.place(e); err == nil && !ok && note {
		j.left.add(j.plan.set.inputs[e.Container], source.Skip{Name: e.Name, Reason: to.Reason, Image: to.Image})
	}
	return to, ok, err
}

// takeSkips gives what was left out of the archives of a unit.
func (j *job) takeSkips(u *unit) []layout.Skipped {
	var out []source.Skip
	for _, c := range slices.Sorted(maps.Keys(u.archives)) {
		out = append(out, j.left.take(j.plan.set.inputs[c], u.archives[c])...)
	}
	return skipped(out)
}
