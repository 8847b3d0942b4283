package shard

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// maxBatch bounds the record batches that ScanFile reads: a batch holds at
// most one image beyond batchBytes.
const maxBatch = 1 << 31

// ScanFile reads a finished shard from front to back and gives its rows with
// their places, as Commit gave them, and what the shard says of itself. Every
// image's sha256 is computed and held to the column. It is how a dataset is
// resumed, verified and repaired; Row.File is left to the caller.
func ScanFile(path string) ([]Row, FileMeta, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, FileMeta{}, err
	}
	defer f.Close()
	rows, meta, err := scan(f)
	if err != nil {
		return nil, meta, fmt.Errorf("%s: %w", path, err)
	}
	return rows, meta, nil
}

func scan(f *os.File) (rows []Row, meta FileMeta, err error) {
	defer func() {
		if p := recover(); p != nil { // Arrow's reader panics on some damage
			err = corruptf("arrow: %v", p)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, meta, err
	}
	head := make([]byte, 8)
	if _, err := f.ReadAt(head, 0); err != nil || !bytes.Equal(head, magic) {
		return nil, meta, corruptf("not an Arrow file")
	}
	at := int64(len(magic))
	schema, end, err := rawMessage(f, at, info.Size())
	if err != nil {
		return nil, meta, err
	}
	at = end
	intern := map[string]string{}
	for first := true; ; first = false {
		batch, end, err := rawMessage(f, at, info.Size())
		if err == io.EOF {
			if first {
				meta, err = scanBatch(schema, nil, 0, nil, nil)
			}
			return rows, meta, noEOF(err)
		}
		if err != nil {
			return nil, meta, err
		}
		if meta, err = scanBatch(schema, batch, at, &rows, intern); err != nil {
			return nil, meta, err
		}
		at = end
	}
}

func noEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// rawMessage reads a whole message; io.EOF is the end of the stream.
func rawMessage(f io.ReaderAt, at, size int64) (b []byte, end int64, err error) {
	var prefix [8]byte
	if _, err := f.ReadAt(prefix[:], at); err != nil {
		return nil, 0, corruptf("the file ends at %d, within its data", size)
	}
	n := int64(int32(le.Uint32(prefix[4:])))
	if le.Uint32(prefix[:]) != 0xffffffff || n < 0 || n > maxHead || at+8+n > size {
		return nil, 0, corruptf("no message at %d", at)
	}
	if n == 0 {
		return nil, 0, io.EOF
	}
	head := make([]byte, 8+n)
	if _, err := f.ReadAt(head, at); err != nil {
		return nil, 0, corruptf("message at %d: %w", at, err)
	}
	m, err := parseHead(head, 0, at)
	if err != nil {
		return nil, 0, err
	}
	if m.end > size || m.end-m.body > maxBatch {
		return nil, 0, corruptf("message at %d is %d bytes in a file of %d", at, m.end-at, size)
	}
	b = make([]byte, m.end-at)
	if _, err := f.ReadAt(b, at); err != nil {
		return nil, 0, corruptf("message at %d: %w", at, err)
	}
	return b, m.end, nil
}

// scanBatch reads one batch as a stream of schema and batch.
func scanBatch(schema, batch []byte, at int64, rows *[]Row, intern map[string]string) (FileMeta, error) {
	r, err := ipc.NewReader(io.MultiReader(bytes.NewReader(schema), bytes.NewReader(batch), bytes.NewReader(endOfStream)))
	if err != nil {
		return FileMeta{}, corruptf("arrow: %w", err)
	}
	defer r.Release()
	md := map[string]string{}
	for i, k := range r.Schema().Metadata().Keys() {
		md[k] = r.Schema().Metadata().Values()[i]
	}
	meta, err := shardMeta(md)
	if err != nil {
		return meta, err
	}
	if !sameFields(r.Schema().Fields(), shardFields) {
		return meta, corruptf("its columns are not a shard's")
	}
	if batch == nil {
		return meta, nil
	}
	if !r.Next() {
		return meta, corruptf("arrow: batch at %d: %v", at, r.Err())
	}
	rec := r.Record()
	m, err := parseHead(batch, 0, at)
	if err != nil {
		return meta, err
	}
	image := rec.Column(0).(*array.Struct)
	data, path := image.Field(0).(*array.Binary), image.Field(1).(*array.String)
	read := newRowReader(rec, 1, intern)
	for i := range int(rec.NumRows()) {
		b := data.Value(i)
		row := Row{Path: string([]byte(path.Value(i))), Offset: m.body + m.buffers[imageBytesBuffer].offset + data.ValueOffset64(i), Length: int64(len(b)), CRC32C: crc32.Checksum(b, castagnoli)}
		read.read(i, &row)
		if SHA256(b) != row.SHA256 {
			return meta, corruptf("image %s does not have its sha256", row.Path)
		}
		*rows = append(*rows, row)
	}
	if r.Next() || r.Err() != nil && !errors.Is(r.Err(), io.EOF) {
		return meta, corruptf("arrow: batch at %d: %v", at, r.Err())
	}
	return meta, nil
}

func sameFields(have, want []arrow.Field) bool {
	if len(have) != len(want) {
		return false
	}
	for i := range want {
		if have[i].Name != want[i].Name || !arrow.TypeEqual(have[i].Type, want[i].Type) {
			return false
		}
	}
	return true
}
