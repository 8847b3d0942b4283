package prediction

import (
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/synshard/synshard/internal/durable"
)

// ErrFormat marks a file that is not one of predictions.
var ErrFormat = errors.New("not a file of predictions")

// ErrOther marks an output that holds other predictions than those asked for.
var ErrOther = errors.New("holds other predictions")

// readFile calls f with every record of an Arrow file. Panics of the reader,
// which damage can cause, become errors.
func ReadFile(path string, schema func(*arrow.Schema) error, f func(arrow.Record) error) (err error) {
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

// writeFile writes records to a file that is whole or absent.
func WriteFile(path, format string, schema *arrow.Schema, each func(write func(arrow.Record) error) error) error {
	f, err := durable.Create(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	out, err := NewEncoder(format, f, schema)
	if err == nil {
		err = each(out.Write)
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := WriteSidecar(path, format, f.Size(), schema); err != nil {
		return err
	}
	return f.Commit()
}
