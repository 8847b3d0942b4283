// Package columns reads images that are rows of Parquet or Arrow files. Which
// columns hold images, names and labels is told by what they are called and by
// Hugging Face's metadata.
package columns

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/internal/parquet"

	"github.com/synshard/synshard/source/entry"
)

// imageColumns are what columns of images are called, best first: of bytes, or
// of a struct of bytes and path, as Hugging Face has it.
var imageColumns = []string{"image", "img", "imagebytes", "imgbytes", "bytes", "jpg", "jpeg", "png", "webp", "imagedata", "data", "content", "picture", "photo"}

// keyColumns are what columns of names are called in files that hold the images
// themselves, best first.
var keyColumns = append(slices.Clone(entry.PathColumns), "key", "imageid", "id", "name")

// leaf is a column of plain values, of a file or of a struct in it.
type leaf struct {
	path  []string // one name, or that of a struct and of a field in it
	kind  leafKind
	place []int // for the file's reader
}

type leafKind uint8

const (
	leafOther leafKind = iota
	leafBytes          // bytes, or text where a file does not say which
	leafText
	leafNumber
)

func (l *leaf) String() string { return strings.Join(l.path, ".") }

// rowFile is a file of columns: row groups of Parquet, record batches of Arrow.
type rowFile interface {
	leaves() []leaf
	groups() []int64 // rows of each
	metadata(key string) string
	// texts and numbers call f with each row of a group; ok is false where
	// there is nothing.
	texts(group int, l *leaf, f func(b []byte, ok bool) error) error
	numbers(group int, l *leaf, f func(n int64, ok bool) error) error
	// again gives a reader of its own, for one goroutine.
	again() (rowFile, error)
}

// Columns is the images of a file of columns. An entry's Place is its row.
type Columns struct {
	entry.File
	rows   rowFile // for listing and reading at random
	starts []int64 // first row of each group, and the number of all
	image  leaf
	cache  *blocks
	unread []string
}

// Unread are the columns called after classes, or classes by Hugging Face's metadata, that are
// not read as such, since a row of theirs is no one name or number: lists, structs, truth values.
func (c *Columns) Unread() []string { return c.unread }

// maxSpareRows is how many rows without bytes of their own a file may have.
const maxSpareRows = 1 << 16

// Open opens a Parquet or an Arrow file and lists the rows: names and labels
// are read, images are not. What labels there are stands in the columns given.
func Open(ctx context.Context, f entry.File, skip entry.SkipFunc) (*Columns, []entry.Entry, []entry.Column, error) {
	c, entries, labels, err := open(ctx, f, skip)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", f.Path(), marked(err))
	}
	return c, entries, labels, nil
}

func open(ctx context.Context, f entry.File, skip entry.SkipFunc) (*Columns, []entry.Entry, []entry.Column, error) {
	rows, err := openRows(f)
	if err != nil {
		return nil, nil, nil, err
	}
	if a, ok := rows.(*arrowFile); ok && a.Stream && !a.Ended {
		skip("", "the stream has no mark at its end: if it was cut off there, rows are missing", false)
	}
	c := &Columns{File: f, rows: rows, starts: []int64{0}}
	for _, n := range rows.groups() {
		total := c.starts[len(c.starts)-1] + n
		if n < 0 || total > f.Size()+maxSpareRows { // an image has a byte at least
			return nil, nil, nil, fmt.Errorf("%w: %d rows in %d bytes", entry.ErrCorrupt, total, f.Size())
		}
		c.starts = append(c.starts, total)
	}
	features, err := Features(rows.metadata(FeaturesKey))
	if err != nil {
		return nil, nil, nil, err
	}
	found, err := choose(rows.leaves(), features)
	if err != nil {
		return nil, nil, nil, err
	}
	c.image, c.unread = found.image, found.unread
	c.cache = newBlocks(c)
	if err := c.holdsImages(); err != nil {
		return nil, nil, nil, err
	}
	entries := make([]entry.Entry, c.starts[len(c.starts)-1])
	for i := range entries {
		entries[i] = entry.Entry{Size: -1, Place: int64(i)}
	}
	if err := c.names(ctx, found.name, entries); err != nil {
		return nil, nil, nil, err
	}
	var labels []entry.Column
	for _, l := range found.labels {
		column, err := c.labels(ctx, &l, features[l.path[0]].Names)
		if err != nil {
			return nil, nil, nil, err
		}
		labels = append(labels, column)
	}
	return c, entries, labels, nil
}

// openRows tells the formats by their first bytes.
func openRows(f entry.File) (rowFile, error) {
	var head [8]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if IsParquet(head[:n]) {
		return openParquet(f)
	}
	return openArrow(f)
}

// IsParquet says whether a file begins as Parquet does, also where it is
// encrypted.
func IsParquet(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PAR1")) || bytes.HasPrefix(head, []byte("PARE"))
}

// IsArrow says whether a file begins as an Arrow file or stream does.
func IsArrow(head []byte) bool { return arrowipc.Magic(head) }

// ErrNoImages says that a file of columns is something else.
var ErrNoImages = errors.New("no column of images")

// chosen are the columns that matter.
type chosen struct {
	image  leaf
	name   *leaf
	labels []leaf
	unread []string // see Columns.Unread
}

// choose finds images, names and labels among the columns.
func choose(all []leaf, features map[string]Feature) (out chosen, err error) {
	image, best := -1, len(imageColumns)+1
	var images []string
	for i := range all {
		l := &all[i]
		if l.kind != leafBytes || len(l.path) > 2 || len(l.path) == 2 && l.path[1] != "bytes" {
			continue
		}
		r := entry.Rank(l.path[0], imageColumns)
		if r < 0 {
			if len(l.path) == 1 && features[l.path[0]].Type != "Image" {
				continue
			}
			r = len(imageColumns)
			images = append(images, l.path[0])
		}
		if r < best {
			image, best = i, r
		}
	}
	switch {
	case image < 0:
		return out, fmt.Errorf("%w among %s: want image as a struct of bytes and path, or bytes called image, jpg, png or the like", ErrNoImages, columnNames(all))
	case best == len(imageColumns) && len(images) > 1:
		return out, fmt.Errorf("several columns may be the images: %s", strings.Join(images, ", "))
	}
	out.image = all[image]
	top := out.image.path[0]
	key := len(keyColumns)
	for i := range all {
		l := &all[i]
		switch {
		case len(l.path) == 2 && l.path[0] == top && len(out.image.path) == 2 && l.path[1] == "path" && l.text():
			out.name, key = l, -1
		case len(l.path) == 1 && i != image:
			if r := entry.Rank(strings.Trim(l.path[0], "_"), keyColumns); r >= 0 && r < key && l.text() {
				out.name, key = l, r
			}
			if l.kind != leafOther && (ofClasses(l, features) || entry.MaySplit(l.path[0])) {
				out.labels = append(out.labels, *l)
			}
		}
		if (len(l.path) > 1 || l.kind == leafOther) && l.path[0] != top && ofClasses(l, features) && !slices.Contains(out.unread, l.path[0]) {
			out.unread = append(out.unread, l.path[0])
		}
	}
	return out, out.once(all)
}

// once wants each column that matters to be the only one of its name.
func (c *chosen) once(all []leaf) error {
	matter := append([]leaf{c.image}, c.labels...)
	if c.name != nil {
		matter = append(matter, *c.name)
	}
	for _, l := range matter {
		same, outer := 0, 0 // leaves, and structs where the format has them among the leaves
		for i := range all {
			if slices.Equal(all[i].path, l.path) {
				same++
			}
			if slices.Equal(all[i].path, l.path[:1]) {
				outer++
			}
		}
		if max(same, outer) > 1 {
			return fmt.Errorf("%d columns are called %s, and which is meant is not known: write the file with one of them, or with other names for the others", max(same, outer), l.path[0])
		}
	}
	return nil
}

// ofClasses says whether a leaf's column is called after classes, or is of such by the metadata.
func ofClasses(l *leaf, features map[string]Feature) bool {
	return entry.Rank(l.path[0], entry.LabelColumns) >= 0 || features[l.path[0]].classes()
}

func (l *leaf) text() bool { return l.kind == leafText || l.kind == leafBytes }

func columnNames(all []leaf) string {
	var list []string
	for i := range all {
		list = append(list, all[i].String())
	}
	if len(list) > 20 {
		list = append(list[:20], "...")
	}
	return strings.Join(list, ", ")
}

// eachRow calls f with the rows of all groups.
func (c *Columns) eachRow(ctx context.Context, l *leaf, read func(group int) error) error {
	for g := range len(c.starts) - 1 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := read(g); err != nil {
			return fmt.Errorf("column %s: %w", l, err)
		}
	}
	return nil
}

// names gives the rows their names: those of a column, or their numbers.
func (c *Columns) names(ctx context.Context, l *leaf, entries []entry.Entry) error {
	at := 0
	note := func(b []byte, ok bool) error {
		if at == len(entries) {
			return errors.New("more rows than are announced")
		}
		if ok && len(b) > 0 {
			entries[at].Name = string(b)
		} else {
			entries[at].Name = fmt.Sprintf("row-%08d", at)
		}
		at++
		return nil
	}
	if l == nil {
		for range entries {
			note(nil, false) // cannot fail: there are as many
		}
		return nil
	}
	err := c.eachRow(ctx, l, func(g int) error { return c.rows.texts(g, l, note) })
	if err == nil && at != len(entries) {
		err = fmt.Errorf("column %s: %d rows of %d", l, at, len(entries))
	}
	return err
}

// labels reads a column of labels. Text is a name even where it is digits; the
// column's type says so.
func (c *Columns) labels(ctx context.Context, l *leaf, classNames []string) (entry.Column, error) {
	out := entry.NewColumn(l.String(), classNames)
	err := c.eachRow(ctx, l, func(g int) error {
		if l.kind == leafNumber {
			return c.rows.numbers(g, l, func(n int64, ok bool) error {
				if !ok {
					out.Add(entry.Label{})
				} else {
					out.Add(entry.Label{Kind: entry.NumberLabel, Number: n})
				}
				return nil
			})
		}
		return c.rows.texts(g, l, func(b []byte, ok bool) error {
			if !ok || len(b) == 0 {
				out.Add(entry.Label{})
			} else {
				out.Add(entry.Label{Kind: entry.NameLabel, Name: string(b)})
			}
			return nil
		})
	})
	if n := c.starts[len(c.starts)-1]; err == nil && int64(len(out.Rows)) != n {
		err = fmt.Errorf("column %s: %d rows of %d", l, len(out.Rows), n)
	}
	return out.Column, err
}

// errEnough ends the reading of a group.
var errEnough = errors.New("enough")

// holdsImages looks at the first image, where a column's type does not say that
// it is one: paths may lie in a column called image.
func (c *Columns) holdsImages() error {
	if len(c.image.path) == 2 {
		return nil
	}
	var paths bool
	for g := range len(c.starts) - 1 {
		if c.starts[g] == c.starts[g+1] {
			continue
		}
		err := c.rows.texts(g, &c.image, func(b []byte, ok bool) error {
			paths = ok && len(b) < 4096 && entry.ImageName(string(b))
			return errEnough
		})
		if err != nil && err != errEnough {
			return err
		}
		break
	}
	if paths {
		return fmt.Errorf("column %s holds paths of images, not images: give them as a list (CSV)", &c.image)
	}
	return nil
}

// GroupBytes is about how many bytes a group has: as the file says, or else by
// its share of the rows.
func (c *Columns) GroupBytes(g int) int64 {
	if p, ok := c.rows.(*parquetFile); ok {
		return p.GroupBytes(g)
	}
	all := c.starts[len(c.starts)-1]
	return int64(float64(c.Size()) * float64(c.starts[g+1]-c.starts[g]) / float64(all))
}

// Group gives the group of a row, and the row in it.
func (c *Columns) Group(row int64) (group int, at int) {
	g := sort.Search(len(c.starts)-1, func(i int) bool { return c.starts[i+1] > row })
	return g, int(row - c.starts[g])
}

func (c *Columns) noBytes(e *entry.Entry) error {
	return fmt.Errorf("%w: %s: row %d has no bytes", entry.ErrUnreadable, c.Path(), e.Place)
}

// checked gives the image of a row, or what is wrong with it.
func (c *Columns) checked(e *entry.Entry, b []byte, ok bool) ([]byte, error) {
	switch {
	case !ok:
		return nil, c.noBytes(e)
	case len(b) > entry.MaxImage:
		return nil, fmt.Errorf("%w: %s: row %d: %w", entry.ErrUnreadable, c.Path(), e.Place, entry.TooLarge(int64(len(b))))
	}
	return b, nil
}

func (c *Columns) wrap(err error) error { return fmt.Errorf("%s: %w", c.Path(), marked(err)) }

// marked makes what the readers of columns call damage entry.ErrCorrupt.
func marked(err error) error {
	if errors.Is(err, entry.ErrRead) {
		return err
	}
	if errors.Is(err, arrowipc.ErrCorrupt) || errors.Is(err, parquet.ErrCorrupt) {
		return corrupt{err}
	}
	return err
}

// Each reads the groups of the entries once, where entries stand in the order
// of their rows.
func (c *Columns) Each(ctx context.Context, entries []entry.Entry, f entry.Visit) error {
	if !slices.IsSortedFunc(entries, func(a, b entry.Entry) int { return cmp.Compare(a.Place, b.Place) }) {
		return entry.EachRead(ctx, c, entries, f)
	}
	rows, err := c.rows.again()
	if err != nil {
		return c.wrap(err)
	}
	for len(entries) > 0 {
		g, _ := c.Group(entries[0].Place)
		if entries, err = c.eachOf(ctx, rows, g, entries, f); err != nil {
			return err
		}
	}
	return nil
}

// eachOf calls f with the entries of a group, and gives the others.
func (c *Columns) eachOf(ctx context.Context, rows rowFile, g int, entries []entry.Entry, f entry.Visit) ([]entry.Entry, error) {
	var stop error
	row := c.starts[g]
	err := rows.texts(g, &c.image, func(b []byte, ok bool) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for len(entries) > 0 && entries[0].Place == row {
			b, err := c.checked(&entries[0], b, ok)
			if stop = f(entries[0], b, err); stop != nil {
				return stop
			}
			entries = entries[1:]
		}
		if row++; len(entries) == 0 || entries[0].Place >= c.starts[g+1] {
			return errEnough
		}
		return nil
	})
	switch {
	case stop != nil:
		return nil, stop
	case err == errEnough:
		return entries, nil
	case err == nil:
		err = fmt.Errorf("%w: row %d is not there", entry.ErrCorrupt, row)
	}
	return nil, c.wrap(err)
}

// Close leaves what is being read.
func (c *Columns) Close() { c.cache.close() }

// corrupt marks another package's error as ErrCorrupt, which its text says
// already.
type corrupt struct{ error }

func (c corrupt) Unwrap() error        { return c.error }
func (c corrupt) Is(target error) bool { return target == entry.ErrCorrupt }
