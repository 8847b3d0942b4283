package shard

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// FileReader reads a finished shard without an index, from front to back.
type FileReader struct {
	Meta FileMeta // what the shard says of itself

	path string
	file io.Closer
	ipc  *ipcFile
}

// OpenFile opens a finished shard. Its footer is read; ErrCorrupt says that it
// is no shard, or a damaged one.
func OpenFile(path string) (*FileReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	r, err := newFileReader(f, info.Size(), path)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.file = f
	return r, nil
}

func newFileReader(in io.ReaderAt, size int64, path string) (*FileReader, error) {
	ipc, err := openIPC(in, size, shardFields)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r := &FileReader{path: path, ipc: ipc}
	if r.Meta, err = shardMeta(ipc.meta); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Close closes the file.
func (r *FileReader) Close() error { return r.file.Close() }

// Rows counts the rows by the heads of the batches: what can be known without
// their bytes.
func (r *FileReader) Rows() (rows int64, err error) {
	for k := range r.ipc.blocks {
		head, err := r.ipc.head(k)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", r.path, err)
		}
		rows += head.i64(0)
	}
	return rows, nil
}

// Each calls f with every row in order and its image, as they are: CRC32C is
// computed from the bytes, but they are held to no sum. The bytes are valid
// during the call only.
func (r *FileReader) Each(f func(r *Row, image []byte) error) (err error) {
	file := relName(r.path, r.Meta.Split)
	var buf []byte
	var b *batch
	for k := range r.ipc.blocks {
		if b, buf, err = r.ipc.batch(k, shardFields, buf); err != nil {
			return fmt.Errorf("%s: %w", r.path, err)
		}
		data, paths := &b.columns[0].kids[0], &b.columns[0].kids[1]
		for i := range b.rows {
			image := data.bytes(i)
			if data.null(i) || b.columns[0].null(i) || len(image) == 0 {
				return fmt.Errorf("%s: %w", r.path, corruptf("record batch %d: row %d has no image", k, i))
			}
			from, _ := data.span(i)
			row := Row{
				Path: paths.str(i), File: file, CRC32C: crc32.Checksum(image, castagnoli),
				Offset: b.at + int64(data.start+from), Length: int64(len(image)),
			}
			fillRow(&row, b.columns[1:], i)
			if err := f(&row, image); err != nil {
				return err
			}
		}
	}
	return nil
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
func EachImage(path string, f func(*Image) error) error {
	r, err := OpenFile(path)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.EachImage(f)
}

// ScanFile reads a finished shard from end to end and gives its rows as Commit
// gave them, and what the shard says of itself. Every image is held to its
// sha256; ErrCorrupt names the first that differs, or what else is wrong.
func ScanFile(path string) ([]Row, FileMeta, error) {
	r, err := OpenFile(path)
	if err != nil {
		return nil, FileMeta{}, err
	}
	defer r.Close()
	rows, err := r.rows()
	return rows, r.Meta, err
}
