package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
)

// write makes the shards of a unit and records that they are whole.
func (j *job) write(ctx context.Context, u *unit) error {
	w := &unitWriter{converter: j.newConverter(u), record: record.Record{Unit: u.Unit, Inputs: u.sum}}
	defer w.close()
	if err := j.o.Out.MkdirAll(path.Dir(u.ShardName(0))); err != nil {
		return err
	}
	if err := u.each(ctx, j, w.add); err != nil {
		return err
	}
	if err := w.cut(); err != nil {
		return err
	}
	w.record.Skipped = j.takeSkips(u)
	return j.state.Finish(&w.record)
}

// converter turns what was read into what is stored.
type converter struct {
	j       *job
	u       *unit
	decoder *pixel.Decoder
	seen    map[nameKey]bool
}

// nameKey is what is an image's own: its name in its class, in its container.
type nameKey struct {
	container   int32
	class, path string
}

func (j *job) newConverter(u *unit) converter {
	d := pixel.NewDecoder()
	if j.o.Resize > 0 {
		d.Beside = resizing
	}
	return converter{j: j, u: u, decoder: d, seen: map[nameKey]bool{}}
}

func (c *converter) close() { c.decoder.Close() }

// image makes an image of an item. reason says why it is refused instead; then
// im is as it was read.
func (c *converter) image(it item) (im *shard.Image, reason error) {
	im = &shard.Image{Bytes: it.bytes, Row: shard.Row{Path: it.path, Label: -1}}
	if it.bytes != nil {
		im.SHA256 = sha256.Sum256(it.bytes)
	}
	if it.class >= 0 {
		im.Label = c.j.labels[it.class]
		class := &c.j.classes[im.Label]
		im.Synset, im.ILSVRC2012ID = class.Synset, class.ILSVRC2012ID
	}
	if it.err != nil {
		return im, it.err
	}
	made := *im
	if err := c.describe(&made); err != nil {
		return im, err
	}
	key := nameKey{it.container, im.Synset, im.Path}
	if c.seen[key] && !c.j.plan.isExport(it.container) { // which has all its dataset had, of two sources too
		return im, errors.New("an image of this name was there before")
	}
	c.seen[key] = true
	return &made, nil
}

// describe fills in what the bytes say, and what was given for the image. An
// error is a reason to refuse it.
func (c *converter) describe(im *shard.Image) error {
	info, err := pixel.Probe(im.Bytes)
	if err != nil {
		return err
	}
	var rgb *pixel.RGB
	switch {
	case c.j.o.Resize > 0:
		rgb, err = c.decoder.Decode(im.Bytes)
	case c.j.o.Check == CheckDecode:
		err = c.decoder.Check(im.Bytes)
	}
	if err != nil {
		return err
	}
	im.Format, im.Mode, im.Width, im.Height = info.Format, info.Mode, int32(info.Width), int32(info.Height)
	var given bool
	if im.Objects, given = c.j.plan.boxes[imagenet.Stem(im.Path)]; !given {
		im.Objects = c.j.plan.objects[shard.ImageKey{SHA256: im.SHA256, Path: utf8name.Ensure(im.Path)}]
	}
	if c.j.o.Resize > 0 {
		defer c.decoder.Release()
		return resize(im, rgb, c.j.o.Resize, c.j.o.Quality)
	}
	return nil
}

// unitWriter writes the images of a unit.
type unitWriter struct {
	converter
	out    *shard.FileWriter
	name   string // of the open shard
	record record.Record
}

func (w *unitWriter) close() {
	if w.out != nil {
		w.out.Abort()
	}
	w.converter.close()
}

// add checks an image and appends it, or refuses it.
func (w *unitWriter) add(it item) error {
	size := int64(len(it.bytes))
	im, reason := w.image(it)
	err := reason
	if reason != nil {
		err = w.refuse(it, im, reason)
	} else {
		err = w.append(im)
	}
	w.j.o.OnRead(size, 1)
	return err
}

// append stores an image, in the next shard where the open one is full.
func (w *unitWriter) append(im *shard.Image) (err error) {
	if w.out != nil && w.u.Class != "" && w.out.Bytes()+int64(len(im.Bytes)) > w.j.o.ShardBytes {
		if err := w.cut(); err != nil {
			return err
		}
	}
	if w.out == nil {
		w.name = w.u.ShardName(len(w.record.Shards))
		meta := shard.FileMeta{Split: w.u.Split, Synset: w.u.Class, ClassNames: w.j.namesIn(w.u.Class)}
		if label, ok := w.j.labelOf[w.u.Class]; ok {
			meta.Words = strings.Join(w.j.classes[label].Words, ", ")
		}
		if w.out, err = shard.CreateFile(w.j.o.Out, w.name, meta); err != nil {
			return err
		}
	}
	return w.out.Append(im)
}

// manyClasses is where the list of all classes is no longer in every shard:
// with ImageNet-21k's it would be half a megabyte in each.
const manyClasses = 2048

// namesIn gives the names of the labels that a shard carries. Readers take
// them from a split's first shard, so where they are many only the first
// class's shards, and those of several classes, have them.
func (j *job) namesIn(class string) []string {
	if len(j.names) > manyClasses && class != "" && class != j.firstClass {
		return nil
	}
	return j.names
}

// from is the path of the container that an item is of, for people: a unit may have images of
// several.
func (w *unitWriter) from(it item) string {
	set := w.j.plan.set
	if path := set.list[set.inputs[it.container]].info.Path; path != "-" {
		return path
	}
	return "standard input"
}

// refuse deals with a bad image as the options say.
func (w *unitWriter) refuse(it item, im *shard.Image, reason error) error {
	if w.j.o.OnBad == Fail {
		return fmt.Errorf("%s: %s: %w", w.from(it), it.name, reason)
	}
	r := shard.Rejection{Split: w.u.Split, Synset: im.Synset, Path: utf8name.Ensure(im.Path), Source: filepath.Base(w.from(it)), Reason: reason.Error(), Bytes: int64(len(im.Bytes))}
	if im.Bytes != nil {
		r.SHA256 = fmt.Sprintf("%x", im.SHA256)
		if w.j.o.OnBad == Quarantine {
			if err := record.Keep(&r, w.j.o.Out, w.u.Class, im.Bytes); err != nil {
				return err
			}
		}
	}
	w.record.Rejected = append(w.record.Rejected, r)
	return nil
}

// cut finishes the open shard.
func (w *unitWriter) cut() error {
	if w.out == nil {
		return nil
	}
	out := w.out
	w.out = nil
	rows, err := out.Commit()
	if err != nil {
		return err
	}
	info := out.Info()
	info.File = w.name
	for i := range rows {
		rows[i].File = w.name
	}
	w.record.Rows = append(w.record.Rows, rows...)
	w.record.Shards = append(w.record.Shards, info)
	return nil
}
