package storage

import (
	"context"
	"io"
	"sync"
	"time"
)

// answerAwaited is how long an answer is waited for that nobody needs any more. With partsGivenUp, it is well below what a
// program has to end in order after a signal. Tests lengthen it.
var answerAwaited = 2 * time.Second

// answered calls f, which makes a request of S3's client, so that it is known afterwards what came of it: a store may do
// what it was asked although who asked is gone, and what it does after this program has cleaned up stays. Once ctx has
// ended nothing is sent, and what was sent by then is waited for, answerAwaited at most.
func answered(ctx context.Context, f func(context.Context) error) error {
	return awaited(ctx, func() bool { return true }, f)
}

// sent is answered for a request that sends size bytes of r. It ends with ctx as long as bytes are left to be sent,
// as no store takes a body that was cut for a whole one.
func sent(ctx context.Context, r io.ReaderAt, at, size int64, f func(context.Context, io.ReadSeeker) error) error {
	b := &body{r: io.NewSectionReader(r, at, size), ctx: ctx}
	return awaited(ctx, b.whole, func(late context.Context) error { return f(late, b) })
}

// asker is the key of a context's value: the context of who asked, which may have ended before it.
type asker struct{}

// awaited calls f with a context that ends with ctx, or answerAwaited later where what was asked can no longer be cut.
func awaited(ctx context.Context, whole func() bool, f func(context.Context) error) error {
	late, end := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), asker{}, ctx))
	defer end()
	wait := answerAwaited
	kept := context.AfterFunc(ctx, func() {
		if whole() {
			time.AfterFunc(wait, end)
		} else {
			end()
		}
	})
	defer kept()
	return f(late)
}

// unasked is the error of a request that is about to be sent, the first time or again, and that nobody asks for any more.
func unasked(ctx context.Context) error {
	if who, ok := ctx.Value(asker{}).(context.Context); ok && who.Err() != nil {
		return cut{who.Err()}
	}
	return nil
}

// body is what a request sends: no more of it once ctx has ended.
type body struct {
	mu  sync.Mutex
	r   *io.SectionReader
	ctx context.Context
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.ctx.Err(); err != nil && b.left() > 0 {
		return 0, cut{err}
	}
	return b.r.Read(p)
}

func (b *body) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.r.Seek(offset, whence)
}

// whole says whether all of it was read.
func (b *body) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left() == 0
}

func (b *body) left() int64 {
	at, _ := b.r.Seek(0, io.SeekCurrent) // where it stands, which has no error
	return b.r.Size() - at
}

// cut is the error of a request whose context ended before it was sent whole. S3's client does not send such a one again.
type cut struct{ error }

func (c cut) Unwrap() error { return c.error }

func (cut) CanceledError() bool { return true }
