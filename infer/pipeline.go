package infer

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/source"
)

// predict works through chunks, whose sizes are chunkRows but for the last, and gives
// their rows to emit in order. Decoding, the network and emit overlap:
//
//	selection  the chunks' rows of the source, and the truth of each
//	loader     images, decoded, in batches; a chunk is whole batches
//	network    o.Runs batches at a time, each into its rows of its chunk
//	emit       whole chunks in order, one at a time
func (o *Options) predict(ctx context.Context, chunks []prediction.Chunk, emit func(prediction.Chunk, []prediction.Row) error) error {
	if len(chunks) == 0 {
		return nil
	}
	p := &pipeline{o: o, src: newSelection(o.Source, o.Spec.Classes, chunks, o.chunkRows()), open: make([]openChunk, len(chunks)), done: make(chan int, 1)}
	var err error
	p.loader, err = loader.New(ctx, p.src, loader.Options{
		Batch: o.Batch, Workers: o.Workers, Prefetch: o.Runs + 1, Alloc: o.Alloc, Alpha: alphaOf(o.Spec), Truncated: o.Truncated,
		Eval:    &pixel.Eval{Size: o.Spec.InputSize, Resize: o.Spec.Resize, Interpolation: o.Spec.Interpolation, Square: o.Spec.Square},
		OnError: keepRow,
	})
	if err != nil {
		return err
	}
	defer p.loader.Close()
	var running, emitting sync.WaitGroup
	for range o.Runs {
		running.Go(func() { p.run(ctx) })
	}
	emitting.Go(func() {
		p.emit(emit)
		for range p.done { // after an error: lets the others come to their end
		}
	})
	running.Wait()
	close(p.done)
	emitting.Wait()
	return p.failed.Before(math.MaxInt64)
}

// selection is the rows of chunks, one after the other, as the loader reads
// them. All chunks but the last have size rows. The label of a row is the place of
// its truth among the model's classes, which goes with the image from here to
// its row of the output.
type selection struct {
	Source
	chunks []prediction.Chunk
	size   int
	places map[string]int64 // of the model's classes
}

func newSelection(src Source, classes []string, chunks []prediction.Chunk, size int) *selection {
	s := &selection{src, chunks, size, map[string]int64{}}
	for i, c := range classes {
		s.places[c] = int64(i)
	}
	return s
}

func (s *selection) Len() int {
	last := s.chunks[len(s.chunks)-1]
	return (len(s.chunks)-1)*s.size + last.To - last.From
}

// Label is the truth's place among the model's classes; -1 where it is not
// known, or none of them.
func (s *selection) Label(i int) int64 {
	if place, ok := s.places[s.Synset(i)]; ok {
		return place
	}
	return -1
}

func (s *selection) row(i int) int       { return s.chunks[i/s.size].From + i%s.size }
func (s *selection) Path(i int) string   { return s.Source.Path(s.row(i)) }
func (s *selection) Synset(i int) string { return s.Source.Synset(s.row(i)) }
func (s *selection) Read(i int, buf []byte) ([]byte, error) {
	return s.Source.Read(s.row(i), buf)
}

// keepRow decides about an image that could not be read: one that is at fault
// itself keeps its row; damage to the data ends the work.
func keepRow(_ loader.Item, err error) error {
	if pixel.OfImage(err) || errors.Is(err, source.ErrUnreadable) {
		return nil
	}
	return err
}

// pipeline is one pass over the rows that are wanted.
type pipeline struct {
	o      *Options
	src    *selection
	loader *loader.Loader
	next   sync.Mutex
	open   []openChunk   // as src.chunks
	done   chan int      // chunks that are whole, in any order
	failed inorder.First // by the first row of a batch or a chunk; those begun before come to their end
}

// openChunk is a chunk whose rows are coming in.
type openChunk struct {
	rows []prediction.Row
	left atomic.Int64 // rows to come
}

// run takes batches, predicts, and fills in rows, until there are no more.
func (p *pipeline) run(ctx context.Context) {
	for {
		b, err := p.take()
		if err != nil {
			if err != io.EOF {
				p.failed.Failed(math.MaxInt64-1, err) // behind all that were taken
			}
			return
		}
		n, first := b.N, b.First
		err = p.batch(ctx, b)
		b.Release()
		if err != nil {
			p.failed.Failed(first, err)
			return
		}
		p.o.OnRow(n)
	}
}

// chunkOf is the place of the chunk that a batch lies in: chunks begin where
// batches begin.
func (p *pipeline) chunkOf(b *loader.Batch) int { return int(b.First) / p.src.size }

// take takes the next batch, and makes room for the rows of its chunk. Batches
// come in order, and none once one has failed.
func (p *pipeline) take() (*loader.Batch, error) {
	p.next.Lock()
	defer p.next.Unlock()
	b, err := p.loader.Next()
	if err != nil {
		return nil, err
	}
	if p.failed.Before(b.First) != nil {
		b.Release()
		return nil, io.EOF
	}
	at := p.chunkOf(b)
	if c := &p.open[at]; c.rows == nil {
		c.rows = make([]prediction.Row, p.src.chunks[at].To-p.src.chunks[at].From)
		c.left.Store(int64(len(c.rows)))
	}
	return b, nil
}

// batch predicts a batch and fills in its rows.
func (p *pipeline) batch(ctx context.Context, b *loader.Batch) error {
	n := b.N
	if p.o.Fixed {
		n = len(b.Labels)
	}
	out, err := p.o.Predictor.Predict(ctx, b.Images, n)
	if err != nil {
		return err
	}
	if err := p.o.checkOutputs(out, n); err != nil {
		return err
	}
	at := p.chunkOf(b)
	c := &p.open[at]
	for i := range b.N {
		image := int(b.Rows[i])
		r := &c.rows[image%p.src.size]
		r.Path, r.Synset, r.Label = p.src.Path(image), p.src.Synset(image), b.Labels[i]
		err := b.Errs[i]
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the loader's row, which is one of this run alone
		}
		if err == nil {
			err = p.o.fill(r, out, i, n)
		}
		if err != nil {
			r.Error = err.Error()
		}
	}
	if c.left.Add(-int64(b.N)) == 0 {
		p.done <- at
	}
	return nil
}

// emit gives whole chunks on in order, whatever order they come in, and tells of the images
// in them that failed.
func (p *pipeline) emit(emit func(prediction.Chunk, []prediction.Row) error) {
	whole := map[int]bool{}
	next := 0
	for at := range p.done {
		whole[at] = true
		for ; whole[next]; next++ {
			rows := p.open[next].rows
			for i := range rows {
				if r := &rows[i]; r.Error != "" {
					p.o.OnError(r.Path, r.Error)
				}
			}
			if err := emit(p.src.chunks[next], rows); err != nil {
				p.failed.Failed(int64(next*p.src.size), err)
				return
			}
			p.open[next].rows = nil
		}
	}
}

// alphaOf is what a Spec wants of transparent pixels.
func alphaOf(s model.Spec) pixel.Alpha {
	switch s.Alpha {
	case "black":
		return pixel.OverBlack
	case "white":
		return pixel.OverWhite
	}
	return pixel.DropAlpha
}
