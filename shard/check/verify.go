// Package check looks whether a dataset is what was written, writes anew what
// follows from its shards, and finds images that are in it twice.
package check

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
)

// Problem is something wrong with a dataset. Image is empty where a whole file
// is meant.
type Problem struct {
	File  string `json:"file"`
	Image string `json:"image,omitempty"`
	What  string `json:"what"`
}

func (p Problem) String() string {
	if p.Image != "" {
		return p.File + ": image " + p.Image + ": " + p.What
	}
	return p.File + ": " + p.What
}

// VerifyOptions say how thoroughly, by how many workers, and whom to tell.
type VerifyOptions struct {
	// Fast looks at sizes, footers and counts, and reads no image.
	Fast    bool
	Workers int // 0: one a CPU
	// OnBytes is told the bytes of images that were read, from many
	// goroutines.
	OnBytes func(n int64)
}

// problems collects what is found, from many goroutines.
type problems struct {
	mu   sync.Mutex
	list []Problem
}

func (p *problems) add(file, image, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, Problem{file, image, fmt.Sprintf(format, args...)})
}

// checkRow wants a row of a shard to be what the shard says of its rows, and
// its text to be UTF-8.
func (p *problems) checkRow(file string, meta shard.FileMeta, r *shard.Row) {
	if meta.Synset != "" && r.Synset != meta.Synset {
		p.add(file, utf8name.Escape(r.Path), "it is of %q, in a shard of %q", r.Synset, meta.Synset)
	}
	if r.CheckText() != nil {
		p.add(file, utf8name.Escape(r.Path), "a name of it is not UTF-8, so that other readers refuse the file; ingest it again")
	}
}

// reason is an error's text without the words every problem would carry: that
// the data are corrupt, and the file that a problem names.
func reason(err error, path string) string {
	return strings.TrimPrefix(strings.TrimSuffix(err.Error(), ": "+shard.ErrCorrupt.Error()), path+": ")
}

// Verify holds the dataset in dir to its sums: class list and indexes to the
// manifest, every image to its CRC-32C and SHA-256, every shard to the rows
// that lie in it; and looks for shards no index names. What is wrong comes as
// problems, in order of file and image; an error means that the dataset could
// not be looked at.
func Verify(ctx context.Context, dir string, o VerifyOptions) ([]Problem, error) {
	m, err := shard.ReadManifest(dir)
	if errors.Is(err, shard.ErrCorrupt) {
		return []Problem{{File: shard.ManifestName, What: reason(err, "")}}, nil
	}
	if err != nil {
		return nil, err
	}
	var p problems
	classes, err := shard.ReadClasses(dir, m.ClassesSHA256)
	if errors.Is(err, shard.ErrCorrupt) {
		p.add(shard.ClassesName, "", "%s", reason(err, ""))
	} else if err != nil {
		return nil, err
	}
	for _, c := range classes {
		if !utf8.ValidString(c.Synset) {
			p.add(shard.ClassesName, "", "the name of class %d, %q, is not UTF-8: ingest it again", c.Label, c.Synset)
		}
	}
	d := shard.OpenWith(dir, m, classes)
	defer d.Close()
	for _, name := range d.Splits() {
		s, err := d.Split(name)
		if errors.Is(err, shard.ErrCorrupt) {
			p.add(name+"/"+shard.IndexName, "", "%s", reason(err, ""))
			continue
		}
		if err == nil {
			v := verifier{d, s, o, &p}
			err = v.verify(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Image, b.Image), cmp.Compare(a.What, b.What))
	})
	return slices.Compact(p.list), nil // the heads of a shard are looked at twice
}

// verifier holds one split to its index.
type verifier struct {
	d *shard.Dataset
	s *shard.Split
	o VerifyOptions
	p *problems
}

func (v *verifier) verify(ctx context.Context) error {
	if len(v.d.Classes()) > 0 {
		v.labels()
	}
	if err := v.shards(ctx); err != nil || v.o.Fast {
		return err
	}
	rows := make([][]int32, len(v.s.Files()))
	for i := range v.s.Len() {
		n := v.s.FileOf(i)
		rows[n] = append(rows[n], int32(i))
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(v.o.workers())
	for n := range rows {
		g.Go(func() error { return v.file(gctx, v.s.Files()[n], rows[n]) })
	}
	return g.Wait()
}

func (o VerifyOptions) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return processors.Count()
}

func (v *verifier) path(file string) string {
	return filepath.Join(v.d.Dir, filepath.FromSlash(file))
}

// file reads a shard from front to back and holds it to the rows that the
// index has for it.
func (v *verifier) file(ctx context.Context, file string, rows []int32) error {
	in, err := shard.OpenFile(v.path(file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // shards has said so
	}
	if err == nil {
		defer in.Close()
		err = cmp.Or(in.CheckSchema(), v.rows(ctx, in, file, rows))
	}
	if errors.Is(err, shard.ErrCorrupt) {
		v.p.add(file, "", "%s", reason(err, v.path(file)))
		return nil
	}
	return err
}

func (v *verifier) rows(ctx context.Context, in *shard.FileReader, file string, rows []int32) error {
	at := make(map[int64]int32, len(rows))
	for _, i := range rows {
		at[v.s.Row(int(i)).Offset] = i
	}
	err := in.Each(func(r *shard.Row, image []byte) error {
		i, ok := at[r.Offset]
		delete(at, r.Offset)
		r.File = file
		v.p.checkRow(file, in.Meta, r)
		if !ok {
			v.p.add(file, r.Path, "no row of the index lies where it does")
		} else {
			v.image(int(i), r, image)
		}
		if v.o.OnBytes != nil {
			v.o.OnBytes(r.Length)
		}
		return ctx.Err()
	})
	for _, i := range at {
		if err == nil {
			v.p.add(file, v.s.Row(int(i)).Path, "it is not where the index says")
		}
	}
	return err
}

// image holds an image and its columns to row i of the index.
func (v *verifier) image(i int, r *shard.Row, image []byte) {
	want := v.s.Row(i)
	switch {
	case r.CRC32C != want.CRC32C:
		v.p.add(r.File, want.Path, "it does not have its crc32c")
	case sha256.Sum256(image) != want.SHA256:
		v.p.add(r.File, want.Path, "it does not have its sha256")
	case !sameRow(r, &want):
		v.p.add(r.File, want.Path, "its columns are not the index's")
	}
}

// sameRow compares everything of two rows.
func sameRow(a, b *shard.Row) bool {
	x, y := *a, *b
	x.Objects, y.Objects = nil, nil
	return reflect.DeepEqual(x, y) && slices.Equal(a.Objects, b.Objects)
}

// labels wants the label of every row to be its synset's.
func (v *verifier) labels() {
	label := map[string]int64{}
	for _, c := range v.d.Classes() {
		label[c.Synset] = int64(c.Label)
	}
	last, want := "", int64(-1)
	for i := range v.s.Len() {
		if synset := v.s.Synset(i); synset != last {
			l, ok := label[synset]
			if last, want = synset, l; !ok {
				want = -1
			}
		}
		if got := v.s.Label(i); got != want {
			v.p.add(v.s.Name+"/"+shard.IndexName, v.s.Row(i).Path, "label %d, but synset %q is class %d", got, last, want)
		}
	}
}

// shards looks at the ends of every shard, counts its rows, and looks for
// shards without rows in the index.
func (v *verifier) shards(ctx context.Context) error {
	files := v.s.Files()
	rows := make([]int64, len(files))
	for i := range v.s.Len() {
		rows[v.s.FileOf(i)]++
	}
	named := map[string]bool{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(v.o.workers())
	for i, file := range files {
		named[file] = true
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			got, err := v.ends(file)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				v.p.add(file, "", "it is missing")
			case errors.Is(err, shard.ErrCorrupt):
				v.p.add(file, "", "%s", reason(err, v.path(file)))
			case err != nil:
				return err
			case got != rows[i]:
				v.p.add(file, "", "%d rows, but %d in the index", got, rows[i])
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if n := len(files); n != v.s.Info.Shards {
		v.p.add(v.s.Name+"/"+shard.IndexName, "", "%d shards, but %d in the manifest", n, v.s.Info.Shards)
	}
	found, err := listShards(v.d.Dir, v.s.Name)
	for _, file := range found {
		if !named[file] {
			v.p.add(file, "", "no row of the index lies in it")
		}
	}
	return err
}

// ends reads what a shard says of itself, and counts its rows.
func (v *verifier) ends(file string) (rows int64, err error) {
	in, err := shard.OpenFile(v.path(file))
	if err != nil {
		return 0, err
	}
	defer in.Close()
	v.p.checkPlace(file, v.s.Name, in.Meta)
	return in.Rows(), nil
}

// checkPlace wants a shard to lie where its split and its synset say.
func (p *problems) checkPlace(file, split string, meta shard.FileMeta) {
	want := path.Dir(shard.ShardName(split, meta.Synset, 0))
	switch {
	case meta.Split != split:
		p.add(file, "", "it belongs to split %q", meta.Split)
	case path.Dir(file) != want:
		p.add(file, "", "it belongs into %s", want)
	}
}

// listShards names the shards of a split that are there, relative to the
// dataset, in order.
func listShards(dir, split string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(filepath.Join(dir, split), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := e.Name()
		if e.IsDir() || !strings.HasSuffix(name, ".arrow") || strings.HasPrefix(name, ".") || name == shard.IndexName {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		out = append(out, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list shards of %s: %w", split, err)
	}
	return out, nil
}
