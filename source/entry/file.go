package entry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/internal/regular"
)

// File is a container's file, which is read in place, from many goroutines.
type File interface {
	io.ReaderAt
	Path() string // by which errors name it
	Size() int64  // bytes
	// Unchanged wants the path to lead to the file it led to, as it was.
	Unchanged() error
}

// ReadImage reads a file that holds one image, into buf where it fits. What is
// wrong with the file is that image's own, ErrUnreadable; what the process or the
// machine lacks is not, since another time the image could be had.
func ReadImage(path string, buf []byte) ([]byte, error) {
	f, info, err := regular.Open(path)
	if lacking(err) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	defer f.Close()
	if info.Size() > MaxImage {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreadable, path, TooLarge(info.Size()))
	}
	buf = Sized(buf, info.Size())
	if _, err := io.ReadFull(f, buf); lacking(err) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrUnreadable, path, Unexpected(err))
	}
	return buf, nil
}

// lacking says whether an error is of what the process may have, or of a file
// system that is not there at the moment.
func lacking(err error) bool {
	return slices.ContainsFunc([]error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.ESTALE, unix.ETIMEDOUT, unix.ENOTCONN, unix.EHOSTDOWN, unix.EHOSTUNREACH},
		func(lack error) bool { return errors.Is(err, lack) })
}

// TooLarge is the error of more bytes than MaxImage.
func TooLarge(size int64) error { return fmt.Errorf("%d bytes, more than an image has", size) }

// Sized gives a slice of n bytes, in buf where they fit.
func Sized(buf []byte, n int64) []byte {
	if int64(cap(buf)) < n {
		return make([]byte, n)
	}
	return buf[:n]
}

// Unexpected turns an end where there should be more into io.ErrUnexpectedEOF.
func Unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Reader reads the entries of a container.
type Reader interface {
	// Read gives an entry's bytes, in buf where they fit. Errors name the entry
	// and the container, and are ErrUnreadable where they are the entry's own.
	Read(e *Entry, buf []byte) ([]byte, error)
}

// Give reads one entry for f, into a buffer that is kept from one to the next.
func Give(c Reader, e *Entry, buf *[]byte, f Visit) error {
	b, err := c.Read(e, *buf)
	switch {
	case err == nil:
		*buf = b
		return f(*e, b, nil)
	case errors.Is(err, ErrUnreadable):
		return f(*e, nil, err)
	}
	return err
}

// EachRead reads one entry after the other for f, whose error ends it.
func EachRead(ctx context.Context, c Reader, entries []Entry, f Visit) error {
	var buf []byte
	for i := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := Give(c, &entries[i], &buf, f); err != nil {
			return err
		}
	}
	return nil
}

// readsAtOnce is how many entries EachAhead asks for at a time.
const readsAtOnce = 8

// EachAhead is EachRead that reads several entries ahead of the one that f is called with,
// each into memory of its own: of what lies elsewhere, where each takes its time. None
// is under way when it returns.
func EachAhead(ctx context.Context, c Reader, entries []Entry, f Visit) error {
	type answer struct {
		b   []byte
		err error
	}
	var asked [readsAtOnce]chan answer // of entry i at i modulo their number
	ask := func(i int) {
		if i >= len(entries) {
			return
		}
		to := make(chan answer, 1)
		asked[i%readsAtOnce] = to
		go func() {
			b, err := c.Read(&entries[i], nil)
			to <- answer{b, err}
		}()
	}
	next := func(i int) (a answer) {
		a, asked[i%readsAtOnce] = <-asked[i%readsAtOnce], nil
		return a
	}
	defer func() { // who called may close what is read
		for _, from := range asked {
			if from != nil {
				<-from
			}
		}
	}()
	for i := range readsAtOnce {
		ask(i)
	}
	for i := range entries {
		a := next(i)
		if err := ctx.Err(); err != nil {
			return err
		}
		ask(i + readsAtOnce)
		if a.err != nil && !errors.Is(a.err, ErrUnreadable) {
			return a.err
		}
		if a.err != nil {
			a.b = nil
		}
		if err := f(entries[i], a.b, a.err); err != nil {
			return err
		}
	}
	return nil
}

// SortByName puts entries in order of their names' bytes. Of those that share one the
// first stays; the others are told to skip.
func SortByName(list []Entry, skip SkipFunc) []Entry {
	slices.SortStableFunc(list, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	kept := list[:0]
	for _, e := range list {
		if len(kept) > 0 && kept[len(kept)-1].Name == e.Name {
			Again(e.Name, skip)
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// Again tells of a file whose name was there before in its archive. The first is
// kept, although tools that unpack archives keep the last: of a pipe it is the
// only one that can be, and what an archive gives does not depend on how it is
// packed.
func Again(name string, skip SkipFunc) {
	skip(name, "a file whose name was there before in its archive", ImageName(name))
}

// UnixNano is a time as an Entry has it: in Unix nanoseconds, 0 where it is none.
func UnixNano(t time.Time) int64 {
	if s := t.Unix(); s <= 0 || s > 1<<33 { // no time, or beyond what nanoseconds can say
		return 0
	}
	return t.UnixNano()
}
