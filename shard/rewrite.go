package shard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/storage/files"
)

// Rewritten says whether a finished shard is, byte for byte, what is written of its
// own rows and of what it says of itself. Equal input gives equal bytes, so damage
// to a schema, or between the buffers, tells itself where no list of shards has the
// file's sum: the schema stands there twice. A shard that cannot be read is
// ErrCorrupt.
func Rewritten(dir files.Dir, file string) (bool, error) {
	r, err := OpenFile(dir, file)
	if err != nil {
		return false, err
	}
	defer r.Close()
	f, err := dir.Open(file)
	if err != nil {
		return false, ownFile(err)
	}
	defer f.Close()
	same := &comparison{path: dir.Path(file), in: bufio.NewReaderSize(files.Sequential(f), 64<<10)}
	w, err := newFileWriter(same, r.Meta, memory.DefaultAllocator)
	if err == nil {
		defer w.Abort()
		if err = r.EachImage(w.Append); err == nil {
			_, err = w.Commit()
		}
	}
	switch {
	case same.failed != nil:
		return false, same.failed
	case errors.Is(err, ErrCorrupt):
		return false, err
	}
	return err == nil && same.n == f.Size(), nil // else nobody would write it
}

var errOtherBytes = errors.New("other bytes")

// comparison is a files.File that holds what is written to a file that is there.
type comparison struct {
	path   string
	in     *bufio.Reader
	n      int64
	have   []byte
	failed error // of reading
}

func (c *comparison) Write(p []byte) (int, error) {
	if cap(c.have) < len(p) {
		c.have = make([]byte, len(p))
	}
	have := c.have[:len(p)]
	n, err := io.ReadFull(c.in, have)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err == nil && !bytes.Equal(have, p):
		return 0, errOtherBytes
	case err != nil:
		c.failed = fmt.Errorf("read %s: %w", c.path, err)
		return 0, c.failed
	}
	c.n += int64(n)
	return n, nil
}

func (c *comparison) Path() string  { return c.path }
func (c *comparison) Size() int64   { return c.n }
func (c *comparison) Commit() error { return nil }
func (c *comparison) Abort()        {}
