// Package shardtest makes datasets for tests, opens them and damages them.
package shardtest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// Frozen is the dataset that package shard keeps for ever, seen from the
// packages beside this one: a train split of five images in each of four
// classes, a val split of eight and a test split of three.
const Frozen = "../testdata/v1"

// Copy is Frozen in a directory of the test's own.
func Copy(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(Frozen)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Open opens a dataset, which is closed when the test ends.
func Open(t testing.TB, dir string) *shard.Dataset {
	t.Helper()
	d, err := shard.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// OpenSplit opens a dataset for one split.
func OpenSplit(t testing.TB, dir, name string) *shard.Split {
	t.Helper()
	s, err := Open(t, dir).Split(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// View is the whole of a split.
func View(t testing.TB, s *shard.Split) *shard.View {
	t.Helper()
	v, err := s.Select(shard.Selection{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Split is the images of a split that Write writes: each synset's in a shard of
// its own, or all in one.
type Split struct {
	Name     string         // train, val or test
	BySynset bool           // a shard for each synset
	Images   []*shard.Image // in the order in which they are written
}

// Write writes a dataset of synsets, in the order of their labels, and splits
// into an empty directory.
func Write(t testing.TB, dir string, synsets []string, splits ...Split) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	m := shard.Manifest{WordNetVersion: "3.0", Splits: map[string]shard.SplitInfo{}}
	var classes []shard.Class
	for label, synset := range synsets {
		classes = append(classes, shard.Class{Label: label, Synset: synset})
	}
	var err error
	m.ClassesSHA256, err = shard.WriteClasses(files.Local(dir), classes)
	must(err)
	for _, s := range splits {
		var rows []shard.Row
		var info shard.SplitInfo
		for synset, images := range s.shards() {
			path := filepath.Join(dir, filepath.FromSlash(shard.ShardName(s.Name, synset, 0)))
			must(os.MkdirAll(filepath.Dir(path), 0o777))
			w, err := shard.CreateFile(files.Local(filepath.Dir(path)), filepath.Base(path), shard.FileMeta{Split: s.Name, Synset: synset, ClassNames: synsets})
			must(err)
			defer w.Abort()
			for _, im := range images {
				must(w.Append(im))
				info.Bytes += int64(len(im.Bytes))
			}
			written, err := w.Commit()
			must(err)
			rows = append(rows, written...)
			info.Shards++
		}
		info.Rows = int64(len(rows))
		info.IndexSHA256, err = shard.WriteIndex(files.Local(dir), s.Name, rows)
		must(err)
		m.Splits[s.Name] = info
	}
	must(shard.WriteManifest(files.Local(dir), m))
}

func (s Split) shards() map[string][]*shard.Image {
	if !s.BySynset {
		return map[string][]*shard.Image{"": s.Images}
	}
	out := map[string][]*shard.Image{}
	for _, im := range s.Images {
		out[im.Synset] = append(out[im.Synset], im)
	}
	return out
}

// Edit changes what a file of a dataset, named as its rows name it, holds.
func Edit(t testing.TB, dir, name string, change func(b []byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// FlipImage flips a bit in the middle of an image of a shard, the last of its
// rows.
func FlipImage(t testing.TB, dir, name string) {
	t.Helper()
	rows, _, err := shard.ScanFile(files.Local(dir), name)
	if err != nil {
		t.Fatal(err)
	}
	last := slices.MaxFunc(rows, func(a, b shard.Row) int { return int(a.Offset - b.Offset) })
	Edit(t, dir, name, func(b []byte) []byte {
		b[last.Offset+last.Length/2] ^= 1
		return b
	})
}
