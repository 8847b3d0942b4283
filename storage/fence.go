package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
)

// Locks are those that a writer holds, one or more, of one place: it writes where every one
// of them is held.
type Locks []*Lock

// Write makes an object below the locks' place as their holder: never over what another
// holder wrote, however late the write comes. It takes the place of a state that was there
// while the locks were held, and of no other: that is a condition of the write. A store that
// holds to none (Weak) cannot promise it.
func (ls Locks) Write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	for try := 0; ; try++ {
		was, err := ls[0].p.Stat(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		err = ls.WriteOver(ctx, name, was.ID, r, size)
		if !errors.Is(err, ErrChanged) && !errors.Is(err, fs.ErrNotExist) || try == 4 {
			return err
		}
		// By another holder, who may have ended the upload, too; or by one who shares a lock,
		// who came first.
		if err := ls.each(func(l *Lock) error { return l.ask(ctx) }); err != nil {
			return err
		}
	}
}

// WriteOver is Write where it is known what is there: the state of an object as it was
// listed while the locks were held, or "". Another state is ErrChanged.
func (ls Locks) WriteOver(ctx context.Context, name, id string, r io.ReaderAt, size int64) error {
	if err := ls.Held(ctx); err != nil {
		return err
	}
	for _, l := range ls {
		if l.Weak {
			return l.p.WriteFrom(ctx, name, r, size)
		}
	}
	return ls[0].p.WriteOver(ctx, name, id, r, size)
}

// Held is Lock.Held of every one.
func (ls Locks) Held(ctx context.Context) error {
	return ls.each(func(l *Lock) error { return l.Held(ctx) })
}

// each calls f with every lock, until it fails.
func (ls Locks) each(f func(*Lock) error) error {
	for _, l := range ls {
		if err := f(l); err != nil {
			return err
		}
	}
	return nil
}

// Write is Locks.Write of the lock alone.
func (l *Lock) Write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	return Locks{l}.Write(ctx, name, r, size)
}

// WriteOver is Locks.WriteOver of the lock alone.
func (l *Lock) WriteOver(ctx context.Context, name, id string, r io.ReaderAt, size int64) error {
	return Locks{l}.WriteOver(ctx, name, id, r, size)
}
