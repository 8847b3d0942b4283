package shard

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/storage/files"
)

// FileReader reads a finished shard without an index, from front to back.
type FileReader struct {
	Meta FileMeta // what the shard says of itself

	path string
	file io.Closer
	in   *arrowipc.File
}

// OpenFile opens a finished shard of a dataset in dir. Its footer is read; ErrCorrupt
// says that it is no shard, or a damaged one.
func OpenFile(dir files.Dir, file string) (*FileReader, error) {
	f, err := dir.Open(file)
	if err != nil {
		return nil, ownFile(err)
	}
	r, err := newFileReader(f, f.Size(), dir.Path(file))
	if err != nil {
		f.Close()
		return nil, err
	}
	r.file = f
	return r, nil
}

func newFileReader(in io.ReaderAt, size int64, path string) (*FileReader, error) {
	r := &FileReader{path: path}
	var err error
	if r.in, err = arrowipc.Open(in, size); err == nil {
		err = checkFile(r.in, shardFields)
	}
	if err == nil {
		r.Meta, err = shardMeta(r.in.Schema().Metadata().ToMap())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, asCorrupt(err))
	}
	return r, nil
}

// Close closes the file.
func (r *FileReader) Close() error { return r.file.Close() }

// Rows is the number of rows by the heads of the batches: what is known without
// their bytes.
func (r *FileReader) Rows() int64 { return r.in.Rows() }

// CheckSchema wants both of the file's schemas, that by which it is read here and
// that by which it is read as a stream, to be the same, metadata included.
func (r *FileReader) CheckSchema() error {
	if err := r.in.CheckFront(); err != nil {
		return fmt.Errorf("%s: %w", r.path, asCorrupt(err))
	}
	return nil
}

// Each calls f with every row in order and its image, as they are: CRC32C is
// computed from the bytes, but they are held to no sum. The bytes are valid
// during the call only.
func (r *FileReader) Each(f func(r *Row, image []byte) error) error {
	file := relName(r.path, r.Meta.Split)
	var buf []byte
	for k := range r.in.Batches() {
		batch, err := r.batch(k, &buf)
		if err != nil {
			return fmt.Errorf("%s: %w", r.path, asCorrupt(err))
		}
		for i := range batch.rows {
			image := batch.image.Value(i)
			row := Row{
				Path: str(batch.path, i), File: file, CRC32C: crc32.Checksum(image, castagnoli),
				Offset: batch.at + int64(batch.image.ValueOffset(i)), Length: int64(len(image)),
			}
			batch.fill(&row, i)
			if err := f(&row, image); err != nil {
				return err
			}
		}
	}
	return nil
}

// shardBatch is a record batch of a shard.
type shardBatch struct {
	rows  int
	at    int64 // where its images begin in the file
	image *array.Binary
	path  *array.String
	rowColumns
}

// batch reads record batch k, into buf: each row has an image and its sum.
func (r *FileReader) batch(k int, buf *[]byte) (*shardBatch, error) {
	rec, err := r.in.RecordIn(buf, k, nil)
	if err != nil {
		return nil, err
	}
	image := rec.Column(0).(*array.Struct)
	b := &shardBatch{
		int(rec.NumRows()), 0, image.Field(0).(*array.Binary), image.Field(1).(*array.String), newRowColumns(rec.Columns()[1:]),
	}
	if b.at, err = r.in.DataAt(k, 0, 0); err != nil {
		return nil, err
	}
	for i := range b.rows {
		if image.IsNull(i) || b.image.IsNull(i) || len(b.image.Value(i)) == 0 || b.sha.IsNull(i) {
			return nil, corruptf("record batch %d: row %d has no image", k, i)
		}
	}
	return b, nil
}

// EachImage calls f with every image in order, each held to its sha256. Its
// bytes are valid during the call only.
func (r *FileReader) EachImage(f func(*Image) error) error {
	return r.Each(func(row *Row, image []byte) error {
		if sha256.Sum256(image) != row.SHA256 {
			return fmt.Errorf("%s: %w", r.path, corruptf("image %q does not have its sha256", row.Path))
		}
		return f(&Image{Row: *row, Bytes: image})
	})
}

// rows lists the rows, each image held to its sha256.
func (r *FileReader) rows() (rows []Row, err error) {
	err = r.EachImage(func(im *Image) error { rows = append(rows, im.Row); return nil })
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// EachImage calls f with every image of a finished shard in order, each held
// to its sha256. Its bytes are valid during the call only.
func EachImage(dir files.Dir, file string, f func(*Image) error) error {
	r, err := OpenFile(dir, file)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.EachImage(f)
}

// ScanFile reads a finished shard from end to end and gives its rows as Commit
// gave them, and what the shard says of itself. Every image is held to its
// sha256; ErrCorrupt names the first that differs, or what else is wrong.
func ScanFile(dir files.Dir, file string) ([]Row, FileMeta, error) {
	r, err := OpenFile(dir, file)
	if err != nil {
		return nil, FileMeta{}, err
	}
	defer r.Close()
	rows, err := r.rows()
	return rows, r.Meta, err
}
