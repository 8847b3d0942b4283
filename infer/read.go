package infer

import (
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
)

// ErrFormat marks a file that is not one of predictions.
var ErrFormat = errors.New("not a file of predictions")

// readFile calls f with every record of an Arrow file. Panics of the reader,
// which damage can cause, become errors.
func readFile(path string, schema func(*arrow.Schema) error, f func(arrow.Record) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrFormat, p)
		}
	}()
	r, err := ipc.NewFileReader(file)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer r.Close()
	if schema != nil {
		if err := schema(r.Schema()); err != nil {
			return err
		}
	}
	for i := 0; f != nil && i < r.NumRecords(); i++ {
		rec, err := r.RecordAt(i)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		err = f(rec)
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}
