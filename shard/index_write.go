package shard

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/storage/files"
)

// indexRows is the number of rows in every batch of an index but the last.
const indexRows = 1 << 16

// compareRows is the order of an index: by synset, then path, then place. Rows
// of val and test are ordered by path alone.
func compareRows(split string) func(a, b *Row) int {
	return func(a, b *Row) int {
		if split == "train" {
			if c := cmp.Compare(a.Synset, b.Synset); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.File, b.File), cmp.Compare(a.Offset, b.Offset))
	}
}

// SortRows puts rows of a split in the order of its index.
func SortRows(split string, rows []Row) {
	order := compareRows(split)
	slices.SortStableFunc(rows, func(a, b Row) int { return order(&a, &b) })
}

// IndexWriter writes the index of a split from rows that come in its order, in
// memory that does not grow with them.
type IndexWriter struct {
	path   string
	order  func(a, b *Row) int
	out    *arrowFile
	sum    hash.Hash
	schema *arrow.Schema

	last    Row
	rows    int64
	batches int
	err     error

	build          *rowBuilder
	paths, files   *array.StringBuilder
	offset, length *array.Int64Builder
	crc            *array.Uint32Builder
}

// CreateIndex starts the index of a split of the dataset in dir. It must end
// in Commit or Abort.
func CreateIndex(dir files.Dir, split string) (*IndexWriter, error) {
	return createIndex(dir, split, memory.DefaultAllocator)
}

func createIndex(dir files.Dir, split string, mem memory.Allocator) (*IndexWriter, error) {
	w := &IndexWriter{
		path: dir.Path(indexName(split)), order: compareRows(split),
		sum: sha256.New(), schema: plainSchema("index", indexFields),
	}
	var err error
	if w.out, err = createArrow(dir, indexName(split), w.schema, w.sum); err != nil {
		return nil, err
	}
	w.build = newRowBuilder(mem)
	w.paths, w.files = array.NewStringBuilder(mem), array.NewStringBuilder(mem)
	w.offset, w.length = array.NewInt64Builder(mem), array.NewInt64Builder(mem)
	w.crc = array.NewUint32Builder(mem)
	return w, nil
}

// Append adds a row, which must not stand before the one added last, and whose
// text must be UTF-8, as that of rows is which a shard's writer gives.
func (w *IndexWriter) Append(r *Row) error {
	if w.err != nil {
		return w.err
	}
	if w.err = r.CheckText(); w.err != nil {
		w.err = fmt.Errorf("write %s: %w", w.path, w.err)
		return w.err
	}
	if w.rows > 0 && w.order(&w.last, r) > 0 {
		w.err = fmt.Errorf("write %s: row %q comes after %q", w.path, r.Path, w.last.Path)
		return w.err
	}
	w.last = *r
	w.paths.Append(r.Path)
	w.build.append(r)
	w.files.Append(r.File)
	w.offset.Append(r.Offset)
	w.length.Append(r.Length)
	w.crc.Append(r.CRC32C)
	w.rows++
	if w.paths.Len() == indexRows {
		w.err = w.flush()
	}
	return w.err
}

func (w *IndexWriter) builders() []array.Builder {
	return slices.Concat([]array.Builder{w.paths}, w.build.builders(), []array.Builder{w.files, w.offset, w.length, w.crc})
}

func (w *IndexWriter) flush() error {
	n := w.paths.Len()
	if n == 0 {
		return nil
	}
	columns := arrays(w.builders())
	defer releaseAll(columns)
	rec := array.NewRecord(w.schema, columns, int64(n))
	defer rec.Release()
	w.batches++
	return w.out.write(rec)
}

// Commit finishes the index and returns the SHA-256 of the file in hex, which
// belongs in the manifest.
func (w *IndexWriter) Commit() (string, error) {
	if w.out == nil {
		return "", fmt.Errorf("commit %s: %w", w.path, os.ErrClosed)
	}
	if w.err == nil {
		w.err = w.flush()
	}
	if w.err != nil {
		err := w.err
		w.Abort()
		return "", err
	}
	err := w.out.commit(w.schema, w.batches)
	w.close()
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(w.sum.Sum(nil)), nil
}

// Abort throws the index away; after Commit it does nothing.
func (w *IndexWriter) Abort() {
	if w.out != nil {
		w.out.f.Abort()
		w.close()
	}
}

func (w *IndexWriter) close() {
	w.out = nil
	if w.err == nil {
		w.err = fmt.Errorf("write %s: %w", w.path, os.ErrClosed)
	}
	releaseBuilders(w.builders())
}

// WriteIndex writes the index of a split from rows in any order, which it
// leaves alone, and returns the SHA-256 of the file in hex.
func WriteIndex(dir files.Dir, split string, rows []Row) (sha256hex string, err error) {
	sorted := make([]*Row, len(rows))
	for i := range rows {
		sorted[i] = &rows[i]
	}
	slices.SortStableFunc(sorted, compareRows(split))
	w, err := CreateIndex(dir, split)
	if err != nil {
		return "", err
	}
	defer w.Abort()
	for _, r := range sorted {
		if err := w.Append(r); err != nil {
			return "", err
		}
	}
	return w.Commit()
}
