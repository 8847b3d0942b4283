package ingest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/shard"
)

// annotation is a PASCAL VOC annotation, which is what ImageNet's boxes are.
type annotation struct {
	Objects []struct {
		Name string `xml:"name"`
		Box  struct {
			XMin int32 `xml:"xmin"`
			YMin int32 `xml:"ymin"`
			XMax int32 `xml:"xmax"`
			YMax int32 `xml:"ymax"`
		} `xml:"bndbox"`
	} `xml:"object"`
}

func parseAnnotation(b []byte) ([]shard.Object, error) {
	var a annotation
	if err := xml.Unmarshal(b, &a); err != nil {
		return nil, err
	}
	var out []shard.Object
	for _, o := range a.Objects {
		out = append(out, shard.Object{Synset: o.Name, XMin: o.Box.XMin, YMin: o.Box.YMin, XMax: o.Box.XMax, YMax: o.Box.YMax})
	}
	return out, nil
}

// readBoxes reads annotations from a tar, a tar.gz or a directory. They belong
// to images by name, without directory and extension.
func (j *job) readBoxes(from string) error {
	if info, err := os.Stat(from); err != nil {
		return err
	} else if info.IsDir() {
		list, err := dirEntries(from)
		if err != nil {
			return err
		}
		for _, e := range list {
			b, err := e.read()
			if err != nil {
				return err
			}
			if err := j.addBoxes(from, e.name, b); err != nil {
				return err
			}
		}
		return nil
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := unzipped(f)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return j.tarBoxes(from, tar.NewReader(r), 0)
}

// tarBoxes walks a tar of annotations; some of the releases nest one a synset.
func (j *job) tarBoxes(from string, t *tar.Reader, depth int) error {
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", from, unexpected(err))
		}
		switch {
		case h.Typeflag != tar.TypeReg:
		case strings.HasSuffix(h.Name, ".tar") || strings.HasSuffix(h.Name, ".tar.gz"):
			if depth > 1 {
				return fmt.Errorf("%s: member %s: tars nested too deep", from, h.Name)
			}
			r, err := unzipped(t)
			if err != nil {
				return fmt.Errorf("%s: member %s: %w", from, h.Name, err)
			}
			if err := j.tarBoxes(from+": "+h.Name, tar.NewReader(r), depth+1); err != nil {
				return err
			}
		default:
			b, err := io.ReadAll(io.LimitReader(t, maxKitFile))
			if err != nil {
				return fmt.Errorf("%s: member %s: %w", from, h.Name, unexpected(err))
			}
			if err := j.addBoxes(from, h.Name, b); err != nil {
				return err
			}
		}
	}
}

func (j *job) addBoxes(from, name string, b []byte) error {
	if path.Ext(name) != ".xml" {
		return nil
	}
	objects, err := parseAnnotation(b)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", from, name, err)
	}
	j.boxes[stem(name)] = objects
	return nil
}

// boxSum is a sum of all boxes given.
func (j *job) boxSum() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(j.boxes)) {
		fmt.Fprintf(h, "%q %v\n", name, j.boxes[name])
	}
	return fmt.Sprintf("of %d images, sha256 %x", len(j.boxes), h.Sum(nil))
}

// unzipped undoes gzip where the first bytes say so.
func unzipped(r io.Reader) (io.Reader, error) {
	br := bufio.NewReaderSize(r, 1<<20)
	if head, _ := br.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return gzip.NewReader(br)
	}
	return br, nil
}

// solution reads LOC_train_solution.csv or LOC_val_solution.csv: an image's
// name, then "n01440764 xmin ymin xmax ymax" for each box. The first synset is
// the image's.
func (j *job) solution(root string, e entry, truth map[string]string) error {
	b, err := e.read()
	if err != nil {
		return err
	}
	err = parseSolution(bytes.NewReader(b), func(id string, boxes []shard.Object) {
		truth[id], j.boxes[id] = boxes[0].Synset, boxes
	})
	if err != nil {
		return fmt.Errorf("%s: %s: %w", root, e.name, err)
	}
	return nil
}

func parseSolution(r io.Reader, f func(id string, boxes []shard.Object)) error {
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
		if n == 1 && rec[0] == "ImageId" {
			continue
		}
		words := strings.Fields(rec[1])
		if len(words) == 0 || len(words)%5 != 0 || rec[0] == "" {
			return fmt.Errorf("line %d: %q is not a synset and four numbers for each box", n, rec[1])
		}
		var boxes []shard.Object
		for ; len(words) > 0; words = words[5:] {
			var v [4]int32
			for i := range v {
				x, err := strconv.ParseInt(words[1+i], 10, 32)
				if err != nil {
					return fmt.Errorf("line %d: %w", n, err)
				}
				v[i] = int32(x)
			}
			boxes = append(boxes, shard.Object{Synset: words[0], XMin: v[0], YMin: v[1], XMax: v[2], YMax: v[3]})
		}
		f(rec[0], boxes)
	}
}

// listEntries reads a list of images, "path,label" a line with commas or tabs;
// paths are relative to the list's directory. A first line "path,label" is a
// heading. Without a label the image has no class.
func listEntries(file string) ([]entry, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list, err := parseList(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range list {
		p := filepath.FromSlash(list[i].name)
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(file), p)
		}
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list[i].size = info.Size()
		list[i].read = func() ([]byte, error) { return os.ReadFile(p) }
	}
	return sortEntries(file, list)
}

func parseList(b []byte) ([]entry, error) {
	c := csv.NewReader(bytes.NewReader(b))
	c.FieldsPerRecord = -1
	if line, _, _ := bytes.Cut(b, []byte("\n")); bytes.ContainsRune(line, '\t') {
		c.Comma = '\t'
	}
	var list []entry
	for n := 1; ; n++ {
		rec, err := c.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if n == 1 && rec[0] == "path" {
			continue
		}
		if len(rec) > 2 || rec[0] == "" {
			return nil, fmt.Errorf("line %d: want path,label and not %q", n, rec)
		}
		e := entry{name: rec[0]}
		if len(rec) == 2 {
			e.class = strings.TrimSpace(rec[1])
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		return nil, errors.New("no images in the list")
	}
	return list, nil
}
