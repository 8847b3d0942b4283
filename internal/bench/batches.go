package bench

import (
	"context"
	"errors"
	"io"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
)

// Batches is what steps are made on.
type Batches struct {
	next  func() (*loader.Batch, error)
	close func()
}

// Close frees the batches' memory; they are not to be used after it.
func (b *Batches) Close() { b.close() }

// Alloc gives memory for a batch's pixels and what frees it; nil is the
// ordinary memory.
type Alloc func(n int) ([]byte, func(), error)

// Synthetic gives one batch of n images of noise, again and again.
func Synthetic(net *model.Network, n int, alloc Alloc) (*Batches, error) {
	batch := &loader.Batch{Size: net.Input, N: n}
	if alloc == nil {
		alloc = func(n int) ([]byte, func(), error) { return make([]byte, n), func() {}, nil }
	}
	images, free, err := alloc(n * net.Input * net.Input * 3)
	if err != nil {
		return nil, err
	}
	batch.Images = images
	state := uint32(1)
	for i := range batch.Images { // xorshift
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		batch.Images[i] = byte(state)
	}
	for i := range n {
		batch.Labels = append(batch.Labels, int64(i*37%net.Classes))
		batch.Rows = append(batch.Rows, int64(i))
	}
	return &Batches{next: func() (*loader.Batch, error) { return batch, nil }, close: free}, nil
}

// Loaded gives a source's batches of n images as training sees them, epoch
// after epoch, decoded by so many workers (0: one a processor).
func Loaded(ctx context.Context, source loader.Source, net *model.Network, n, workers int, alloc Alloc) *Batches {
	var l *loader.Loader
	epoch := 0
	o := loader.Options{Batch: n, Size: net.Input, Workers: workers, Shuffle: true, DropLast: source.Len() >= n, Alloc: alloc,
		Train: &pixel.Train{Size: net.Input, AreaMin: 0.08, AreaMax: 1, AspectMin: 3.0 / 4, AspectMax: 4.0 / 3, Flip: true, Interpolation: "bilinear"}}
	next := func() (*loader.Batch, error) {
		for empty := 0; ; empty++ {
			if l == nil {
				var err error
				o.Epoch = epoch
				if l, err = loader.New(ctx, source, o); err != nil {
					return nil, err
				}
			}
			batch, err := l.Next()
			if !errors.Is(err, io.EOF) {
				return batch, err
			}
			if empty > 0 {
				return nil, errors.New("the dataset has no images that can be decoded")
			}
			err = l.Close()
			l = nil
			epoch++
			if err != nil {
				return nil, err
			}
		}
	}
	return &Batches{next: next, close: func() {
		if l != nil {
			l.Close()
		}
	}}
}
