package shard

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"sort"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage/files"
)

// readChecked reads a whole file and holds it to its sha256.
func readChecked(dir files.Dir, name, sum string) ([]byte, error) {
	path := dir.Path(name)
	b, err := files.Read(dir, name, regular.Table)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corruptf("%s is missing", path)
	}
	if err != nil {
		return nil, ownFile(err)
	}
	if got := sha256.Sum256(b); hex.EncodeToString(got[:]) != sum {
		return nil, corruptf("%s: its sha256 is not the manifest's", path)
	}
	return b, nil
}

// index is the rows of a split as the file has them, with what is asked of
// every row made quick: the synset and the shard as small numbers.
type index struct {
	batches []indexBatch
	starts  []int // row with which each batch begins, and the number of all
	each    int   // rows of every batch but the last; 0: they differ

	synsets  []string
	synsetOf []uint32
	files    []string
	fileOf   []uint32
}

// indexBatch is a record batch of an index.
type indexBatch struct {
	rows int
	path *array.String
	rowColumns
	file           *array.String
	offset, length *array.Int64
	crc            *array.Uint32
}

func newIndexBatch(rec arrow.Record) indexBatch {
	c := rec.Columns()
	last := len(c) - 4
	return indexBatch{
		int(rec.NumRows()), c[0].(*array.String), newRowColumns(c[1:last]),
		c[last].(*array.String), c[last+1].(*array.Int64), c[last+2].(*array.Int64), c[last+3].(*array.Uint32),
	}
}

func parseIndex(b []byte) (*index, error) {
	records, err := decodeFile(b, indexFields)
	if err != nil {
		return nil, err
	}
	x := &index{starts: []int{0}}
	for i, rec := range records {
		x.batches = append(x.batches, newIndexBatch(rec))
		x.starts = append(x.starts, x.starts[i]+x.batches[i].rows)
	}
	if len(x.batches) > 0 {
		x.each = x.batches[0].rows
	}
	for i := range x.batches {
		if last := i == len(x.batches)-1; !last && x.batches[i].rows != x.each || x.batches[i].rows > x.each {
			x.each = 0
			break
		}
	}
	if x.len() > math.MaxInt32 {
		return nil, corruptf("%d rows", x.len())
	}
	x.synsets, x.synsetOf = x.number(func(b *indexBatch) *array.String { return b.synset })
	x.files, x.fileOf = x.number(func(b *indexBatch) *array.String { return b.file })
	return x, x.check()
}

// number gives equal texts of a column equal numbers. A null is "".
func (x *index) number(column func(*indexBatch) *array.String) (texts []string, of []uint32) {
	numbers := map[string]uint32{}
	of = make([]uint32, 0, x.len())
	var last string
	var n uint32
	for k := range x.batches {
		c := column(&x.batches[k])
		for i := range x.batches[k].rows {
			v := ""
			if c.IsValid(i) {
				v = c.Value(i)
			}
			if len(of) == 0 || v != last {
				var known bool
				if n, known = numbers[v]; !known {
					n = uint32(len(texts))
					texts = append(texts, strings.Clone(v))
					numbers[texts[n]] = n
				}
				last = v
			}
			of = append(of, n)
		}
	}
	return texts, of
}

// check wants every image in a file of the dataset, at a place that can be.
func (x *index) check() error {
	for _, f := range x.files {
		if err := checkPlace(f); err != nil {
			return err
		}
	}
	for k := range x.batches {
		if err := x.batches[k].check(x.starts[k]); err != nil {
			return err
		}
	}
	return nil
}

// checkPlace wants a shard to be a file of the dataset.
func checkPlace(file string) error {
	if !filepath.IsLocal(filepath.FromSlash(file)) {
		return corruptf("a row lies in the file %q", file)
	}
	return nil
}

// check wants of the rows of a batch, the first of which is row start, that each has
// an image at a place that can be.
func (b *indexBatch) check(start int) error {
	if b.path.NullN()+b.offset.NullN()+b.length.NullN()+b.crc.NullN()+b.sha.NullN() > 0 {
		return corruptf("rows from %d: a path, place or sum is null", start)
	}
	for i := range b.rows {
		at, n := b.offset.Value(i), b.length.Value(i)
		if at < 0 || n <= 0 || n > maxImage || at > math.MaxInt64-n {
			return corruptf("row %d has %d bytes at %d", start+i, n, at)
		}
	}
	return nil
}

func (x *index) len() int { return x.starts[len(x.starts)-1] }

// at finds row i.
func (x *index) at(i int) (*indexBatch, int) {
	k := 0
	if x.each > 0 {
		k = i / x.each
	} else {
		k = sort.Search(len(x.batches), func(k int) bool { return x.starts[k+1] > i })
	}
	return &x.batches[k], i - x.starts[k]
}

func (x *index) row(i int) Row {
	b, k := x.at(i)
	r := Row{File: x.files[x.fileOf[i]]}
	b.fill(&r, k)
	r.Synset = x.synsets[x.synsetOf[i]]
	return r
}

// fill reads row k of the batch but for its file, copying all of it.
func (b *indexBatch) fill(r *Row, k int) {
	r.Path, r.Offset, r.Length, r.CRC32C = str(b.path, k), b.offset.Value(k), b.length.Value(k), b.crc.Value(k)
	b.rowColumns.fill(r, k)
}

func (x *index) path(i int) string {
	b, k := x.at(i)
	return str(b.path, k)
}

func (x *index) length(i int) int64 {
	b, k := x.at(i)
	return b.length.Value(k)
}

func (x *index) label(i int) int64 {
	b, k := x.at(i)
	return b.labelAt(k)
}

func (x *index) sha(i int) []byte {
	b, k := x.at(i)
	return b.sha.Value(k)
}

// indexName is the name of a split's index in the dataset's directory.
func indexName(split string) string { return split + "/" + IndexName }

// readIndex reads the index of a split.
func readIndex(dir files.Dir, name string, info SplitInfo) (*index, error) {
	path := dir.Path(name)
	b, err := readChecked(dir, name, info.IndexSHA256)
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if info.Rows >= 0 && int64(x.len()) != info.Rows {
		return nil, corruptf("%s: %d rows; the manifest says %d", path, x.len(), info.Rows)
	}
	return x, nil
}
