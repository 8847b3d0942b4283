package columns

import (
	"container/list"
	"fmt"
	"iter"
	"sync"

	"github.com/synshard/synshard/source/entry"
)

const (
	blockRows  = 64
	blockBytes = 8 << 20
	keptBytes  = 256 << 20 // of blocks
	keptBlocks = 64
	// farBack is how far in front of the row asked for rows are passed over:
	// others may be about to ask for those nearer.
	farBack = 4 * blockRows
)

// blocks reads a file's images at random. Rows are asked for nearly in order,
// by several at a time: one reader goes forward through the file, and what it
// read last is kept for those who come a little later.
type blocks struct {
	c *Columns

	mu    sync.Mutex
	kept  list.List // of *block, newest in front
	bytes int
	at    int64 // the row that next gives; of no group: -1
	group int
	rows  rowFile // for this alone; nil until it is needed
	next  func() (image, error, bool)
	stop  func()
}

// block is some images one behind the other.
type block struct {
	from   int64
	images []image
	bytes  int
}

// image is a row's bytes; nil where there are none.
type image struct {
	b  []byte
	ok bool
}

func newBlocks(c *Columns) *blocks { return &blocks{c: c, at: -1} }

// read gives a row's image, which the caller must not change.
func (k *blocks) read(row int64) (image, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for e := k.kept.Front(); e != nil; e = e.Next() {
		if b := e.Value.(*block); row >= b.from && row < b.from+int64(len(b.images)) {
			return b.images[row-b.from], nil
		}
	}
	if g, _ := k.c.Group(row); k.at < 0 || g != k.group || row < k.at {
		k.end()
		if err := k.begin(g); err != nil {
			return image{}, err
		}
	}
	for {
		b, err := k.block(row)
		if err != nil {
			k.end()
			return image{}, err
		}
		if row < k.at {
			return b.images[row-b.from], nil
		}
	}
}

// begin opens a group for reading from its beginning.
func (k *blocks) begin(g int) error {
	if k.rows == nil {
		rows, err := k.c.rows.again()
		if err != nil {
			return err
		}
		k.rows = rows
	}
	k.next, k.stop = iter.Pull2(func(yield func(image, error) bool) {
		err := k.rows.texts(g, &k.c.image, func(b []byte, ok bool) error {
			if !yield(image{b, ok}, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && err != errEnough {
			yield(image{}, err)
		}
	})
	k.group, k.at = g, k.c.starts[g]
	return nil
}

var errRowsMissing = fmt.Errorf("%w: rows are missing", entry.ErrCorrupt)

// block reads the next images. Those far in front of a row are passed over.
func (k *blocks) block(row int64) (*block, error) {
	b := &block{from: k.at}
	for len(b.images) < blockRows && b.bytes < blockBytes && k.at < k.c.starts[k.group+1] {
		im, err, ok := k.next()
		if !ok {
			err = errRowsMissing
		}
		if err != nil {
			return nil, err
		}
		if k.at++; row-k.at > farBack {
			b.from = k.at
			continue
		}
		im.b = append([]byte(nil), im.b...)
		b.images, b.bytes = append(b.images, im), b.bytes+len(im.b)
	}
	k.kept.PushFront(b)
	for k.bytes += b.bytes; (k.bytes > keptBytes || k.kept.Len() > keptBlocks) && k.kept.Len() > 2; {
		k.bytes -= k.kept.Remove(k.kept.Back()).(*block).bytes
	}
	return b, nil
}

// end leaves the group that is being read.
func (k *blocks) end() {
	if k.stop != nil {
		k.stop()
	}
	k.next, k.stop, k.at = nil, nil, -1
}

func (k *blocks) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end()
	k.kept.Init()
}

// Read gives a row's image, in buf where it fits. A row without one is
// entry.ErrUnreadable, a damaged file entry.ErrCorrupt.
func (c *Columns) Read(e *entry.Entry, buf []byte) ([]byte, error) {
	im, err := c.cache.read(e.Place)
	if err != nil {
		return nil, c.wrap(err)
	}
	b, err := c.checked(e, im.b, im.ok)
	if err != nil {
		return nil, err
	}
	return append(buf[:0], b...), nil
}
