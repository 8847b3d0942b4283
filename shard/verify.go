package shard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/internal/processors"
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

// reason is an error's text without the words every problem would carry.
func reason(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+ErrCorrupt.Error())
}

// Verify holds the dataset in dir to its sums: class list and indexes to the
// manifest, every image to its CRC-32C and SHA-256, every shard to the rows
// that lie in it; and looks for shards no index names. What is wrong comes as
// problems, in order of file and image; an error means that the dataset could
// not be looked at.
func Verify(ctx context.Context, dir string, o VerifyOptions) ([]Problem, error) {
	m, err := ReadManifest(dir)
	if errors.Is(err, ErrCorrupt) {
		return []Problem{{File: ManifestName, What: reason(err)}}, nil
	}
	if err != nil {
		return nil, err
	}
	var p problems
	classes, err := readClasses(dir, m.ClassesSHA256)
	if errors.Is(err, ErrCorrupt) {
		p.add(ClassesName, "", "%s", reason(err))
	} else if err != nil {
		return nil, err
	}
	d := &Dataset{Dir: dir, Manifest: m, classes: classes, splits: map[string]*Split{}, files: newFileCache(dir)}
	defer d.Close()
	for _, name := range d.Splits() {
		s, err := d.Split(name)
		if errors.Is(err, ErrCorrupt) {
			p.add(name+"/"+IndexName, "", "%s", reason(err))
			continue
		}
		if err == nil {
			err = s.verify(ctx, o, &p)
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

func (s *Split) verify(ctx context.Context, o VerifyOptions, p *problems) error {
	if len(s.d.classes) > 0 {
		s.verifyLabels(p)
	}
	if err := s.verifyShards(ctx, o, p); err != nil || o.Fast {
		return err
	}
	rows := make([][]int32, len(s.index.files))
	for i, n := range s.index.fileOf {
		rows[n] = append(rows[n], int32(i))
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.workers())
	for n := range rows {
		g.Go(func() error { return s.verifyFile(gctx, s.index.files[n], rows[n], o, p) })
	}
	return g.Wait()
}

func (o VerifyOptions) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return processors.Count()
}

// verifyFile reads a shard from front to back and holds it to the rows that
// the index has for it.
func (s *Split) verifyFile(ctx context.Context, file string, rows []int32, o VerifyOptions, p *problems) error {
	f, size, err := openFile(filepath.Join(s.d.Dir, filepath.FromSlash(file)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // verifyShards has said so
	}
	if err != nil {
		return err
	}
	defer f.Close()
	ipc, err := openIPC(f, size, shardFields)
	if err == nil {
		var meta FileMeta
		if meta, err = shardMeta(ipc.meta); err == nil && meta.Split != s.Name {
			p.add(file, "", "it says that it belongs to split %q", meta.Split)
		}
	}
	if err == nil {
		at := make(map[int64]int32, len(rows))
		for _, i := range rows {
			b, k := s.index.at(int(i))
			at[b.columns[indexOffset].i64(k)] = i
		}
		err = eachImage(ipc, file, func(r *Row, image []byte) error {
			i, ok := at[r.Offset]
			delete(at, r.Offset)
			if !ok {
				p.add(file, r.Path, "no row of the index lies where it does")
			} else {
				s.verifyImage(i, r, image, p)
			}
			if o.OnBytes != nil {
				o.OnBytes(r.Length)
			}
			return ctx.Err()
		})
		for _, i := range at {
			if err == nil {
				p.add(file, s.Row(int(i)).Path, "it is not where the index says")
			}
		}
	}
	if errors.Is(err, ErrCorrupt) {
		p.add(file, "", "%s", reason(err))
		return nil
	}
	return err
}

// verifyImage holds an image and its columns to row i of the index.
func (s *Split) verifyImage(i int32, r *Row, image []byte, p *problems) {
	want := s.Row(int(i))
	switch {
	case r.CRC32C != want.CRC32C:
		p.add(r.File, want.Path, "it does not have its crc32c")
	case sha256.Sum256(image) != want.SHA256:
		p.add(r.File, want.Path, "it does not have its sha256")
	case !sameRow(r, &want):
		p.add(r.File, want.Path, "its columns are not the index's")
	}
}

// sameRow compares everything of two rows.
func sameRow(a, b *Row) bool {
	x, y := *a, *b
	x.Objects, y.Objects = nil, nil
	return reflect.DeepEqual(x, y) && slices.Equal(a.Objects, b.Objects)
}

// verifyLabels wants the label of every row to be its synset's.
func (s *Split) verifyLabels(p *problems) {
	want := make([]int64, len(s.index.synsets))
	for i, name := range s.index.synsets {
		want[i] = -1
		if k, ok := slices.BinarySearchFunc(s.d.classes, name, func(c Class, n string) int { return cmp.Compare(c.Synset, n) }); ok {
			want[i] = int64(k)
		}
	}
	for i, n := range s.index.synsetOf {
		if got := s.index.label(i); got != want[n] {
			p.add(s.Name+"/"+IndexName, s.Row(i).Path, "label %d, but synset %q is class %d", got, s.index.synsets[n], want[n])
		}
	}
}

// verifyShards looks at the ends of every shard, counts its rows, and looks
// for shards without rows in the index.
func (s *Split) verifyShards(ctx context.Context, o VerifyOptions, p *problems) error {
	rows := make([]int64, len(s.index.files))
	for _, n := range s.index.fileOf {
		rows[n]++
	}
	named := map[string]bool{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.workers())
	for i, file := range s.index.files {
		named[file] = true
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			got, err := shardRows(filepath.Join(s.d.Dir, filepath.FromSlash(file)))
			switch {
			case errors.Is(err, fs.ErrNotExist):
				p.add(file, "", "it is missing")
			case errors.Is(err, ErrCorrupt):
				p.add(file, "", "%s", reason(err))
			case err != nil:
				return err
			case got != rows[i]:
				p.add(file, "", "%d rows, but %d in the index", got, rows[i])
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if n := len(s.index.files); n != s.Info.Shards {
		p.add(s.Name+"/"+IndexName, "", "%d shards, but %d in the manifest", n, s.Info.Shards)
	}
	found, err := listShards(s.d.Dir, s.Name)
	for _, file := range found {
		if !named[file] {
			p.add(file, "", "no row of the index lies in it")
		}
	}
	return err
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
		if e.IsDir() || !strings.HasSuffix(name, ".arrow") || strings.HasPrefix(name, ".") || name == IndexName {
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

// SHA256 is the sum that the sha256 column holds.
func SHA256(b []byte) [32]byte { return sha256.Sum256(b) }
