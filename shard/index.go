package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

func fileSHA256(path string) (string, error) {
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

// readChecked reads a whole file and holds it to its sha256, so that Arrow's
// reader never sees a damaged one.
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

// eachRecord calls f with every record batch of an Arrow file that has the
// given fields. Panics of the reader become ErrCorrupt.
func eachRecord(b []byte, fields []arrow.Field, f func(rec arrow.Record) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = corruptf("arrow: %v", p)
		}
	}()
	r, err := ipc.NewFileReader(bytes.NewReader(b))
	if err != nil {
		return corruptf("arrow: %w", err)
	}
	defer r.Close()
	have := r.Schema().Fields()
	if len(have) != len(fields) {
		return corruptf("%d columns, want %d", len(have), len(fields))
	}
	for i, want := range fields {
		if have[i].Name != want.Name || !arrow.TypeEqual(have[i].Type, want.Type) {
			return corruptf("column %d is %s %s, want %s %s", i, have[i].Name, have[i].Type, want.Name, want.Type)
		}
	}
	for i := range r.NumRecords() {
		rec, err := r.RecordAt(i)
		if err != nil {
			return corruptf("arrow: batch %d: %w", i, err)
		}
		err = f(rec)
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// readIndex reads a split's index.
func readIndex(dir, split string, info SplitInfo) ([]Row, error) {
	path := filepath.Join(dir, split, IndexName)
	b, err := readChecked(path, info.IndexSHA256)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, 0, info.Rows)
	intern := map[string]string{}
	err = eachRecord(b, indexFields, func(rec arrow.Record) error {
		n := 1 + len(rowFields)
		r := newRowReader(rec, 1, intern)
		path, file := rec.Column(0).(*array.String), rec.Column(n).(*array.String)
		offset, length, crc := rec.Column(n+1).(*array.Int64), rec.Column(n+2).(*array.Int64), rec.Column(n+3).(*array.Uint32)
		for i := range int(rec.NumRows()) {
			row := Row{Path: string([]byte(path.Value(i))), File: r.keep(file.Value(i)), Offset: offset.Value(i), Length: length.Value(i), CRC32C: crc.Value(i)}
			r.read(i, &row)
			if !filepath.IsLocal(filepath.FromSlash(row.File)) || row.Offset < 0 || row.Length < 0 || row.Length > 1<<31 {
				return corruptf("row %d lies at %d, %d bytes, of %q", len(rows), row.Offset, row.Length, row.File)
			}
			rows = append(rows, row)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(rows)) != info.Rows {
		return nil, fmt.Errorf("%s: %w: %d rows, the manifest says %d", path, ErrCorrupt, len(rows), info.Rows)
	}
	return rows, nil
}
