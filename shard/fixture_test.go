package shard

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/synshard/synshard/storage/files"
)

// fixtureClasses are real synsets: two cats, a fruit and a mountain.
var fixtureClasses = []Class{
	{Label: 0, Synset: "n02123045", ILSVRC2012ID: 40, Words: []string{"tabby", "tabby cat"}, Gloss: "a cat with a grey or tawny coat mottled with black", Path: []string{"n00001740", "n02121808", "n02123045"}},
	{Label: 1, Synset: "n02129604", ILSVRC2012ID: 8, Words: []string{"tiger", "Panthera tigris"}, Gloss: "large feline of forests", Path: []string{"n00001740", "n02127808", "n02129604"}},
	{Label: 2, Synset: "n07749582", ILSVRC2012ID: 3, Words: []string{"lemon"}, Gloss: "yellow oval fruit with juicy acidic flesh", Path: []string{"n00001740", "n07749582"}},
	{Label: 3, Synset: "n09472597", Words: []string{"volcano"}},
}

// drawnImage draws a small image that differs with k; every fourth is a PNG, as
// ImageNet has one under a JPEG's name.
func drawnImage(k int) (b []byte, format string) {
	w, h := 12+k%5, 9+k%3
	im := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			im.Set(x, y, color.RGBA{uint8(40*k + 9*x), uint8(90*k + 17*y), uint8(x * y), 255})
		}
	}
	var out bytes.Buffer
	var err error
	if format = "JPEG"; k%4 == 3 {
		format, err = "PNG", png.Encode(&out, im)
	} else {
		err = jpeg.Encode(&out, im, &jpeg.Options{Quality: 60})
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes(), format
}

func fixtureImage(k, label int, path string) *Image {
	b, format := drawnImage(k)
	im := &Image{Row: Row{Path: path, Label: -1, Width: int32(12 + k%5), Height: int32(9 + k%3), Format: format, Mode: "RGB", SHA256: sha256.Sum256(b)}, Bytes: b}
	if label >= 0 {
		c := fixtureClasses[label]
		im.Label, im.Synset, im.ILSVRC2012ID = int64(label), c.Synset, c.ILSVRC2012ID
	}
	if k%3 == 1 && label >= 0 {
		im.Objects = []Object{{im.Synset, 1, 2, 8, 7}, {"n02121808", 0, 0, 3, 3}}[:1+k%2]
	}
	return im
}

// fixtureImages gives the images of a split: five a class to train, in
// each class one that stands before its neighbour's; two a class to validate;
// three to test.
func fixtureImages(split string) (images []*Image) {
	switch split {
	case "train":
		for c := range fixtureClasses {
			for i := range 5 {
				images = append(images, fixtureImage(10*c+i, c, fmt.Sprintf("%s_%d.JPEG", fixtureClasses[c].Synset, 9-i)))
			}
		}
	case "val":
		for i := range 2 * len(fixtureClasses) {
			images = append(images, fixtureImage(100+i, (i*3)%len(fixtureClasses), fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i+1)))
		}
	case "test":
		for i := range 3 {
			images = append(images, fixtureImage(200+i, -1, fmt.Sprintf("ILSVRC2012_test_%08d.JPEG", i+1)))
		}
	}
	return images
}

var fixtureSplits = []string{"train", "val", "test"}

// writeFixture writes the dataset that shard/testdata/v1 is a copy of.
func writeFixture(dir string) error {
	m := Manifest{WordNetVersion: "3.0", Splits: map[string]SplitInfo{}}
	sum, err := WriteClasses(files.Local(dir), fixtureClasses)
	if err != nil {
		return err
	}
	m.ClassesSHA256 = sum
	var names []string
	for _, c := range fixtureClasses {
		names = append(names, c.Words[0])
	}
	for _, split := range fixtureSplits {
		meta := FileMeta{Split: split, ClassNames: names}
		groups := map[string][]*Image{}
		for _, im := range fixtureImages(split) {
			key := ""
			if split == "train" {
				key = im.Synset
			}
			groups[key] = append(groups[key], im)
		}
		var rows []Row
		info := SplitInfo{}
		for _, c := range append([]Class{{}}, fixtureClasses...) {
			if len(groups[c.Synset]) == 0 {
				continue
			}
			meta.Synset, meta.Words = c.Synset, fmt.Sprint(c.Words)
			path := filepath.Join(dir, filepath.FromSlash(ShardName(split, c.Synset, 0)))
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				return err
			}
			made, err := writeShard(path, meta, groups[c.Synset])
			if err != nil {
				return err
			}
			rows = append(rows, made...)
			info.Shards++
		}
		for _, r := range rows {
			info.Rows++
			info.Bytes += r.Length
		}
		if info.IndexSHA256, err = WriteIndex(files.Local(dir), split, rows); err != nil {
			return err
		}
		m.Splits[split] = info
	}
	return WriteManifest(files.Local(dir), m)
}

func writeShard(path string, meta FileMeta, images []*Image) ([]Row, error) {
	w, err := CreateFile(files.Local(filepath.Dir(path)), filepath.Base(path), meta)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	for _, im := range images {
		if err := w.Append(im); err != nil {
			return nil, err
		}
	}
	return w.Commit()
}

// fixture writes the dataset into a directory of the test's own.
func fixture(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := writeFixture(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, dir string) *Dataset {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// sorted gives the images of a split in the order of its index.
func sorted(split string) []*Image {
	images := fixtureImages(split)
	slices.SortFunc(images, func(a, b *Image) int { return compareRows(split)(&a.Row, &b.Row) })
	return images
}

// indexOf makes an index of rows, whose places are made up.
func indexOf(t testing.TB, rows []Row) *index {
	t.Helper()
	for i := range rows {
		rows[i].File, rows[i].Offset, rows[i].Length = "train/part-00000.arrow", int64(8+i), 1
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "train"), 0o777); err != nil {
		t.Fatal(err)
	}
	sum, err := WriteIndex(files.Local(dir), "train", rows)
	if err != nil {
		t.Fatal(err)
	}
	x, err := readIndex(files.Local(dir), indexName("train"), SplitInfo{Rows: int64(len(rows)), IndexSHA256: sum})
	if err != nil {
		t.Fatal(err)
	}
	return x
}
