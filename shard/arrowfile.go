package shard

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/synshard/synshard/storage/files"
)

// endOfStream ends the messages of an IPC file. arrow/go leaves it out, and a
// reader that walks the file as a stream then fails at its end.
var endOfStream = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// arrowFile writes an uncompressed Arrow IPC file. After an error it can only be
// aborted.
type arrowFile struct {
	f   files.File
	tee io.Writer // gets every byte too; may be nil
	w   *ipc.FileWriter
	// While watch is set, found becomes the file offset at which the buffer
	// that begins at watch was written.
	watch *byte
	found int64
}

func createArrow(dir files.Dir, name string, schema *arrow.Schema, tee io.Writer) (*arrowFile, error) {
	f, err := dir.Create(name)
	if err != nil {
		return nil, err
	}
	return newArrow(f, schema, tee)
}

func newArrow(f files.File, schema *arrow.Schema, tee io.Writer) (a *arrowFile, err error) {
	a = &arrowFile{f: f, tee: tee}
	if a.w, err = ipc.NewFileWriter(a, ipc.WithSchema(schema)); err != nil {
		f.Abort()
		return nil, fmt.Errorf("write %s: %w", f.Path(), err)
	}
	return a, nil
}

// Write is for the IPC writer.
func (a *arrowFile) Write(p []byte) (int, error) {
	if a.watch != nil && len(p) > 0 && &p[0] == a.watch {
		a.found = a.f.Size()
	}
	if a.tee != nil {
		if _, err := a.tee.Write(p); err != nil {
			return 0, err
		}
	}
	return a.f.Write(p)
}

// Seek tells the IPC writer where it is, which is all it asks.
func (a *arrowFile) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, fmt.Errorf("write %s: cannot seek", a.f.Path())
	}
	return a.f.Size(), nil
}

func (a *arrowFile) write(rec arrow.Record) error {
	if err := a.w.Write(rec); err != nil {
		return fmt.Errorf("write %s: %w", a.f.Path(), err)
	}
	return nil
}

// commit ends the file and gives it its name. An error leaves nothing.
func (a *arrowFile) commit(schema *arrow.Schema, batches int) error {
	if batches == 0 { // a file of no rows still has its schema
		rec := emptyRecord(schema)
		defer rec.Release()
		if err := a.write(rec); err != nil {
			a.f.Abort()
			return err
		}
	}
	_, err := a.Write(endOfStream)
	if err == nil {
		err = a.w.Close()
	}
	if err != nil {
		a.f.Abort()
		return fmt.Errorf("write %s: %w", a.f.Path(), err)
	}
	return a.f.Commit()
}
