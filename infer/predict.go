// Package infer predicts over many images in batches and writes Arrow, and
// measures predictions against the truth. The network runs behind Predictor.
package infer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
)

// row is a row of the output.
type row struct {
	path, synset           string
	label                  int64 // of the truth among the model's classes; -1: none
	top                    []int // classes, most probable first; nil where the image failed
	prob                   []float32
	all, logits, embedding []float32 // where asked for
	err                    string
}

// chunk is a run of rows that is written at once.
type chunk struct {
	number   int // among all of the run
	from, to int // rows of the source

	rows []row
	left atomic.Int64 // rows to come
}

// subset is the chunks' rows, one after the other. All chunks but the last
// have size rows.
type subset struct {
	Source
	chunks []*chunk
	size   int
}

func (s *subset) Len() int {
	last := s.chunks[len(s.chunks)-1]
	return (len(s.chunks)-1)*s.size + last.to - last.from
}

func (s *subset) row(i int) int       { return s.chunks[i/s.size].from + i%s.size }
func (s *subset) Label(int) int64     { return -1 }
func (s *subset) Path(i int) string   { return s.Source.Path(s.row(i)) }
func (s *subset) Synset(i int) string { return s.Source.Synset(s.row(i)) }
func (s *subset) Read(i int, buf []byte) ([]byte, error) {
	return s.Source.Read(s.row(i), buf)
}

// run is one pass over the rows that are wanted.
type run struct {
	o       *Options
	classes map[string]int64
	src     *subset
	loader  *loader.Loader
	next    sync.Mutex
	done    chan *chunk
}

// predict works through the chunks, whose sizes are o.chunk() but for the last,
// and gives them to emit in order. Decoding, the network and emit overlap.
func (o *Options) predict(ctx context.Context, chunks []*chunk, emit func(*chunk) error) error {
	if len(chunks) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{o: o, classes: o.classes(), src: &subset{o.Source, chunks, o.chunk()}, done: make(chan *chunk, 1)}
	var err error
	r.loader, err = loader.New(ctx, r.src, loader.Options{
		Batch: o.Batch, Workers: o.Workers, Prefetch: o.Runs + 1, White: o.Spec.Alpha == "white", Truncated: o.Truncated,
		Eval:    &pixel.Eval{Size: o.Spec.InputSize, Resize: o.Spec.Resize, Interpolation: o.Spec.Interpolation, Square: o.Spec.Square},
		OnError: unreadable,
	})
	if err != nil {
		return err
	}
	defer r.loader.Close()
	errs := make(chan error, o.Runs+1)
	var working sync.WaitGroup
	for range o.Runs {
		working.Go(func() {
			if err := r.work(ctx); err != nil {
				errs <- err
				cancel()
			}
		})
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := r.write(emit); err != nil {
			errs <- err
			cancel()
			for range r.done { // lets the others come to their end
			}
		}
	}()
	working.Wait()
	close(r.done)
	<-written
	select {
	case err := <-errs: // the first: what follows it is its consequence
		return err
	default:
		return nil
	}
}

// write emits chunks in order, whatever order they come in.
func (r *run) write(emit func(*chunk) error) error {
	early := map[int]*chunk{}
	next := 0
	for c := range r.done {
		early[c.number] = c
		for next < len(r.src.chunks) {
			number := r.src.chunks[next].number
			c := early[number]
			if c == nil {
				break
			}
			if err := emit(c); err != nil {
				return err
			}
			delete(early, number)
			c.rows = nil
			next++
		}
	}
	return nil
}

// unreadable decides about an image that could not be read: damage to the
// data ends the work, an image that cannot be decoded keeps its row.
func unreadable(_ loader.Item, err error) error {
	if pixel.OfImage(err) || errors.Is(err, ErrUnreadable) {
		return nil
	}
	return err
}

// ErrUnreadable marks an image that a source cannot bring, where that is no
// reason to stop.
var ErrUnreadable = errors.New("unreadable")

// work takes batches and predicts until there are no more.
func (r *run) work(ctx context.Context) error {
	for {
		r.next.Lock()
		b, err := r.loader.Next()
		if err == nil {
			r.begin(b)
		}
		r.next.Unlock()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		n := b.N
		err = r.batch(ctx, b)
		b.Release()
		if err != nil {
			return err
		}
		r.o.OnRow(n)
	}
}

// of is the chunk a batch lies in: chunks begin where batches begin.
func (r *run) of(b *loader.Batch) *chunk { return r.src.chunks[int(b.First)/r.src.size] }

// begin makes room for the rows of a batch's chunk. Batches come in order.
func (r *run) begin(b *loader.Batch) {
	if c := r.of(b); c.rows == nil {
		c.rows = make([]row, c.to-c.from)
		c.left.Store(int64(len(c.rows)))
	}
}

// batch predicts and fills in rows.
func (r *run) batch(ctx context.Context, b *loader.Batch) error {
	n := b.N
	if r.o.Fixed {
		n = len(b.Labels)
	}
	out, err := r.o.Predictor.Predict(ctx, b.Images, n)
	if err != nil {
		return err
	}
	if err := r.o.checkOutputs(out, n); err != nil {
		return err
	}
	c := r.of(b)
	for i := range b.N {
		at := int(b.Rows[i])
		p := &c.rows[at%r.src.size]
		p.path, p.synset, p.label = r.src.Path(at), r.src.Synset(at), -1
		if label, ok := r.classes[p.synset]; ok {
			p.label = label
		}
		if err := b.Errs[i]; err != nil {
			if inner := errors.Unwrap(err); inner != nil {
				err = inner // without the loader's row, which is one of this run alone
			}
			p.err = err.Error()
			r.o.OnError(p.path, err)
			continue
		}
		r.o.fill(p, out, i, n)
	}
	if c.left.Add(-int64(b.N)) == 0 {
		r.done <- c
	}
	return nil
}

// checkOutputs holds what the network gave to what was asked for.
func (o *Options) checkOutputs(out Outputs, n int) error {
	classes := len(o.Spec.Classes)
	if len(out.Probabilities) != n*classes {
		return fmt.Errorf("the model gives %d probabilities for %d images of %d classes", len(out.Probabilities), n, classes)
	}
	if o.Logits && len(out.Logits) != n*classes {
		return fmt.Errorf("the model gives %d logits for %d images of %d classes", len(out.Logits), n, classes)
	}
	if o.Embedding != "" && len(out.Embedding) != n*o.Width {
		return fmt.Errorf("the model gives %d numbers of embedding for %d images", len(out.Embedding), n)
	}
	return nil
}

// fill takes row i of n of the outputs.
func (o *Options) fill(p *row, out Outputs, i, n int) {
	row := func(v []float32) []float32 { return v[i*(len(v)/n) : (i+1)*(len(v)/n)] }
	probs := row(out.Probabilities)
	p.top, p.prob = topK(probs, o.TopK)
	if o.Probabilities || len(o.Derived) > 0 {
		p.all = slices.Clone(probs)
	}
	if o.Logits {
		p.logits = slices.Clone(row(out.Logits))
	}
	if o.Embedding != "" {
		p.embedding = slices.Clone(row(out.Embedding))
	}
}

// topK gives the k most probable classes; of equals, the lower label first.
func topK(p []float32, k int) ([]int, []float32) {
	top := make([]int, 0, k+1)
	for i := range p {
		if len(top) == k && p[i] <= p[top[k-1]] {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, p[i], func(j int, v float32) int {
			if p[j] >= v {
				return -1
			}
			return 1
		})
		top = slices.Insert(top, at, i)
		if len(top) > k {
			top = top[:k]
		}
	}
	probs := make([]float32, len(top))
	for i, j := range top {
		probs[i] = p[j]
	}
	return top, probs
}
