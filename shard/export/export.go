// Package export hands the images of a dataset on in forms that others read.
package export

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/shard"
)

// markName is the file in which an export notes what it makes, so that the
// same one can go on and another one cannot be mixed into it.
const markName = ".synshard-export.json"

// Forms lists the forms of Write.
var Forms = []string{"folder", "webdataset", "hf", "tar"}

// Part is a view and the split it is of.
type Part struct {
	Split string
	View  *shard.View
}

// Options say what an export makes.
type Options struct {
	// To is the form:
	//   folder      SPLIT/SYNSET/NAME, files as they are
	//   webdataset  SPLIT-000000.tar with KEY.jpg (or .png), KEY.cls and KEY.json
	//   hf          data/SPLIT-00000-of-00001.parquet for Hugging Face
	//   tar         SPLIT.tar with SYNSET/NAME
	To         string
	ShardBytes int64             // webdataset, hf: bytes of images a file; 0: 256 MiB
	OnBytes    func(n int64)     // told the bytes of images as they are done
	Made       func(name string) // told each file made or found made; folder: each split
}

// exporter is one export at work.
type exporter struct {
	ctx context.Context
	out string
	o   Options
}

// Write writes images and labels in a form that others read. Labels are those
// of the views. out is made where it is missing, and must else be empty or hold
// the same export, which then goes on. Equal views give equal bytes.
func Write(ctx context.Context, out string, parts []Part, o Options) error {
	if o.ShardBytes <= 0 {
		o.ShardBytes = 256 << 20
	}
	if o.OnBytes == nil {
		o.OnBytes = func(int64) {}
	}
	if o.Made == nil {
		o.Made = func(string) {}
	}
	if !slices.Contains(Forms, o.To) {
		return fmt.Errorf("export to %q: want one of %s", o.To, strings.Join(Forms, ", "))
	}
	lock, err := openExport(out, parts, o)
	if err != nil {
		return fmt.Errorf("export into %s: %w", out, err)
	}
	e := &exporter{ctx, out, o}
	for _, p := range parts {
		switch o.To {
		case "folder":
			err = e.folder(p)
		case "tar":
			err = e.plainTar(p)
		case "webdataset":
			err = e.pieces(p, "%s-%06d.tar", e.webdataset)
		case "hf":
			err = e.pieces(p, "data/%s-%05d-of-%05d.parquet", e.parquet)
		}
		if err != nil {
			err = fmt.Errorf("export %s: %w", p.Split, err)
			break
		}
	}
	return cmp.Or(err, lock.Unlock())
}

// openExport makes the directory and notes there what is exported.
func openExport(out string, parts []Part, o Options) (*durable.Lock, error) {
	if err := durable.MkdirAll(out); err != nil {
		return nil, err
	}
	lock, err := durable.TryLock(filepath.Join(out, shard.LockName))
	if err != nil {
		return nil, err
	}
	mark, err := json.Marshal(markOf(parts, o))
	if err == nil {
		err = checkMark(out, append(mark, '\n'))
	}
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return lock, nil
}

// markOf is what tells one export from another.
func markOf(parts []Part, o Options) any {
	type part struct {
		Split, Fingerprint string
		Images             int
	}
	var list []part
	for _, p := range parts {
		list = append(list, part{p.Split, p.View.Fingerprint(), p.View.Len()})
	}
	return map[string]any{"to": o.To, "shard_bytes": o.ShardBytes, "parts": list}
}

func checkMark(out string, mark []byte) error {
	file := filepath.Join(out, markName)
	old, err := os.ReadFile(file)
	if err == nil && bytes.Equal(old, mark) {
		return nil
	}
	if err == nil {
		return errors.New("another export is in it; give another directory")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != shard.LockName {
			return fmt.Errorf("%s is in it already; give an empty or a new directory", e.Name())
		}
	}
	return durable.WriteFile(file, func(w io.Writer) error {
		_, err := w.Write(mark)
		return err
	})
}

// namer gives the names under which a part's images are exported.
type namer struct {
	taken map[string]string
}

// name is SYNSET/NAME, or NAME where there is no synset. NAME is the last
// element of the image's path, or all of it with _ for /, where that is taken.
func (n *namer) name(v *shard.View, i int) (string, error) {
	whole := v.Path(i)
	dir := v.Synset(i)
	if dir == "." || dir == ".." || strings.ContainsAny(dir, "/\x00") {
		return "", fmt.Errorf("class %q cannot be the name of a directory", dir)
	}
	for _, base := range []string{path.Base(whole), strings.ReplaceAll(whole, "/", "_")} {
		if base == "" || base == "." || base == ".." || base == ".aside" || strings.Contains(base, "/") {
			continue
		}
		name := path.Join(dir, base)
		if _, ok := n.taken[name]; !ok {
			n.taken[name] = whole
			return name, nil
		}
	}
	return "", fmt.Errorf("image %q: no name is left for it; %q has it", whole, n.taken[path.Join(dir, path.Base(whole))])
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

// folder writes files, and leaves alone those that are there with the right
// bytes.
func (e *exporter) folder(p Part) error {
	names := namer{taken: map[string]string{}}
	dirs := map[string]bool{}
	err := e.each(p.View, 0, p.View.Len(), func(i int, b []byte) error {
		name, err := names.name(p.View, i)
		if err != nil {
			return err
		}
		file := filepath.Join(e.out, p.Split, filepath.FromSlash(name))
		if dir := filepath.Dir(file); !dirs[dir] {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
			dirs[dir] = true
		}
		return putFile(file, b)
	})
	if err != nil {
		return err
	}
	for dir := range dirs {
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	e.o.Made(p.Split)
	return nil
}

// putFile makes file hold b. It is written aside and renamed, but not synced:
// that would take a turn of the disk for each of a million files, and a rerun
// mends what a power cut took.
func putFile(file string, b []byte) error {
	if info, err := os.Stat(file); err == nil && info.Size() == int64(len(b)) {
		if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, b) {
			return nil
		}
	}
	aside := filepath.Join(filepath.Dir(file), ".aside")
	if err := os.WriteFile(aside, b, 0o666); err != nil {
		return errors.Join(err, os.Remove(aside))
	}
	return os.Rename(aside, file)
}

// plainTar writes one tar of the whole part.
func (e *exporter) plainTar(p Part) error {
	return e.file(p.Split+".tar", func(w io.Writer) error {
		names := namer{taken: map[string]string{}}
		t := tar.NewWriter(w)
		err := e.each(p.View, 0, p.View.Len(), func(i int, b []byte) error {
			name, err := names.name(p.View, i)
			if err != nil {
				return err
			}
			return member(t, name, b)
		})
		return cmp.Or(err, t.Close())
	}, p.View, 0, p.View.Len())
}

// member adds a file to a tar, with the same head whenever it is written.
func member(t *tar.Writer, name string, b []byte) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644}); err != nil {
		return fmt.Errorf("member %s: %w", name, err)
	}
	_, err := t.Write(b)
	return err
}

// file writes a file of rows from one to another, unless it is there: it has
// its name only when whole.
func (e *exporter) file(name string, write func(w io.Writer) error, v *shard.View, from, to int) error {
	file := filepath.Join(e.out, filepath.FromSlash(name))
	if _, err := os.Stat(file); err == nil {
		for i := from; i < to; i++ {
			e.o.OnBytes(v.Length(i))
		}
	} else if err := cmp.Or(durable.MkdirAll(filepath.Dir(file)), durable.WriteFile(file, write)); err != nil {
		return err
	}
	e.o.Made(name)
	return nil
}

// pieces cuts a part into files of ShardBytes and writes each. Format takes the
// split, the piece and, where it can, the number of pieces.
func (e *exporter) pieces(p Part, format string, write func(w io.Writer, v *shard.View, from, to int) error) error {
	cuts := []int{0}
	var n int64
	for i := range p.View.Len() {
		if l := p.View.Length(i); n > 0 && n+l > e.o.ShardBytes {
			cuts, n = append(cuts, i), 0
		}
		n += p.View.Length(i)
	}
	cuts = append(cuts, p.View.Len())
	split := p.Split
	if e.o.To == "hf" && split == "val" {
		split = "validation" // the name by which datasets knows it
	}
	for k := range len(cuts) - 1 {
		from, to := cuts[k], cuts[k+1]
		args := []any{split, k, len(cuts) - 1}[:strings.Count(format, "%")]
		err := e.file(fmt.Sprintf(format, args...), func(w io.Writer) error { return write(w, p.View, from, to) }, p.View, from, to)
		if err != nil {
			return err
		}
	}
	return nil
}

// webdataset writes samples whose key is the image's number in the part.
func (e *exporter) webdataset(w io.Writer, v *shard.View, from, to int) error {
	t := tar.NewWriter(w)
	err := e.each(v, from, to, func(i int, b []byte) error {
		r := v.Row(i)
		key := fmt.Sprintf("%09d", i)
		about := map[string]any{
			"path": r.Path, "width": r.Width, "height": r.Height, "format": r.Format, "mode": r.Mode,
			"sha256": fmt.Sprintf("%x", r.SHA256),
		}
		ext := ".jpg"
		if r.Format != "JPEG" && r.Format != "" {
			ext = "." + strings.ToLower(r.Format)
		}
		if err := member(t, key+ext, b); err != nil {
			return err
		}
		if label := v.Label(i); label >= 0 {
			about["label"], about["synset"] = label, r.Synset
			if err := member(t, key+".cls", []byte(fmt.Sprint(label))); err != nil {
				return err
			}
		}
		if len(r.Objects) > 0 {
			var objects []map[string]any
			for _, o := range r.Objects {
				objects = append(objects, map[string]any{"synset": o.Synset, "xmin": o.XMin, "ymin": o.YMin, "xmax": o.XMax, "ymax": o.YMax})
			}
			about["objects"] = objects
		}
		text, err := json.Marshal(about)
		if err != nil {
			return err
		}
		return member(t, key+".json", text)
	})
	return cmp.Or(err, t.Close())
}
