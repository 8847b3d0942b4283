package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
)

// Rejection is an image that was refused: a line of rejected.ndjson.
type Rejection struct {
	Split  string `json:"split"`
	Synset string `json:"synset,omitempty"`
	Path   string `json:"path"`
	Source string `json:"source"`
	Reason string `json:"reason"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	File   string `json:"file,omitempty"` // where its bytes are kept, in the dataset's directory
}

// done is the record of a finished group.
type done struct {
	Rows     []shard.Row
	Files    []string
	Rejected []Rejection
}

// write makes the shards of one group and records that they are whole.
func (j *job) write(ctx context.Context, g group) (err error) {
	w := &groupWriter{j: j, g: g, decoder: pixel.NewDecoder()}
	defer w.decoder.Close()
	defer w.abort()
	if err := durable.MkdirAll(filepath.Join(j.o.Out, filepath.FromSlash(w.shardName(0)), "..")); err != nil {
		return err
	}
	if err := g.each(ctx, w.add); err != nil {
		return err
	}
	if err := w.cut(); err != nil {
		return err
	}
	return j.state.finish(g, w.done)
}

// groupWriter writes the images of a group.
type groupWriter struct {
	j       *job
	g       group
	decoder *pixel.Decoder
	out     *shard.FileWriter
	name    string // of the open shard
	done    done
	seen    map[string]bool
}

// shardName names part i of the group's shards. A piece of a flat split is one
// shard, whose number is the piece's.
func (w *groupWriter) shardName(i int) string {
	if w.g.synset != "" {
		return shard.ShardName(w.g.split, w.g.synset, i)
	}
	var piece int
	fmt.Sscanf(w.g.name, "piece-%d", &piece)
	return shard.ShardName(w.g.split, "", piece)
}

func (w *groupWriter) abort() {
	if w.out != nil {
		w.out.Abort()
	}
}

// add checks an image and appends it, or refuses it.
func (w *groupWriter) add(it item) error {
	name, b := it.name, it.b
	defer w.j.o.OnRead(int64(len(b)), 1)
	im := &shard.Image{Bytes: b, Row: shard.Row{Path: name, Label: -1, SHA256: sha256.Sum256(b)}}
	im.Synset = it.synset
	read := *im // what is kept where it is refused
	if read.Synset == "" {
		read.Synset = w.g.synset
	}
	err := w.describe(im)
	if err == nil && w.seen[name] {
		err = errors.New("an image of this name was there before")
	}
	if err != nil {
		return w.refuse(&read, err)
	}
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	w.seen[name] = true
	return w.append(im)
}

// append stores an image, in the next shard where the open one is full.
func (w *groupWriter) append(im *shard.Image) (err error) {
	if w.out != nil && w.g.synset != "" && w.out.Bytes()+int64(len(im.Bytes)) > w.j.o.ShardBytes {
		if err := w.cut(); err != nil {
			return err
		}
	}
	if w.out == nil {
		w.name = w.shardName(len(w.done.Files))
		meta := shard.FileMeta{Split: w.g.split, Synset: w.g.synset, ClassNames: w.j.namesIn(w.g.synset)}
		if i, ok := w.j.label[w.g.synset]; ok {
			meta.Words = strings.Join(w.j.classes[i].Words, ", ")
		}
		if w.out, err = shard.CreateFile(filepath.Join(w.j.o.Out, filepath.FromSlash(w.name)), meta); err != nil {
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
func (j *job) namesIn(synset string) []string {
	if len(j.names) > manyClasses && synset != "" && synset != j.names[0] {
		return nil
	}
	return j.names
}

// describe fills in what the bytes and the labels say. An error is a reason to
// refuse the image.
func (w *groupWriter) describe(im *shard.Image) error {
	info, err := pixel.Probe(im.Bytes)
	if err != nil {
		return err
	}
	im.Format, im.Mode, im.Width, im.Height = info.Format, info.Mode, int32(info.Width), int32(info.Height)
	var rgb *pixel.RGB
	switch {
	case w.j.o.Resize > 0:
		rgb, err = w.decoder.Decode(im.Bytes)
	case w.j.o.Check == "decode":
		err = w.decoder.Check(im.Bytes)
	}
	if err != nil {
		return err
	}
	im.Objects = w.j.boxes[stem(im.Path)]
	if im.Synset == "" {
		im.Synset = w.g.synset
	}
	if im.Synset == "" && w.g.split == "val" && w.j.kit != nil {
		if im.Synset, err = w.j.kit.Synset(im.Path); err != nil {
			return err
		}
	}
	if im.Synset != "" {
		label, ok := w.j.label[im.Synset]
		if !ok {
			return fmt.Errorf("its synset %s is not a class", im.Synset)
		}
		im.Label = label
		if w.j.kit != nil {
			im.ILSVRC2012ID = w.j.kit.ID(im.Synset)
		}
	}
	if w.j.o.Resize > 0 {
		return w.j.resize(im, rgb)
	}
	return nil
}

// refuse deals with a bad image as the options say; it is never dropped
// without a line.
func (w *groupWriter) refuse(im *shard.Image, reason error) error {
	if w.j.o.OnBad == "fail" {
		return fmt.Errorf("%s: %s: %w", w.g.from, im.Path, reason)
	}
	r := Rejection{Split: w.g.split, Synset: im.Synset, Path: im.Path, Source: filepath.Base(w.g.from), Reason: reason.Error(),
		Bytes: int64(len(im.Bytes)), SHA256: fmt.Sprintf("%x", im.SHA256)}
	if w.j.o.OnBad == "quarantine" {
		r.File = filepath.ToSlash(filepath.Join("rejected", w.g.split, url.PathEscape(w.g.synset), r.SHA256[:12]+"-"+strings.ReplaceAll(im.Path, "/", "_")))
		path := filepath.Join(w.j.o.Out, filepath.FromSlash(r.File))
		if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
			return err
		}
		err := durable.WriteFile(path, func(out io.Writer) error { _, err := out.Write(im.Bytes); return err })
		if err != nil {
			return err
		}
	}
	w.done.Rejected = append(w.done.Rejected, r)
	return nil
}

// cut finishes the open shard.
func (w *groupWriter) cut() error {
	if w.out == nil {
		return nil
	}
	rows, err := w.out.Commit()
	w.out = nil
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].File = w.name
	}
	w.done.Rows = append(w.done.Rows, rows...)
	w.done.Files = append(w.done.Files, w.name)
	return nil
}

// removeTemps removes what killed calls left half-written.
func removeTemps(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return durable.RemoveTemps(path)
	})
}
