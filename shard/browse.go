package shard

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/apache/arrow/go/v15/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/internal/recent"
	"github.com/synshard/synshard/storage/files"
)

// Browser is the rows of a split for who looks at a few of them: the index stays in its
// file, and what is kept in memory is where the rows of each synset are. It may be used
// from many goroutines.
type Browser struct {
	Name string    // of the split
	Info SplitInfo // as the manifest has it

	d      *Dataset
	file   files.Opened
	in     *arrowipc.File
	starts []int // row with which each batch begins, and the number of all

	synsets []SynsetRows
	spans   [][]span // of each of synsets, ascending

	mu     sync.Mutex
	recent *recent.Kept[keptBatch]
}

// SynsetRows counts the rows of a synset; "" is of those without one.
type SynsetRows struct {
	Synset string // its name
	Images int64  // how many rows it has
	Bytes  int64  // of the images as they are stored
}

// span is rows of one synset that follow one another.
type span struct {
	first, count int32
	before       int32 // rows of the synset in spans before this one
}

// keptBatch is a record batch of the index, and its memory.
type keptBatch struct {
	buf  []byte
	rows indexBatch
}

// Bounds of the batches kept: bytes of all, and how many where these are small.
const (
	recentBytes = 96 << 20
	mostRecent  = 16
)

// Columns of the index that are read without the others.
const (
	columnPath   = 0
	columnSynset = 2
	columnLength = 12
)

// Browse opens a split whose index is not read into memory: it is held to the manifest's
// sum, and its synsets are counted. Errors are those of Split. Close must be called.
func (d *Dataset) Browse(name string) (*Browser, error) {
	info, dir, index, err := d.indexOf(name)
	if err != nil {
		return nil, err
	}
	path := dir.Path(index)
	file, err := dir.Open(index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corruptf("%s is missing", path)
	}
	if err != nil {
		return nil, ownFile(err)
	}
	b := &Browser{Name: name, Info: info, d: d, file: file, starts: []int{0}}
	if err := b.open(); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, asCorrupt(err))
	}
	return b, nil
}

// Close closes the index. Nothing may be read after it.
func (b *Browser) Close() error { return b.file.Close() }

// open finds the batches, holds the index to its sum, and counts its synsets.
func (b *Browser) open() error {
	var err error
	if b.in, err = arrowipc.Open(b.file, b.file.Size()); err == nil {
		err = checkFile(b.in, indexFields)
	}
	if err != nil {
		return err
	}
	largest := int64(1)
	for _, batch := range b.in.Batches() {
		b.starts = append(b.starts, b.starts[len(b.starts)-1]+int(batch.Rows))
		largest = max(largest, batch.Size)
	}
	switch n := b.Len(); {
	case n > math.MaxInt32:
		return corruptf("%d rows", n)
	case b.Info.Rows >= 0 && int64(n) != b.Info.Rows:
		return corruptf("%d rows; the manifest says %d", n, b.Info.Rows)
	}
	b.recent = recent.New[keptBatch](int(min(recentBytes/largest, mostRecent)))
	var g errgroup.Group
	g.Go(func() error {
		sum := sha256.New()
		if _, err := io.Copy(sum, io.NewSectionReader(b.file, 0, b.file.Size())); err != nil {
			return err
		}
		if hex.EncodeToString(sum.Sum(nil)) != b.Info.IndexSHA256 {
			return corruptf("its sha256 is not the manifest's")
		}
		return nil
	})
	g.Go(b.count)
	return g.Wait()
}

// count goes through the synsets and lengths of all rows.
func (b *Browser) count() error {
	numbers := map[string]int{}
	last, n := "", -1
	for k := range b.in.Batches() {
		synsets, lengths, err := b.counted(k)
		if err != nil {
			return err
		}
		for i := range synsets.Len() {
			text := ""
			if synsets.IsValid(i) {
				text = synsets.Value(i)
			}
			row := int32(b.starts[k] + i)
			if n < 0 || text != last {
				var known bool
				if n, known = numbers[text]; !known {
					n = len(b.synsets)
					text = strings.Clone(text)
					numbers[text] = n
					b.synsets, b.spans = append(b.synsets, SynsetRows{Synset: text}), append(b.spans, nil)
				}
				b.spans[n] = append(b.spans[n], span{row, 0, int32(b.synsets[n].Images)})
				last = b.synsets[n].Synset
			}
			b.spans[n][len(b.spans[n])-1].count++
			b.synsets[n].Images++
			b.synsets[n].Bytes += lengths.Value(i)
		}
	}
	return nil
}

// counted reads the two columns of a batch that are counted.
func (b *Browser) counted(k int) (synsets *array.String, lengths *array.Int64, err error) {
	first, _, err := b.in.Leaf(k, columnSynset)
	if err != nil {
		return nil, nil, err
	}
	second, _, err := b.in.Leaf(k, columnLength)
	if err != nil {
		return nil, nil, err
	}
	return first.(*array.String), second.(*array.Int64), nil
}

// Len is the number of rows.
func (b *Browser) Len() int { return b.starts[len(b.starts)-1] }

// Synsets counts the rows of each synset, in the order in which the index has them first.
// The list is the browser's and not to be changed.
func (b *Browser) Synsets() []SynsetRows { return b.synsets }

// RowOf is the row of the k-th image, from 0, of synset n of Synsets.
func (b *Browser) RowOf(n, k int) int {
	spans := b.spans[n]
	i := sort.Search(len(spans), func(i int) bool { return int(spans[i].before) > k }) - 1
	return int(spans[i].first) + k - int(spans[i].before)
}

// PlaceOf is which image, from 0, of synset n of Synsets a row of it is.
func (b *Browser) PlaceOf(n, row int) int {
	spans := b.spans[n]
	i := sort.Search(len(spans), func(i int) bool { return int(spans[i].first) > row }) - 1
	return int(spans[i].before) + row - int(spans[i].first)
}

// Row gives row i, 0 <= i < Len, as Split.Row does.
func (b *Browser) Row(i int) (Row, error) {
	k, _ := slices.BinarySearch(b.starts, i+1)
	k--
	b.mu.Lock()
	defer b.mu.Unlock()
	batch, err := b.batch(k)
	if err != nil {
		return Row{}, fmt.Errorf("%s: row %d: %w", indexName(b.Name), i, asCorrupt(err))
	}
	r := Row{File: str(batch.file, i-b.starts[k])}
	batch.fill(&r, i-b.starts[k])
	return r, checkPlace(r.File)
}

// Identity is Split.Identity of all rows.
func (b *Browser) Identity() string { return b.Info.identity(b.Name, Selection{}) }

// Names gives each with the path and the synset of every row, in order.
func (b *Browser) Names(each func(i int, path, synset string) error) error {
	for k := range b.in.Batches() {
		paths, _, err := b.in.Leaf(k, columnPath)
		if err != nil {
			return fmt.Errorf("%s: %w", indexName(b.Name), asCorrupt(err))
		}
		synsets, _, err := b.counted(k)
		if err != nil {
			return fmt.Errorf("%s: %w", indexName(b.Name), asCorrupt(err))
		}
		for i := range synsets.Len() {
			if err := each(b.starts[k]+i, str(paths.(*array.String), i), str(synsets, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// batch reads a record batch.
func (b *Browser) batch(k int) (*indexBatch, error) {
	kept, err := b.recent.Get(k, func(to *keptBatch) error {
		rec, err := b.in.RecordIn(&to.buf, k, nil)
		if err != nil {
			return err
		}
		to.rows = newIndexBatch(rec)
		return to.rows.check(b.starts[k])
	})
	if err != nil {
		return nil, err
	}
	return &kept.rows, nil
}

// Read gives the bytes of a row that Row gave; see Split.Read.
func (b *Browser) Read(r *Row, buf []byte) ([]byte, error) { return b.d.read(r, buf) }
