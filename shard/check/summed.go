package check

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"

	"github.com/synshard/synshard/storage/files"
)

// summedDir is a directory of which one file is opened, and summed while it is read: a
// file elsewhere comes over the network once.
type summedDir struct {
	files.Dir
	file *summedFile
}

// readAtOnce is the size of a file that is read whole by one read: elsewhere each would be a request.
const readAtOnce = 1 << 20

// Open opens the file.
func (d *summedDir) Open(name string) (files.Opened, error) {
	f, err := d.Dir.Open(name)
	if err != nil {
		return nil, err
	}
	if f.Size() <= readAtOnce {
		b := make([]byte, f.Size())
		n, err := f.ReadAt(b, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, errors.Join(err, f.Close())
		}
		f = &heldFile{f, bytes.NewReader(b[:n])}
	}
	d.file = &summedFile{Opened: f}
	return d.file, nil
}

// heldFile is an open file whose bytes are in memory.
type heldFile struct {
	files.Opened
	bytes *bytes.Reader
}

func (f *heldFile) ReadAt(b []byte, at int64) (int, error) { return f.bytes.ReadAt(b, at) }

// whole gives the size of the file and the CRC-32C of all its bytes.
func (d *summedDir) whole() (size int64, sum uint32, err error) {
	err = d.file.upTo(d.file.Size())
	return d.file.next, d.file.sum, err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summedFile is a file that is summed in order while it is read in nearly that order.
type summedFile struct {
	files.Opened
	next int64 // bytes that are summed
	sum  uint32
}

// ReadAt sums what lies behind what was summed; what was passed over is read for it.
func (f *summedFile) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.Opened.ReadAt(b, at)
	if end := at + int64(n); at <= f.next+passedOver && end > f.next && err == nil {
		if serr := f.upTo(at); serr != nil {
			return n, serr
		}
		f.add(b[max(f.next-at, 0):n])
	}
	return n, err
}

// passedOver is how much may lie between what was summed and what is read; what lies
// further on is read out of order.
const passedOver = 64 << 10

func (f *summedFile) add(b []byte) {
	f.sum = crc32.Update(f.sum, castagnoli, b)
	f.next += int64(len(b))
}

// upTo reads and sums what is not summed yet before a place.
func (f *summedFile) upTo(end int64) error {
	buf := make([]byte, min(max(end-f.next, 0), 256<<10))
	for f.next < end {
		n, err := f.Opened.ReadAt(buf[:min(int64(len(buf)), end-f.next)], f.next)
		f.add(buf[:n])
		if n == 0 || err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}
