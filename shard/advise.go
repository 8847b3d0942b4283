package shard

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Advisor tells the kernel which rows of a dataset on this machine will be read soon and
// which have been; loader.Advisor says when. Advice never fails: what cannot be opened is
// left to the reader to complain about. Its files are those that reading uses.
type Advisor struct {
	files openShards
	rows  int
	row   func(i int) Row
}

// Advisor advises of so many rows; row says where each lies. A loader may go over them again and
// again: row i is i modulo rows.
func (d *Dataset) Advisor(rows int, row func(i int) Row) *Advisor {
	return &Advisor{d.files, rows, row}
}

// WillNeed has the kernel begin to read a row.
func (a *Advisor) WillNeed(i int) { a.advise(i, unix.FADV_WILLNEED) }

// DontNeed lets the kernel forget a row.
func (a *Advisor) DontNeed(i int) { a.advise(i, unix.FADV_DONTNEED) }

func (a *Advisor) advise(i, advice int) {
	r := a.row(i % a.rows)
	f, err := a.files.get(r.File)
	if err != nil {
		return
	}
	defer f.Release()
	file, ok := f.Open.(syscall.Conn)
	if !ok {
		return
	}
	if c, err := file.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = unix.Fadvise(int(fd), r.Offset, r.Length, advice) })
	}
}
