// Package export hands the images of a dataset on, and its class list, in forms that
// others read.
package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// Forms lists the forms of Write.
var Forms = []string{"folder", "webdataset", "hf", "tar"}

// Split is what is exported of a split, and the name it has there. The views of
// an export have the same classes.
type Split struct {
	Name string      // of the directory or the files that it becomes
	View *shard.View // its images, in this order
}

// Options say what an export makes.
type Options struct {
	// To is the form:
	//   folder      SPLIT/CLASS/NAME, files as they are
	//   webdataset  SPLIT-000000.tar with KEY.jpg (or .png), KEY.cls (the label)
	//               and KEY.json (path, label, synset, boxes ...)
	//   hf          data/SPLIT-00000-of-00001.parquet for Hugging Face, with a card,
	//               README.md, and Croissant's metadata, croissant.json, where these are not there yet
	//   tar         SPLIT.tar with CLASS/NAME
	// folder and tar have LOC_synset_mapping.txt beside them, the names of the
	// classes in the order of their labels. Every form keeps the class list itself
	// out of sight, for shard.ReadExportClasses, and these two the names that cannot
	// be files' names on every system, for shard.ReadExportNames.
	To         string
	Name       string            // hf: what the dataset is called in its card
	ShardBytes int64             // webdataset, hf: bytes of images a file; 0: 256 MiB
	OnBytes    func(n int64)     // told the bytes of images as they are done
	Made       func(name string) // told each file made or found made; of a folder's images each split
	Renamed    func(n Renamed)   // folder, tar: told at the end
}

// exporter is one export at work.
type exporter struct {
	ctx  context.Context
	out  files.Dir
	o    Options
	mark mark
	tree tree
	rows []rowFiles // hf: of each split
}

// Write writes images and labels in a form that others read. Labels are those
// of the views. A view without images gives no files. out is made where it is
// missing, and must else be empty or hold the same export, which then goes on,
// whenever it was killed. Equal views give equal bytes.
func Write(ctx context.Context, out files.Dir, splits []Split, o Options) error {
	if o.ShardBytes <= 0 {
		o.ShardBytes = 256 << 20
	}
	if o.OnBytes == nil {
		o.OnBytes = func(int64) {}
	}
	if o.Made == nil {
		o.Made = func(string) {}
	}
	if o.Renamed == nil {
		o.Renamed = func(Renamed) {}
	}
	if !slices.Contains(Forms, o.To) {
		return fmt.Errorf("export to %q: want one of %s", o.To, strings.Join(Forms, ", "))
	}
	e := &exporter{ctx: ctx, out: out, o: o}
	lock, err := e.begin(splits)
	if err != nil {
		return fmt.Errorf("export into %s: %w", out, err)
	}
	splits = slices.DeleteFunc(slices.Clone(splits), func(s Split) bool { return s.View.Len() == 0 })
	e.tree = newTree(splits)
	for _, s := range splits {
		if err = e.split(s); err != nil {
			err = fmt.Errorf("export %s: %w", s.Name, err)
			break
		}
	}
	if err == nil && len(splits) > 0 {
		err = cmp.Or(e.classList(splits[0].View), e.renamed(splits), e.objects(splits), e.documents()) // the classes of every view are the same
	}
	if err == nil {
		err = e.mark.settle(out)
	}
	return cmp.Or(err, lock.Unlock())
}

func (e *exporter) split(s Split) error {
	switch e.o.To {
	case "folder":
		return e.folder(s)
	case "tar":
		return e.plainTar(s)
	case "webdataset":
		return e.pieces(s, "%s-%06d.tar", e.webdataset)
	}
	names := newNamer(s.View, rowChoices)
	names.same = true // rows are told apart by their place
	return e.pieces(s, "data/%s-%05d-of-%05d.parquet", func(w io.Writer, v *shard.View, from, to int) error {
		return e.parquet(w, v, names, from, to)
	})
}

// begin makes the directory and notes there what is exported.
func (e *exporter) begin(splits []Split) (files.Lock, error) {
	if err := e.out.MkdirAll("."); err != nil {
		return nil, err
	}
	lock, err := e.out.TryLock(shard.LockName)
	if err != nil {
		return nil, err
	}
	// What a killed export left; the lock says that nobody else writes here.
	for _, dir := range []string{".", "data", shard.ExportName} {
		err = cmp.Or(err, e.out.RemoveTemps(dir, false))
	}
	if err == nil {
		e.mark = newMark(splits, e.o)
		err = e.mark.begin(e.out)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return lock, nil
}

// each reads the images of a view from one row to another.
func (e *exporter) each(v *shard.View, from, to int, f func(i int, b []byte) error) error {
	var buf []byte
	for i := from; i < to; i++ {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		b, err := v.Read(i, buf)
		if err == nil {
			err = f(i, b)
		}
		if err != nil {
			return err
		}
		e.o.OnBytes(int64(len(b)))
		buf = b
	}
	return nil
}

// file writes a file of rows from one to another, unless it was finished
// before: it has its name only when whole.
func (e *exporter) file(name string, write func(w io.Writer) error, v *shard.View, from, to int) error {
	if err := e.out.MkdirBelow(path.Dir(name)); err != nil {
		return err
	}
	has, err := e.mark.has(e.out, name)
	if err != nil {
		return err
	}
	if has {
		for i := from; i < to; i++ {
			e.o.OnBytes(v.Length(i))
		}
		e.o.Made(name)
		return nil
	}
	var out summed
	err = files.Write(e.out, name, func(w io.Writer) error {
		out.w = w
		return write(&out)
	})
	if err == nil {
		err = e.mark.finish(e.out, name, out.f)
	}
	if err == nil {
		e.o.Made(name)
	}
	return err
}

// pieces cuts a split into files of ShardBytes and writes each. Format takes the
// split, the piece and, where it can, the number of pieces.
func (e *exporter) pieces(p Split, format string, write func(w io.Writer, v *shard.View, from, to int) error) error {
	cuts := []int{0}
	var n int64
	for i := range p.View.Len() {
		if l := p.View.Length(i); n > 0 && n+l > e.o.ShardBytes {
			cuts, n = append(cuts, i), 0
		}
		n += p.View.Length(i)
	}
	cuts = append(cuts, p.View.Len())
	split := p.Name
	if e.o.To == "hf" && split == "val" {
		split = "validation" // the name by which datasets knows it
	}
	rows := rowFiles{split: split, view: p.View}
	for k := range len(cuts) - 1 {
		from, to := cuts[k], cuts[k+1]
		args := []any{split, k, len(cuts) - 1}[:strings.Count(format, "%")]
		name := fmt.Sprintf(format, args...)
		rows.files = append(rows.files, name)
		err := e.file(name, func(w io.Writer) error { return write(w, p.View, from, to) }, p.View, from, to)
		if err != nil {
			return err
		}
	}
	if e.o.To == "hf" {
		e.rows = append(e.rows, rows)
	}
	return nil
}
