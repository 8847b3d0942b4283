package infer

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/synshard/synshard/shard"
)

// columns is the images of a file of columns, Parquet or Arrow, read a group
// of rows at a time. Groups are asked for nearly in order, so that the last few
// are enough to keep. An image is image struct<bytes, path>, as Hugging Face
// has it, or a binary column image, bytes, image_bytes, jpg or jpeg; its name
// is the struct's path or a column path; its truth a column synset, or label,
// if that is a name or an integer that the file's metadata names.
type columns struct {
	name   string
	starts []int // first row of each group
	n      int
	load   func(group int) ([]arrow.Record, error) // from one goroutine at a time
	close  func() error
	labels []string // the names of integer labels; nil: none
	known  func(string) bool

	mu    sync.Mutex
	kept  []*group // newest last
	names map[int]*names
}

// group is the images of a group of rows.
type group struct {
	number int
	images [][]byte
}

// names is what is kept of a group for good.
type names struct{ path, synset []string }

const keptGroups = 3

func (c *columns) Len() int     { return c.n }
func (c *columns) Close() error { return c.close() }

func (c *columns) place(i int) (group, row int) {
	g := sort.SearchInts(c.starts, i+1) - 1
	return g, i - c.starts[g]
}

func (c *columns) Path(i int) string {
	g, row := c.place(i)
	if n := c.of(g); n != nil && n.path[row] != "" {
		return n.path[row]
	}
	return fmt.Sprintf("%s#%d", c.name, i)
}

func (c *columns) Synset(i int) string {
	g, row := c.place(i)
	if n := c.of(g); n != nil && c.known != nil && c.known(n.synset[row]) {
		return n.synset[row]
	}
	return ""
}

// of gives a group's names; nil where it cannot be read, which Read reports.
func (c *columns) of(g int) *names {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names[g] == nil {
		if _, err := c.fetch(g); err != nil {
			return nil
		}
	}
	return c.names[g]
}

func (c *columns) Read(i int, buf []byte) ([]byte, error) {
	g, row := c.place(i)
	c.mu.Lock()
	defer c.mu.Unlock()
	have, err := c.fetch(g)
	if err != nil {
		return nil, fmt.Errorf("%s: rows from %d: %w", c.name, c.starts[g], err)
	}
	image := have.images[row]
	if image == nil {
		return nil, fmt.Errorf("%w: row %d has no bytes", ErrUnreadable, i)
	}
	return append(buf[:0], image...), nil
}

// fetch gives a group, which it may have to read. The lock is held.
func (c *columns) fetch(g int) (*group, error) {
	for _, k := range c.kept {
		if k.number == g {
			return k, nil
		}
	}
	if len(c.kept) == keptGroups {
		c.kept = append(c.kept[:0], c.kept[1:]...)
	}
	records, err := c.load(g)
	if err != nil {
		return nil, err
	}
	out, said := &group{number: g}, &names{}
	for _, rec := range records {
		err := Guarded(func() error { return c.take(rec, out, said) })
		rec.Release()
		if err != nil {
			return nil, err
		}
	}
	end := c.n
	if g+1 < len(c.starts) {
		end = c.starts[g+1]
	}
	if len(out.images) != end-c.starts[g] {
		return nil, fmt.Errorf("%w: %d rows where %d are announced", shard.ErrCorrupt, len(out.images), end-c.starts[g])
	}
	c.kept, c.names[g] = append(c.kept, out), said
	return out, nil
}

// take copies what matters out of a record.
func (c *columns) take(rec arrow.Record, g *group, said *names) error {
	image, path, synset, err := find(rec)
	if err != nil {
		return err
	}
	for i := range int(rec.NumRows()) {
		var bytes []byte
		if b, ok := image(i); ok {
			bytes = append([]byte{}, b...)
		}
		g.images = append(g.images, bytes)
		said.path = append(said.path, text(path, i))
		s := text(synset, i)
		if v, ok := synset.(*array.Int64); ok && v.IsValid(i) {
			if at := v.Value(i); at >= 0 && at < int64(len(c.labels)) {
				s = c.labels[at]
			}
		}
		said.synset = append(said.synset, s)
	}
	return nil
}

// text is a string out of a column of strings, a copy; "" otherwise.
func text(a arrow.Array, i int) string {
	if a == nil || a.IsNull(i) {
		return ""
	}
	switch a := a.(type) {
	case *array.String:
		return string([]byte(a.Value(i)))
	case *array.LargeString:
		return string([]byte(a.Value(i)))
	}
	return ""
}

var errNoImages = errors.New("no column of images: want image as struct<bytes, path> or binary, or bytes, image_bytes, jpg or jpeg as binary")

// find gives the columns of a record that matter.
func find(rec arrow.Record) (image func(i int) ([]byte, bool), path, synset arrow.Array, err error) {
	column := func(names ...string) arrow.Array {
		for _, name := range names {
			if at := rec.Schema().FieldIndices(name); len(at) == 1 {
				return rec.Column(at[0])
			}
		}
		return nil
	}
	path, synset = column("path", "file_name", "filename"), column("synset", "label", "cls")
	bytes := column("image", "bytes", "image_bytes", "jpg", "jpeg")
	if s, ok := bytes.(*array.Struct); ok {
		bytes = nil
		for i, f := range s.DataType().(*arrow.StructType).Fields() {
			switch f.Name {
			case "bytes":
				bytes = s.Field(i)
			case "path":
				path = s.Field(i)
			}
		}
	}
	switch b := bytes.(type) {
	case *array.Binary:
		return func(i int) ([]byte, bool) { return b.Value(i), b.IsValid(i) }, path, synset, nil
	case *array.LargeBinary:
		return func(i int) ([]byte, bool) { return b.Value(i), b.IsValid(i) }, path, synset, nil
	}
	return nil, nil, nil, errNoImages
}

// labelNames finds the names of integer labels in Hugging Face's metadata.
func labelNames(text string) []string {
	var v struct {
		Info struct {
			Features map[string]struct {
				Names []string `json:"names"`
			} `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(text), &v) != nil { // of another shape: labels have no names here
		return nil
	}
	return v.Info.Features["label"].Names
}
