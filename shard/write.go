package shard

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/storage/files"
)

// Bounds of a record batch: a batch is closed before it would pass either.
const (
	batchRows  = 64
	batchBytes = 8 << 20
)

// maxImage bounds one image; offsets within a batch are 31 bits.
const maxImage = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FileWriter writes one shard. It is for one goroutine, and every one must end
// in Commit or Abort.
type FileWriter struct {
	meta   FileMeta
	rel    string
	schema *arrow.Schema
	out    *arrowFile
	mem    memory.Allocator
	sum    hash.Hash32 // of the file

	rows    []Row
	bytes   int64
	size    int64 // of the finished file
	batches int
	err     error

	// The open batch.
	build   *rowBuilder
	paths   *array.StringBuilder
	offsets []int32
	data    []byte
	first   int // row with which it begins
}

// CreateFile starts a shard of a dataset in dir that will be called name; its
// directory must exist. Nothing has that name until Commit.
func CreateFile(dir files.Dir, name string, meta FileMeta) (*FileWriter, error) {
	return createFile(dir, name, meta, memory.DefaultAllocator)
}

func createFile(dir files.Dir, name string, meta FileMeta, mem memory.Allocator) (*FileWriter, error) {
	f, err := dir.Create(name)
	if err != nil {
		return nil, err
	}
	return newFileWriter(f, meta, mem)
}

func newFileWriter(f files.File, meta FileMeta, mem memory.Allocator) (*FileWriter, error) {
	schema, err := shardSchema(meta)
	if err != nil {
		f.Abort()
		return nil, fmt.Errorf("create %s: %w", f.Path(), err)
	}
	sum := crc32.New(castagnoli)
	out, err := newArrow(f, schema, sum)
	if err != nil {
		return nil, err
	}
	return &FileWriter{
		meta: meta, rel: relName(f.Path(), meta.Split), schema: schema, out: out, mem: mem, sum: sum,
		build: newRowBuilder(mem), paths: array.NewStringBuilder(mem), offsets: []int32{0},
	}, nil
}

// Append stores an image; its bytes are copied. A path or a synset that is not
// UTF-8 is escaped, as utf8name.Ensure does. File, Offset, Length and
// CRC32C of the row are the writer's to fill. SHA256 is taken as the hash of
// Bytes where it is set, and computed where it is all zero. An error of the
// image alone leaves the writer as it was; after an error of writing, only
// Abort is left.
func (w *FileWriter) Append(im *Image) error {
	if w.err != nil {
		return w.err
	}
	switch n := len(im.Bytes); {
	case n == 0:
		return fmt.Errorf("store %q: no bytes", im.Path)
	case n > maxImage:
		return fmt.Errorf("store %q: %d bytes: more than %d", im.Path, n, maxImage)
	case im.Path == "":
		return errors.New("store an image: no path")
	}
	if k := len(w.rows) - w.first; k == batchRows || k > 0 && len(w.data)+len(im.Bytes) > batchBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	row := im.Row
	row.ensureText()
	row.File, row.Length = w.rel, int64(len(im.Bytes))
	row.Offset = int64(len(w.data)) // in the batch, until that is written
	row.CRC32C = crc32.Checksum(im.Bytes, castagnoli)
	if row.SHA256 == [32]byte{} {
		row.SHA256 = sha256.Sum256(im.Bytes)
	}
	w.data = append(w.data, im.Bytes...)
	w.offsets = append(w.offsets, int32(len(w.data)))
	w.paths.Append(row.Path)
	w.build.append(&row)
	w.rows = append(w.rows, row)
	w.bytes += row.Length
	return nil
}

// Bytes is the number of bytes of images appended.
func (w *FileWriter) Bytes() int64 { return w.bytes }

// flush writes the open batch and turns the rows' offsets into places in the
// file.
func (w *FileWriter) flush() error {
	n := len(w.rows) - w.first
	if n == 0 {
		return nil
	}
	columns := append([]arrow.Array{w.images(n)}, arrays(w.build.builders())...)
	defer releaseAll(columns)
	rec := array.NewRecord(w.schema, columns, int64(n))
	defer rec.Release()

	w.out.watch, w.out.found = &w.data[0], -1
	err := w.out.write(rec)
	w.out.watch = nil
	if err == nil && w.out.found < 0 {
		err = fmt.Errorf("write %s: the images of a batch were not written as one buffer", w.rel)
	}
	if err != nil {
		w.err = err
		return err
	}
	for i := w.first; i < len(w.rows); i++ {
		w.rows[i].Offset += w.out.found
	}
	w.first = len(w.rows)
	w.batches++
	w.data, w.offsets = w.data[:0], w.offsets[:1]
	return nil
}

// images wraps the open batch's bytes as the image column, without copying.
func (w *FileWriter) images(n int) arrow.Array {
	raw := make([]byte, 4*len(w.offsets))
	for i, v := range w.offsets {
		binary.LittleEndian.PutUint32(raw[4*i:], uint32(v))
	}
	paths := w.paths.NewArray()
	defer paths.Release()
	bytes := array.NewData(arrow.BinaryTypes.Binary, n,
		[]*memory.Buffer{nil, memory.NewBufferBytes(raw), memory.NewBufferBytes(w.data)}, nil, 0, 0)
	defer bytes.Release()
	data := array.NewData(imageType, n, []*memory.Buffer{nil}, []arrow.ArrayData{bytes, paths.Data()}, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// Commit finishes the shard, gives it its name and returns its rows in the
// order they were appended, with File, Offset, Length and CRC32C filled in.
// After an error nothing has changed on disk.
func (w *FileWriter) Commit() ([]Row, error) {
	if w.out == nil {
		return nil, fmt.Errorf("commit %s: %w", w.rel, os.ErrClosed)
	}
	if w.err == nil {
		w.err = w.flush()
	}
	if w.err != nil {
		err := w.err
		w.Abort()
		return nil, err
	}
	err := w.out.commit(w.schema, w.batches)
	w.size = w.out.f.Size()
	w.close()
	if err != nil {
		return nil, err
	}
	return w.rows, nil
}

// Info is what the list of shards says of the file, after Commit.
func (w *FileWriter) Info() ShardInfo {
	return ShardInfo{w.rel, int64(len(w.rows)), w.size, w.sum.Sum32()}
}

// Abort throws the shard away. After Commit it does nothing, so it can be
// deferred.
func (w *FileWriter) Abort() {
	if w.out != nil {
		w.out.f.Abort()
		w.close()
	}
}

func (w *FileWriter) close() {
	w.out = nil
	if w.err == nil {
		w.err = fmt.Errorf("write %s: %w", w.rel, os.ErrClosed)
	}
	releaseBuilders(append(w.build.builders(), w.paths))
	w.data, w.offsets = nil, nil
}
