package shard

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"os"
)

// ScanFile reads a finished shard from end to end and gives its rows as Commit
// gave them, and what the shard says of itself. Every image is held to its
// sha256; ErrCorrupt names the first that differs, or what else is wrong.
func ScanFile(path string) ([]Row, FileMeta, error) {
	f, size, err := openFile(path)
	if err != nil {
		return nil, FileMeta{}, err
	}
	defer f.Close()
	ipc, err := openIPC(f, size, shardFields)
	if err != nil {
		return nil, FileMeta{}, fmt.Errorf("%s: %w", path, err)
	}
	meta, err := shardMeta(ipc.meta)
	if err != nil {
		return nil, meta, fmt.Errorf("%s: %w", path, err)
	}
	rows, err := scanRows(ipc, relName(path, meta.Split))
	if err != nil {
		return nil, meta, fmt.Errorf("%s: %w", path, err)
	}
	return rows, meta, nil
}

// EachImage calls f with every image of a finished shard in order, each held
// to its sha256. Its bytes are valid during the call only.
func EachImage(path string, f func(*Image) error) error {
	in, size, err := openFile(path)
	if err != nil {
		return err
	}
	defer in.Close()
	ipc, err := openIPC(in, size, shardFields)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	meta, err := shardMeta(ipc.meta)
	if err == nil {
		err = eachImage(ipc, relName(path, meta.Split), func(r *Row, image []byte) error {
			if sha256.Sum256(image) != r.SHA256 {
				return corruptf("image %q does not have its sha256", r.Path)
			}
			return f(&Image{Row: *r, Bytes: image})
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func openFile(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// scanRows lists the rows of a shard, each with its sha256 checked.
func scanRows(ipc *ipcFile, file string) (rows []Row, err error) {
	err = eachImage(ipc, file, func(r *Row, image []byte) error {
		if sha256.Sum256(image) != r.SHA256 {
			return corruptf("image %q does not have its sha256", r.Path)
		}
		rows = append(rows, *r)
		return nil
	})
	return rows, err
}

// eachImage reads a shard from front to back. The bytes are valid during the
// call only; CRC32C is computed from them.
func eachImage(ipc *ipcFile, file string, f func(r *Row, image []byte) error) (err error) {
	var buf []byte
	var b *batch
	for k := range ipc.blocks {
		if b, buf, err = ipc.batch(k, shardFields, buf); err != nil {
			return err
		}
		data, paths := &b.columns[0].kids[0], &b.columns[0].kids[1]
		for i := range b.rows {
			image := data.bytes(i)
			if data.null(i) || b.columns[0].null(i) || len(image) == 0 {
				return corruptf("record batch %d: row %d has no image", k, i)
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

// shardRows reads footer and batch heads of a shard, and counts its rows: what
// can be known without its bytes.
func shardRows(path string) (rows int64, err error) {
	f, size, err := openFile(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	ipc, err := openIPC(f, size, shardFields)
	if err != nil {
		return 0, err
	}
	for k := range ipc.blocks {
		head, err := ipc.head(k)
		if err != nil {
			return 0, err
		}
		rows += head.i64(0)
	}
	return rows, nil
}
