// Package loader turns many images into batches of pixels: in what order, by
// how many workers, into which memory. The order and all that is random in it
// are pure functions of (rows, seed, epoch): identical for any number of
// workers, and resumable from any sample.
package loader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/pixel"
)

// Source is where images come from; *shard.View is one. Its methods are called
// from many goroutines at a time. A source may also have a method
// Path(i int) string, by which errors name its images.
type Source interface {
	Len() int          // images
	Label(i int) int64 // of image i, from 0; -1: none
	// Read gives the bytes of image i, as they are stored, in buf or in a larger
	// buffer of its own.
	Read(i int, buf []byte) ([]byte, error)
}

// Item is one image of a source.
type Item struct {
	Row  int    // of the source, from 0
	Path string // if the source has a method Path(int) string
}

// Advisor is told which rows will be read soon and which have been read, so
// that the kernel can fetch the ones and forget the others. It is called from
// one goroutine for WillNeed and from many for DontNeed.
type Advisor interface {
	WillNeed(i int) // row i of the source will be read
	DontNeed(i int) // and has been
}

// Keeper is an Advisor that is told, too, when a row that has been read will be read
// next: the order is known. It is called from many goroutines.
type Keeper interface {
	Advisor
	// Keep is told that row i was read, and will be as sample next, counted over all
	// epochs of these options, which each have as many as there are rows. A row that is
	// not read in the next epoch is told to be read after it.
	Keep(i int, next int64)
}

// Options say which images, in what order, made ready how.
type Options struct {
	Batch    int // images a batch
	Size     int // pixels, height and width
	Workers  int // 0: one a CPU
	Prefetch int // batches ready or in work beside the one in use; 0 means 2

	Train *pixel.Train // either this
	Eval  *pixel.Eval  // or this
	Alpha pixel.Alpha  // what becomes of transparency

	// Shuffle gives each epoch its own permutation of the rows. Weights, one a
	// row, draw rows in proportion instead, as many as there are rows: see
	// Balanced.
	Shuffle bool
	Weights []float64
	// Repeats shows each row that has its turn so many times, each time with other
	// distortions, in one epoch, which keeps its length: that many times fewer rows have
	// their turn. In a batch the copies of a row stand apart. It is repeated augmentation
	// (Hoffer et al., arXiv:1901.09335; Berman et al., arXiv:1902.05509) as torchvision's
	// references and timm sample it. 0 means 1; of Train alone.
	Repeats  int
	Seed     uint64 // of the order, and of what is random in each image
	Epoch    int    // from 0
	Start    int64  // samples of the epoch's order to leave out
	DropLast bool   // leave out the last batch if it is not full; else it is padded

	// Points remembers of each row where its data can be entered, for epochs to come: of Train
	// alone, and for rows that come more than once. Nil: each image is decoded from its first row on.
	Points *Points

	// Alloc gives n bytes for a batch's pixels and what frees them, as Close will;
	// nil is the Go heap.
	Alloc func(n int) ([]byte, func(), error)

	// Advisor is told of rows Ahead places before they are dealt to the workers, which read them
	// up to Prefetch+1 batches later; 0 means one batch. Forget tells it of rows that have been
	// read, for data that are larger than memory.
	Advisor Advisor
	Ahead   int
	Forget  bool

	// Truncated takes a JPEG that ends early as far as it goes, the rest grey;
	// else, and in every other format, that is an error.
	Truncated bool

	// OnError decides about an image that cannot be read or decoded. It may
	// be called from many goroutines. Nil, or an error from it, ends the
	// epoch. If it gives nil, a training image is replaced by another row
	// (so that the batch keeps its shape) and an evaluation image keeps its
	// place, black, with the error in Batch.Errs and its label.
	OnError func(Item, error) error
}

// Fits says whether the bound on the process's pixels (pixel.SetMemory) has room for
// the batches that a loader with these options holds: pixel.ErrMemory, naming both, if
// it has not.
func (o Options) Fits() error {
	release, err := o.keep()
	if err == nil {
		release()
	}
	return err
}

// keep takes the batches' bytes out of that bound.
func (o Options) keep() (release func(), err error) {
	o = o.defaults()
	release, err = pixel.Keep(int64(o.Prefetch+1) * int64(o.Batch) * int64(o.Size) * int64(o.Size) * 3)
	if err != nil {
		return nil, fmt.Errorf("loader: %d batches of %d images of %d pixels: %w", o.Prefetch+1, o.Batch, o.Size, err)
	}
	return release, nil
}

// defaults fills in what was left to the loader.
func (o Options) defaults() Options {
	if o.Workers == 0 {
		o.Workers = processors.Count()
	}
	if o.Prefetch == 0 {
		o.Prefetch = 2
	}
	if o.Repeats == 0 {
		o.Repeats = 1
	}
	if o.Size == 0 && o.Train != nil {
		o.Size = o.Train.Size
	} else if o.Size == 0 && o.Eval != nil {
		o.Size = o.Eval.Size
	}
	return o
}

// Batch is a set of images. It is the caller's, to change too, until Release.
type Batch struct {
	Images []byte  // uint8 [rows, Size, Size, 3]: NHWC, red green blue, 0 where padding
	Labels []int64 // [rows]; -1: none, or padding
	// Of images that were mixed, which a loader does not: the label of what was mixed in, -1
	// where Labels has it, and the share, 0 to 1, of the label in Labels. Nil, both: none was.
	Others []int64   // [rows]
	Shares []float32 // [rows]
	Rows   []int64   // [rows], of the source; -1: padding
	Errs   []error   // [rows], only where an image failed
	N      int       // rows that are not padding, which stand first
	Size   int       // pixels, height and width
	First  int64     // the first of its places in the epoch's order

	release func()
}

// Release gives the batch's memory back to the loader. A second call does
// nothing.
func (b *Batch) Release() {
	if b.release != nil {
		b.release()
		b.release = nil
	}
}

// Stats counts what a loader has done. Times are summed over workers: Read has
// the source's checksums in it, Decode is bytes to pixels, Resize is what comes
// after, Idle is workers waiting for something to do, which comes when a batch is
// released. Wait is how long Next waited.
type Stats struct {
	Wait, Read, Decode, Resize, Idle time.Duration
	Images                           int64 // made ready
	Bytes                            int64 // read, of images that failed too
	Skipped                          int64 // images that failed and OnError passed over
}

// Loader hands out one epoch's batches. Next and Close are for one goroutine,
// Stats and the batches for any.
type Loader struct {
	src    Source
	o      Options
	order  order
	next   order            // of the next epoch
	keeper Keeper           // nil: nobody asks
	name   func(int) string // nil if the source has no paths
	total  int64            // samples in the epoch
	end    int64            // first sample not handed out
	ctx    context.Context
	cancel context.CancelCauseFunc

	free  chan *slot
	ready chan *slot // in order
	work  chan task
	wg    sync.WaitGroup

	failed                           inorder.First
	wait, read, decode, resize, idle atomic.Int64
	images, bytes, skipped           atomic.Int64
	frees                            []func()
	closed                           sync.Once
}

// slot is a batch's memory, used again and again.
type slot struct {
	batch   Batch
	pending atomic.Int32
	done    chan struct{} // one token when every image is there
}

// task is one image of a batch that is to be made ready.
type task struct {
	slot  *slot
	index int   // in the batch
	place int64 // in the epoch's order; -1: padding
}

// turn is where it stands among all that the workers are dealt, padding too.
func (t task) turn() int64 { return t.slot.batch.First + int64(t.index) }

// New starts loading: workers run until the epoch's end, an error, ctx's end or
// Close, which must be called. Options that make no sense are an error, and batches
// that do not fit pixel.ErrMemory.
func New(ctx context.Context, src Source, o Options) (*Loader, error) {
	o = o.defaults()
	n := int64(src.Len())
	switch {
	case (o.Train == nil) == (o.Eval == nil):
		return nil, errors.New("loader: want either a train or an eval path")
	case o.Train != nil && o.Train.Size != o.Size, o.Eval != nil && o.Eval.Size != o.Size:
		return nil, fmt.Errorf("loader: batches of %d pixels from a path of another size", o.Size)
	case o.Batch < 1 || o.Size < 1 || o.Workers < 0 || o.Prefetch < 1:
		return nil, fmt.Errorf("loader: batch %d, size %d, workers %d, prefetch %d", o.Batch, o.Size, o.Workers, o.Prefetch)
	case o.Repeats < 1 || o.Repeats > 1 && o.Train == nil:
		return nil, fmt.Errorf("loader: %d repeats: want 1 or more, of training images", o.Repeats)
	case o.Points != nil && (o.Train == nil || !o.Points.fit(n)):
		return nil, fmt.Errorf("loader: entry points are for training on the %d rows they were made for, not for %d images", len(o.Points.at), n)
	case o.Ahead < 0:
		return nil, fmt.Errorf("loader: %d rows ahead", o.Ahead)
	case o.Start < 0 || o.Start > n:
		return nil, fmt.Errorf("loader: start at sample %d of %d", o.Start, n)
	}
	l := &Loader{src: src, o: o, total: n, end: n}
	if o.DropLast {
		l.end = o.Start + (n-o.Start)/int64(o.Batch)*int64(o.Batch)
	}
	if o.Ahead == 0 {
		l.o.Ahead = o.Batch
	}
	if p, ok := src.(interface{ Path(int) string }); ok {
		l.name = p.Path
	}
	var err error
	if l.order, err = newOrder(n, o); err != nil {
		return nil, err
	}
	if l.keeper, _ = o.Advisor.(Keeper); l.keeper != nil {
		l.next = l.order.following(o)
	}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	if err := l.start(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Loader) start() error {
	release, err := l.o.keep()
	if err != nil {
		return err
	}
	l.frees = append(l.frees, release)
	slots := l.o.Prefetch + 1
	l.free, l.ready = make(chan *slot, slots), make(chan *slot, slots)
	l.work = make(chan task, slots*l.o.Batch) // all there can be: no worker has to wake the dealer for an image
	for range slots {
		s := &slot{done: make(chan struct{}, 1)}
		n := l.o.Batch * l.o.Size * l.o.Size * 3
		if l.o.Alloc != nil {
			mem, free, err := l.o.Alloc(n)
			if err != nil {
				return fmt.Errorf("loader: memory for a batch: %w", err)
			}
			s.batch.Images = mem
			l.frees = append(l.frees, free)
		} else {
			s.batch.Images = make([]byte, n)
		}
		s.batch.Labels, s.batch.Rows = make([]int64, l.o.Batch), make([]int64, l.o.Batch)
		s.batch.Errs, s.batch.Size = make([]error, l.o.Batch), l.o.Size
		l.free <- s
	}
	for range l.o.Workers {
		l.wg.Add(1)
		go l.run()
	}
	l.wg.Add(1)
	go l.deal()
	return nil
}

// Next gives the next batch, in order; io.EOF ends the epoch. One batch must be
// released before Prefetch more can be had. An error is OnError's, the image's where
// there is no OnError, or the reason that ctx ended for. Of images it is the first in
// order, and comes after all batches before its own, whoever of the workers was faster.
func (l *Loader) Next() (*Batch, error) {
	began := time.Now()
	defer func() { l.wait.Add(int64(time.Since(began))) }()
	var s *slot
	var ok bool
	select {
	case s, ok = <-l.ready:
		if !ok {
			if err := context.Cause(l.ctx); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
	select {
	case <-s.done:
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
	if err := l.failed.Before(s.batch.First + int64(l.o.Batch)); err != nil {
		l.cancel(err)
		return nil, err
	}
	b := s.batch
	b.release = func() { l.free <- s }
	return &b, nil
}

// Stats tells what was done so far.
func (l *Loader) Stats() Stats {
	return Stats{
		Wait: time.Duration(l.wait.Load()), Read: time.Duration(l.read.Load()), Decode: time.Duration(l.decode.Load()),
		Resize: time.Duration(l.resize.Load()), Idle: time.Duration(l.idle.Load()),
		Images: l.images.Load(), Bytes: l.bytes.Load(), Skipped: l.skipped.Load(),
	}
}

// errClosed is why a closed loader gives no more batches.
var errClosed = errors.New("loader is closed")

// Close ends the workers and frees the memory of the batches, released or not:
// none may be in use. It gives no error and may be called more than once.
func (l *Loader) Close() error {
	l.closed.Do(func() {
		l.cancel(errClosed)
		l.wg.Wait()
		for _, free := range l.frees {
			free()
		}
	})
	return nil
}
