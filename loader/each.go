package loader

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/pixel"
)

// EachOptions say how images are gone through.
type EachOptions struct {
	Workers int // 0: one a CPU
	// OnError is told of an image that work could not decode (pixel.OfImage), row i of the
	// source; what it returns ends all. It is called from many goroutines. nil: carry on.
	OnError func(i int, err error) error
	OnImage func() // after every image, from many goroutines; nil: nobody wants to know
}

// Each goes once through n images of a source, image k being row row(k): work gets the bytes of
// each with a decoder of the worker's own, and the worker's number, from 0, below how many there
// are; bytes are good until it returns. Workers take images in their order, and finish them in
// any. An image whose bytes cannot be had ends all, as does any error of work that is not of an
// image; of several the first in order is given.
func Each(ctx context.Context, src Source, n int, row func(k int) int, o EachOptions, work func(worker, i int, d *pixel.Decoder, image []byte) error) error {
	var workers sync.WaitGroup
	var next atomic.Int64
	var failed inorder.First
	for worker := range WorkersOf(o.Workers) {
		workers.Go(func() {
			d := pixel.NewDecoder()
			defer d.Close()
			var buf []byte
			for {
				turn := next.Add(1) - 1
				if turn >= int64(n) || failed.Before(turn) != nil || ctx.Err() != nil {
					return
				}
				i := row(int(turn))
				image, err := src.Read(i, buf)
				if err == nil {
					buf = image
					err = o.settle(i, work(worker, i, d, image))
				}
				if err != nil {
					failed.Failed(turn, err)
				}
			}
		})
	}
	workers.Wait()
	if err := failed.Before(int64(n)); err != nil {
		return err
	}
	return ctx.Err()
}

// settle tells of a finished image, row i, and of its error.
func (o *EachOptions) settle(i int, err error) error {
	if o.OnImage != nil {
		defer o.OnImage()
	}
	switch {
	case err == nil:
		return nil
	case !pixel.OfImage(err):
		return fmt.Errorf("row %d: %w", i, err)
	case o.OnError != nil:
		return o.OnError(i, err)
	}
	return nil
}

// WorkersOf is how many workers a number of them means: 0 is one a CPU.
func WorkersOf(workers int) int {
	if workers > 0 {
		return workers
	}
	return processors.Count()
}
