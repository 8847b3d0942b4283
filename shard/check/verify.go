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
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// Problem is something wrong with a dataset.
type Problem struct {
	File  string `json:"file"`           // relative to the dataset's directory, with slashes
	Image string `json:"path,omitempty"` // path of the image; "": the whole file is meant
	What  string `json:"what"`           // for people
}

func (p Problem) String() string {
	if p.Image != "" {
		return p.File + ": image " + p.Image + ": " + p.What
	}
	return p.File + ": " + p.What
}

// VerifyOptions say how thoroughly, by how many workers, and whom to tell.
type VerifyOptions struct {
	// Fast holds class list and indexes to the manifest, looks at the shards' heads
	// and footers and counts their rows, and reads no image.
	Fast    bool
	Workers int // 0: one a CPU
	// OnBytes is told the bytes of images that were read, from many
	// goroutines.
	OnBytes func(n int64)
	// OnForeign is told of each file in the directory that is no part of the
	// dataset, in order of their names.
	OnForeign func(file string)
}

// problems collects what is found, from many goroutines.
type problems struct {
	mu    sync.Mutex
	list  []Problem
	files map[string]bool // of the list
}

func (p *problems) add(file, image, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, Problem{file, image, fmt.Sprintf(format, args...)})
	if p.files == nil {
		p.files = map[string]bool{}
	}
	p.files[file] = true
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

// has says whether something was found wrong with a file.
func (p *problems) has(file string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.files[file]
}

// Verify holds the dataset in a directory, here or elsewhere, to its sums: the manifest to its own, class list,
// indexes and lists to the manifest, every shard to its list and to the rows
// that lie in it, every image to its CRC-32C and SHA-256, what was refused to its
// list; and looks for what else lies there. What is wrong comes as problems, in
// order of file and image; an error means that the dataset could not be looked at:
// it is none (shard.ErrNotDataset), newer (shard.ErrVersion), or could not be read.
func Verify(ctx context.Context, dir files.Dir, o VerifyOptions) ([]Problem, error) {
	m, err := shard.CheckManifest(dir)
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
	own := ownFiles(m)
	for _, name := range d.Splits() {
		v := verifier{dir: dir, d: d, name: name, o: o, p: &p, own: own}
		if err := v.verify(ctx); err != nil {
			return nil, err
		}
	}
	if err := verifyRejected(dir, m, o, &p, own); err != nil {
		return nil, err
	}
	if err := verifyOthers(dir, m, o, &p, own); err != nil {
		return nil, err
	}
	slices.SortFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Image, b.Image), cmp.Compare(a.What, b.What))
	})
	return p.list, nil
}

// verifier holds one split to its index and its list of shards.
type verifier struct {
	dir  files.Dir
	d    *shard.Dataset
	name string
	s    *shard.Split // nil: its index is damaged
	sums map[string]shard.ShardInfo
	o    VerifyOptions
	p    *problems
	own  map[string]bool // files of the dataset; verify adds the split's
}

func (v *verifier) verify(ctx context.Context) error {
	if err := v.list(); err != nil {
		return err
	}
	var err error
	v.s, err = v.d.Split(v.name)
	if errors.Is(err, shard.ErrCorrupt) {
		v.p.add(v.name+"/"+shard.IndexName, "", "%s", reason(err, ""))
		return v.eachOf(ctx, slices.Sorted(maps.Keys(v.sums)), v.sum)
	}
	if err != nil {
		return err
	}
	for _, file := range v.s.Files() {
		v.own[file] = true
	}
	if len(v.d.Classes()) > 0 {
		v.labels()
	}
	return v.shards(ctx)
}

// list reads the list of the split's shards, where the manifest has one.
func (v *verifier) list() error {
	v.sums = map[string]shard.ShardInfo{}
	sum := v.d.Manifest.Splits[v.name].ShardsSHA256
	if sum == "" {
		return nil
	}
	list, err := shard.ReadShards(v.dir, v.name, sum)
	if errors.Is(err, shard.ErrCorrupt) {
		v.p.add(v.name+"/"+shard.ShardsName, "", "%s", reason(err, ""))
		return nil
	}
	for _, s := range list {
		v.sums[s.File], v.own[s.File] = s, true
	}
	return err
}

// sum holds a shard that no row tells of to the list of shards.
func (v *verifier) sum(ctx context.Context, file string) error {
	want, listed := v.sums[file]
	if !listed || v.p.has(file) {
		return ctx.Err()
	}
	what, err := v.sized(want)
	if err == nil && what == "" && !v.o.Fast {
		var got shard.ShardInfo
		if got, err = shard.SumFile(v.dir, file); errors.Is(err, shard.ErrCorrupt) {
			what, err = reason(err, v.dir.Path(file)), nil
		} else if got != want {
			what = otherSum
		}
	}
	if err != nil {
		return err
	}
	if what != "" {
		v.p.add(file, "", "%s", what)
	}
	return ctx.Err()
}

const otherSum = "it does not have the crc32c of the list of shards"

// sized says how a shard's size differs from what the list says of it.
func (v *verifier) sized(want shard.ShardInfo) (string, error) {
	info, err := v.dir.Stat(want.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it is missing", nil
	case err != nil:
		return "", err
	case info.Size() != want.Size:
		return fmt.Sprintf("%d bytes, but %d were written", info.Size(), want.Size), nil
	}
	return "", nil
}

// eachOf does something with each of many files, several at a time.
func (v *verifier) eachOf(ctx context.Context, names []string, do func(ctx context.Context, file string) error) error {
	return inorder.Each(ctx, files.AtOnce(v.dir, v.o.workers()), len(names), func(ctx context.Context, i int) error { return do(ctx, names[i]) })
}

func (o VerifyOptions) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return processors.Count()
}

// fast looks at the ends of a shard and counts its rows.
func (v *verifier) fast(ctx context.Context, file string, rows int64) error {
	in, err := shard.OpenFile(v.dir, file)
	if err != nil {
		return v.damaged(file, err)
	}
	defer in.Close()
	if !v.ends(in, file, rows) {
		return nil
	}
	return v.sum(ctx, file)
}

// whole reads a shard from front to back, once, and holds it to the rows that the index
// has for it and to the list of shards: what no row tells of, between and beside the
// buffers, is damaged too.
func (v *verifier) whole(ctx context.Context, file string, rows []int32) error {
	sum := &summedDir{Dir: v.dir}
	in, err := shard.OpenFile(sum, file)
	if err != nil {
		return v.damaged(file, err)
	}
	defer in.Close()
	v.ends(in, file, int64(len(rows)))
	err = cmp.Or(in.CheckSchema(), v.rows(ctx, in, file, rows))
	if want, listed := v.sums[file]; err == nil && listed && !v.p.has(file) {
		var size int64
		var crc uint32
		if size, crc, err = sum.whole(); err == nil && size != want.Size {
			v.p.add(file, "", "%d bytes, but %d were written", size, want.Size)
		} else if err == nil && crc != want.CRC32C || in.Rows() != want.Rows {
			v.p.add(file, "", otherSum)
		}
	}
	return v.damaged(file, err)
}

// damaged notes what a shard could not be read for, where that is the shard.
func (v *verifier) damaged(file string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.p.add(file, "", "it is missing")
	case errors.Is(err, shard.ErrCorrupt):
		v.p.add(file, "", "%s", reason(err, v.dir.Path(file)))
	default:
		return err
	}
	return nil
}

// ends wants a shard to say of itself that it lies where it does, and to have so many rows.
func (v *verifier) ends(in *shard.FileReader, file string, rows int64) bool {
	v.p.checkPlace(file, v.s.Name, in.Meta)
	if in.Rows() != rows {
		v.p.add(file, "", "%d rows, but %d in the index", in.Rows(), rows)
		return false
	}
	return true
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

// shards looks at every shard, and for shards without rows in the index.
func (v *verifier) shards(ctx context.Context) error {
	names := v.s.Files()
	rows := map[string]int64{}
	of := map[string][]int32{}
	for i := range v.s.Len() {
		file := names[v.s.FileOf(i)]
		rows[file]++
		if !v.o.Fast {
			of[file] = append(of[file], int32(i))
		}
	}
	err := v.eachOf(ctx, names, func(ctx context.Context, file string) error {
		if v.o.Fast {
			return v.fast(ctx, file, rows[file])
		}
		return v.whole(ctx, file, of[file])
	})
	if err != nil {
		return err
	}
	if n := len(names); n != v.s.Info.Shards {
		v.p.add(v.name+"/"+shard.IndexName, "", "%d shards, but %d in the manifest", n, v.s.Info.Shards)
	}
	for file, s := range v.sums {
		if s.Rows != rows[file] {
			v.p.add(v.name+"/"+shard.ShardsName, "", "%s has %d rows, but %d in the index", file, s.Rows, rows[file])
		}
	}
	found, err := listShards(v.dir, v.name)
	for _, file := range found {
		if _, named := rows[file]; !named {
			v.own[file] = true
			v.p.add(file, "", "no row of the index lies in it")
		}
	}
	return err
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
func listShards(dir files.Dir, split string) ([]string, error) {
	var out []string
	err := dir.Walk(split, func(name string, e fs.DirEntry) error {
		if !e.IsDir() && isShard(e.Name()) {
			out = append(out, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list shards of %s: %w", split, err)
	}
	slices.SortFunc(out, func(a, b string) int { // as directories are listed, and keys are not
		return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
	})
	return out, nil
}
