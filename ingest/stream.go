package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/semaphore"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout"
)

// streamBytes bounds the images that are read and not yet written.
const streamBytes = 256 << 20

// stream is a container that is read front to back. Its units are met while it
// is read.
type stream struct {
	j      *job
	input  int
	wanted []string // splits
}

// sources gives these listed units, and the containers that are read front to
// back for their images of these splits.
func (j *job) sources(units []unit, splits []string) []unitSource {
	p := j.plan
	out := []unitSource{listed(units)}
	j.met = newMet(p.units)
	p.set.left = &j.left
	for i := range p.set.inputs {
		if p.set.list[p.set.inputs[i]].info.Sequential && p.mine.reads(i) && p.holds(i, splits) {
			out = append(out, &stream{j, i, splits})
		}
	}
	return out
}

// holds says whether a container that is read front to back has images of splits.
func (p *Plan) holds(input int, splits []string) bool {
	if p.set.list[p.set.inputs[input]].unlisted {
		return slices.Contains(splits, p.announced(input))
	}
	return slices.ContainsFunc(splits, func(s string) bool { return p.feeds(input, s) })
}

// met is the units that there are already.
type met struct {
	classes map[record.Unit]bool
	pieces  map[string]int // by split
}

func newMet(units []unit) met {
	m := met{map[record.Unit]bool{}, map[string]int{}}
	for i := range units {
		if id := units[i].Unit; id.Class != "" {
			m.classes[id] = true
		} else {
			m.pieces[id.Split] = max(m.pieces[id.Split], id.Piece+1)
		}
	}
	return m
}

// units reads the stream once and hands out its units, several of which are
// written at a time.
func (s *stream) units(ctx context.Context, submit func(*unit) (bool, error)) error {
	c := &cutter{s: s, ctx: ctx, submit: submit, room: semaphore.NewWeighted(streamBytes), open: map[string]*openUnit{}}
	set := s.j.plan.set
	s.j.left.reset(set.inputs[s.input])
	err := set.walk(ctx, s.input, c.image)
	for _, u := range c.open {
		if err == nil {
			u.close()
		} else {
			u.giveUp()
		}
	}
	return err
}

// cutter cuts a stream into units.
type cutter struct {
	s      *stream
	ctx    context.Context
	submit func(*unit) (bool, error)
	room   *semaphore.Weighted
	open   map[string]*openUnit // by split
}

// openUnit is a unit that gets images.
type openUnit struct {
	id     record.Unit
	size   int64
	images chan<- item // to its worker; nil where they are not needed
	giveUp func()      // instead of close, where it is not whole
}

// errNotWhole ends a unit whose stream ended in the middle of it.
var errNotWhole = errors.New("not whole")

// close ends a unit, which is whole.
func (u *openUnit) close() {
	if u.images != nil {
		close(u.images)
	}
}

// image hands an image to its unit's worker.
func (c *cutter) image(e source.Entry, r io.Reader) error {
	p := c.s.j.plan
	k := p.set.of(&e)
	to, ok, err := c.s.j.place(&e, k.unlisted)
	if err != nil || !ok {
		return err
	}
	if k.unlisted && to.Split != p.announced(c.s.input) {
		return fmt.Errorf("%s: %s is of the split %s: such an archive is read from a file, without a flag for its split", k.info.Path, e.Name, to.Split)
	}
	if !slices.Contains(c.s.wanted, to.Split) {
		return nil
	}
	if e.Size > source.MaxImage {
		return fmt.Errorf("%s: %s: %d bytes, more than an image has", k.info.Path, e.Name, e.Size)
	}
	u, err := c.unitFor(k, to, e.Size)
	if err != nil || u.images == nil {
		return err
	}
	if err := c.room.Acquire(c.ctx, min(e.Size, streamBytes)); err != nil {
		return err
	}
	b := make([]byte, e.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	select {
	case u.images <- item{path: to.Path, name: e.Name, class: to.Class, container: e.Container, bytes: b}:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// unitFor gives the open unit that an image belongs to, and opens it.
func (c *cutter) unitFor(k *container, to layout.Placement, size int64) (*openUnit, error) {
	p := c.s.j.plan
	id := record.Unit{Split: to.Split}
	if p.byClass[to.Split] {
		id.Class = p.className(to.Class)
	}
	u := c.open[to.Split]
	full := u != nil && id.Class == "" && u.size > 0 && u.size+size > p.o.ShardBytes
	if u == nil || id.Class != u.id.Class || full {
		if u != nil {
			u.close()
			delete(c.open, to.Split)
		}
		var err error
		if u, err = c.begin(k, id); err != nil {
			return nil, err
		}
		c.open[to.Split] = u
	}
	u.size += size
	return u, nil
}

// begin opens a unit. A class that was met before is an error.
func (c *cutter) begin(k *container, id record.Unit) (*openUnit, error) {
	met := &c.s.j.met
	switch {
	case id.Class == "":
		id.Piece = met.pieces[id.Split]
		met.pieces[id.Split]++
	case met.classes[id]:
		return nil, fmt.Errorf("%s: the images of class %s do not lie together: such an archive is read uncompressed from a file", k.info.Path, id.Class)
	default:
		met.classes[id] = true
	}
	images, givenUp := make(chan item, 1024), make(chan struct{})
	u := &unit{Unit: id, images: -1, sum: k.sumOf(id), unknown: k.info.Path == "-", streamed: true}
	u.each = func(ctx context.Context, _ *job, f func(item) error) error {
		for {
			select {
			case it, ok := <-images:
				if !ok {
					return nil
				}
				n := min(int64(len(it.bytes)), streamBytes)
				err := f(it)
				c.room.Release(n)
				if err != nil {
					return err
				}
			case <-givenUp:
				return errNotWhole
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	needed, err := c.submit(u)
	if err != nil {
		return nil, err
	}
	open := &openUnit{id: id, giveUp: func() { close(givenUp) }}
	if needed {
		open.images = images
	}
	return open, nil
}

// sumOf is what is known of a unit of a container that is read front to back.
func (k *container) sumOf(id record.Unit) record.Digest {
	s := record.NewSummer()
	s.Text(id.String())
	s.Number(k.info.Size)
	s.Number(k.info.Modified)
	return s.Sum()
}
