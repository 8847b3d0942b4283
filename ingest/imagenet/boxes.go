package imagenet

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/shard"
)

// Boxes are the objects marked in images, by the image's name without directory
// and extension (Stem).
type Boxes map[string][]shard.Object

// annotation is a PASCAL VOC annotation, which is what ImageNet's boxes are.
type annotation struct {
	Objects []struct {
		Name string `xml:"name"`
		Box  struct {
			XMin coordinate `xml:"xmin"`
			YMin coordinate `xml:"ymin"`
			XMax coordinate `xml:"xmax"`
			YMax coordinate `xml:"ymax"`
		} `xml:"bndbox"`
	} `xml:"object"`
}

// coordinate is a number of pixels. A fraction is cut off: other people's annotations have some, and copies of
// Kaggle's solutions that went through a table program.
type coordinate int32

// UnmarshalText reads a number; of nothing it is 0.
func (c *coordinate) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "" {
		return nil
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x > -1<<31 && x < 1<<31) {
		return fmt.Errorf("%q is not a coordinate", s)
	}
	*c = coordinate(x)
	return nil
}

// add takes the boxes of one annotation file.
func (b Boxes) add(name string, text []byte) error {
	var a annotation
	if err := xml.Unmarshal(text, &a); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var out []shard.Object
	for _, o := range a.Objects {
		out = append(out, shard.Object{Synset: o.Name, XMin: int32(o.Box.XMin), YMin: int32(o.Box.YMin), XMax: int32(o.Box.XMax), YMax: int32(o.Box.YMax)})
	}
	b[Stem(name)] = out
	return nil
}

// Read adds the annotations (.xml) in an archive or a folder. Some of the releases
// nest one tar a synset, compressed too.
func (b Boxes) Read(ctx context.Context, from string) error {
	return eachFile(ctx, from, func(name string) bool { return path.Ext(name) == ".xml" || strings.HasSuffix(name, ".tar.gz") },
		func(name string, text []byte) error {
			add := b.add
			if strings.HasSuffix(name, ".tar.gz") {
				add = b.readPacked
			}
			if err := add(name, text); err != nil {
				return fmt.Errorf("%s: %w", from, err)
			}
			return nil
		})
}

// readPacked adds the annotations of a compressed tar within an archive.
func (b Boxes) readPacked(name string, packed []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	for t := tar.NewReader(z); err == nil; {
		var h *tar.Header
		if h, err = t.Next(); err != nil || path.Ext(h.Name) != ".xml" {
			continue
		}
		var text []byte
		if text, err = io.ReadAll(io.LimitReader(t, maxFile)); err == nil {
			err = b.add(h.Name, text)
		}
	}
	if err != io.EOF {
		return fmt.Errorf("member %s: %w", name, err)
	}
	return nil
}

// Sum is a SHA-256 of all boxes.
func (b Boxes) Sum() [32]byte {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(b)) {
		fmt.Fprintf(h, "%q %v\n", name, b[name])
	}
	return [32]byte(h.Sum(nil))
}

// Kaggle's solutions, which hold the boxes of its training and validation images.
const (
	TrainSolution = "LOC_train_solution.csv"
	ValSolution   = "LOC_val_solution.csv"
)

// AddSolution takes the boxes of one of Kaggle's solutions.
func (b Boxes) AddSolution(text []byte) error {
	return solution(bytes.NewReader(text), func(image string, boxes []shard.Object) { b[image] = boxes })
}

// solution reads one of Kaggle's solutions: an image's name, then
// "n01440764 xmin ymin xmax ymax" for each box. The first synset is the image's
// class. Every image given to f has a name and at least one box.
func solution(r io.Reader, f func(image string, boxes []shard.Object)) error {
	c := csv.NewReader(r)
	c.FieldsPerRecord, c.ReuseRecord = 2, true
	for n := 1; ; n++ {
		rec, err := c.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 1 {
			rec[0] = strings.TrimPrefix(rec[0], "\ufeff")
			if rec[0] == "ImageId" {
				continue
			}
		}
		boxes, err := parseBoxes(strings.Fields(rec[1]))
		if err == nil && rec[0] == "" {
			err = fmt.Errorf("no name of an image")
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		f(rec[0], boxes)
	}
}

// parseBoxes reads a synset and four numbers for each box.
func parseBoxes(words []string) ([]shard.Object, error) {
	if len(words) == 0 || len(words)%5 != 0 {
		return nil, fmt.Errorf("%q is not a synset and four numbers for each box", strings.Join(words, " "))
	}
	var boxes []shard.Object
	for ; len(words) > 0; words = words[5:] {
		var v [4]coordinate
		for i := range v {
			if err := v[i].UnmarshalText([]byte(words[1+i])); err != nil {
				return nil, err
			}
		}
		boxes = append(boxes, shard.Object{Synset: words[0], XMin: int32(v[0]), YMin: int32(v[1]), XMax: int32(v[2]), YMax: int32(v[3])})
	}
	return boxes, nil
}
