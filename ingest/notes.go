package ingest

import (
	"fmt"
	"io"
	"os"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/source"
)

// notes keeps what may say labels of a container that is read front to back: it
// stands behind the images that it is of. It lies in a temporary file without a
// name, for there may be a note an image.
type notes struct {
	f    *os.File
	size int64
	at   map[string][2]int64 // by name: where it lies, and its length
}

// maxNote bounds one file of notes.
const maxNote = 64 << 20

// add keeps a file where it may be one of notes.
func (n *notes) add(e *source.Entry, r io.Reader) error {
	if source.ImageName(e.Name) || e.Size > maxNote {
		return nil
	}
	if n.f == nil {
		f, err := durable.Nameless("synshard-notes-*")
		if err != nil {
			return err
		}
		n.f, n.at = f, map[string][2]int64{}
	}
	written, err := io.Copy(n.f, r)
	if err != nil {
		return fmt.Errorf("keep %s: %w", e.Name, err)
	}
	n.at[e.Name] = [2]int64{n.size, written}
	n.size += written
	return nil
}

// read gives what was kept; ok is false where nothing was of this name.
func (n *notes) read(name string) (b []byte, ok bool, err error) {
	at, ok := n.at[name]
	if !ok {
		return nil, false, nil
	}
	b = make([]byte, at[1])
	_, err = n.f.ReadAt(b, at[0])
	if err == io.EOF && len(b) == 0 {
		err = nil
	}
	return b, true, err
}

func (n *notes) close() error {
	if n.f == nil {
		return nil
	}
	return n.f.Close()
}
