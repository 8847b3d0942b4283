package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"

	"github.com/apache/arrow/go/v15/arrow"
)

// readChecked reads a whole file and holds it to its sha256.
func readChecked(path, sum string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corruptf("%s is missing", path)
	}
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(b); hex.EncodeToString(got[:]) != sum {
		return nil, corruptf("%s: its sha256 is not the manifest's", path)
	}
	return b, nil
}

// FileSHA256 is the SHA-256 of a file, in hex.
func FileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// decodeFile decodes every batch of a file that is in memory; the columns are
// slices of it.
func decodeFile(b []byte, fields []arrow.Field) ([]batch, error) {
	f, err := openIPC(bytes.NewReader(b), int64(len(b)), fields)
	if err != nil {
		return nil, err
	}
	var out []batch
	for k, at := range f.blocks {
		head, err := f.head(k)
		if err != nil {
			return nil, err
		}
		from := at.at + at.head
		one := batch{at: from}
		if err := one.decode(head, b[from:from+at.body], fields); err != nil {
			return nil, fmt.Errorf("record batch %d: %w", k, err)
		}
		out = append(out, one)
	}
	return out, nil
}

// Columns of an index.
const (
	indexSynset = 2
	indexSHA    = 8
	indexFile   = 10
	indexOffset = 11
	indexLength = 12
	indexCRC    = 13
)

// index is the rows of a split as the file has them, with what is asked of
// every row made quick: the synset and the shard as small numbers.
type index struct {
	batches []batch
	starts  []int // row with which each batch begins, and the number of all
	each    int   // rows of every batch but the last; 0: they differ

	synsets  []string
	synsetOf []uint32
	files    []string
	fileOf   []uint32
}

func parseIndex(b []byte) (*index, error) {
	batches, err := decodeFile(b, indexFields)
	if err != nil {
		return nil, err
	}
	x := &index{batches: batches, starts: []int{0}}
	for i := range batches {
		x.starts = append(x.starts, x.starts[i]+batches[i].rows)
	}
	if len(batches) > 0 {
		x.each = batches[0].rows
	}
	for i := range batches {
		if last := i == len(batches)-1; !last && batches[i].rows != x.each || batches[i].rows > x.each {
			x.each = 0
			break
		}
	}
	if x.len() > math.MaxInt32 {
		return nil, corruptf("%d rows", x.len())
	}
	x.synsets, x.synsetOf = x.number(indexSynset)
	x.files, x.fileOf = x.number(indexFile)
	return x, x.check()
}

// number gives equal texts of a column equal numbers.
func (x *index) number(column int) (texts []string, of []uint32) {
	numbers := map[string]uint32{}
	of = make([]uint32, 0, x.len())
	var last []byte
	var n uint32
	for k := range x.batches {
		b := &x.batches[k]
		c := &b.columns[column]
		for i := range b.rows {
			if v := c.bytes(i); len(of) == 0 || !bytes.Equal(v, last) {
				var known bool
				if n, known = numbers[string(v)]; !known {
					n = uint32(len(texts))
					texts = append(texts, string(v))
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
		if !filepath.IsLocal(filepath.FromSlash(f)) {
			return corruptf("a row lies in the file %q", f)
		}
	}
	for k := range x.batches {
		b := &x.batches[k]
		for i := range b.rows {
			at, n := b.columns[indexOffset].i64(i), b.columns[indexLength].i64(i)
			if at < 0 || n <= 0 || n > maxImage || at > math.MaxInt64-n {
				return corruptf("row %d has %d bytes at %d", x.starts[k]+i, n, at)
			}
		}
	}
	return nil
}

func (x *index) len() int { return x.starts[len(x.starts)-1] }

// at finds row i.
func (x *index) at(i int) (*batch, int) {
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
	r := Row{
		Path: b.columns[0].str(k), File: x.files[x.fileOf[i]],
		Offset: b.columns[indexOffset].i64(k), Length: b.columns[indexLength].i64(k), CRC32C: uint32(b.columns[indexCRC].i32(k)),
	}
	fillRow(&r, b.columns[1:], k)
	r.Synset = x.synsets[x.synsetOf[i]]
	return r
}

func (x *index) label(i int) int64 {
	b, k := x.at(i)
	if b.columns[1].null(k) {
		return -1
	}
	return b.columns[1].i64(k)
}

func (x *index) sha(i int) []byte {
	b, k := x.at(i)
	return b.columns[indexSHA].data[32*k : 32*k+32]
}

// readIndex reads the index of a split.
func readIndex(dir, split string, info SplitInfo) (*index, error) {
	path := filepath.Join(dir, split, IndexName)
	b, err := readChecked(path, info.IndexSHA256)
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(x.len()) != info.Rows {
		return nil, corruptf("%s: %d rows; the manifest says %d", path, x.len(), info.Rows)
	}
	return x, nil
}
