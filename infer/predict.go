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

	"synshard/loader"
	"synshard/model"
	"synshard/pixel"
)

// Predictor runs a network. Predict takes n pictures, uint8 [n, size, size, 3],
// and gives float32 [n, classes] and [n, width]; it is called from many
// goroutines.
type Predictor interface {
	Predict(ctx context.Context, images []byte, n int) (probabilities, embedding []float32, err error)
}

// Source is the pictures and what is known of them; *shard.View is one.
type Source interface {
	loader.Source
	Path(i int) string
	Synset(i int) string // the truth; "" where it is not known
}

// Options say what to predict over, how, and whom to tell.
type Options struct {
	Predictor Predictor
	Spec      model.Spec
	Source    Source

	Batch     int // pictures a run of the network
	Runs      int // runs at a time; 0 means 1
	Workers   int // that decode; 0: one a CPU
	TopK      int // 0 means 5; at most the number of classes
	Embedding bool

	// Input says what the pictures are and Model which network it is, by
	// content, so that a rerun knows whether earlier work still holds.
	Input, Model string

	OnRow   func(n int)                  // as rows are done
	OnError func(path string, err error) // of a picture that could not be read; its row is kept
}

func (o *Options) check() error {
	if o.TopK == 0 {
		o.TopK = 5
	}
	o.TopK = min(o.TopK, len(o.Spec.Classes))
	o.Runs = max(o.Runs, 1)
	if o.Batch < 1 || o.TopK < 1 || o.Predictor == nil || o.Source == nil {
		return fmt.Errorf("infer: batch %d, top %d, predictor %v, source %v", o.Batch, o.TopK, o.Predictor != nil, o.Source != nil)
	}
	if o.OnRow == nil {
		o.OnRow = func(int) {}
	}
	if o.OnError == nil {
		o.OnError = func(string, error) {}
	}
	return o.Spec.Check()
}

// prediction is a row of the output.
type prediction struct {
	path, synset string
	label        int64 // of the truth among the model's classes; -1: none
	top          []int // classes, most probable first; nil where the picture failed
	prob         []float32
	embedding    []float32
	err          string
}

// span is a run of rows of a source.
type span struct {
	Source
	from, to int
}

func (s span) Len() int            { return s.to - s.from }
func (s span) Label(i int) int64   { return s.Source.Label(s.from + i) }
func (s span) Path(i int) string   { return s.Source.Path(s.from + i) }
func (s span) Synset(i int) string { return s.Source.Synset(s.from + i) }
func (s span) Read(i int, buf []byte) ([]byte, error) {
	return s.Source.Read(s.from+i, buf)
}

// predict works through rows [from, to) of the source and gives them in order.
func (o *Options) predict(ctx context.Context, from, to int, classes map[string]int64) ([]prediction, error) {
	src := span{o.Source, from, to}
	l, err := loader.New(ctx, src, loader.Options{
		Batch: o.Batch, Workers: o.Workers, Prefetch: o.Runs + 1, White: o.Spec.Alpha == "white",
		Eval:    &pixel.Eval{Size: o.Spec.InputSize, Resize: o.Spec.Resize, Interpolation: o.Spec.Interpolation, Square: o.Spec.Square},
		OnError: o.unreadable,
	})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	out := make([]prediction, src.Len())
	for i := range out {
		p := &out[i]
		p.path, p.synset, p.label = src.Path(i), src.Synset(i), -1
		if label, ok := classes[p.synset]; ok {
			p.label = label
		}
	}
	var next sync.Mutex
	errs := make(chan error, o.Runs)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range o.Runs {
		go func() {
			err := o.work(ctx, l, &next, out)
			if err != nil {
				cancel()
			}
			errs <- err
		}()
	}
	var all []error
	for range o.Runs {
		if err := <-errs; err != nil && !(errors.Is(err, context.Canceled) && len(all) > 0) {
			all = append(all, err)
		}
	}
	if len(all) > 0 {
		return nil, all[0]
	}
	return out, nil
}

// unreadable decides about a picture that could not be read: damage to the
// data ends the work, a picture that cannot be decoded keeps its row.
func (o *Options) unreadable(_ loader.Item, err error) error {
	for _, bad := range []error{pixel.ErrMalformed, pixel.ErrTruncated, pixel.ErrTooLarge, pixel.ErrUnknownFormat, ErrUnreadable} {
		if errors.Is(err, bad) {
			return nil
		}
	}
	return err
}

// ErrUnreadable marks a picture that a source cannot bring, where that is no
// reason to stop.
var ErrUnreadable = errors.New("unreadable")

// work takes batches and predicts until there are no more.
func (o *Options) work(ctx context.Context, l *loader.Loader, next *sync.Mutex, out []prediction) error {
	for {
		next.Lock()
		b, err := l.Next()
		next.Unlock()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		// The whole batch, padding included: some providers want a fixed shape.
		probs, emb, err := o.Predictor.Predict(ctx, b.Images, len(b.Labels))
		if err != nil {
			b.Release()
			return err
		}
		classes := len(o.Spec.Classes)
		if len(probs) != len(b.Labels)*classes {
			b.Release()
			return fmt.Errorf("the model gives %d probabilities for %d pictures of %d classes", len(probs), len(b.Labels), classes)
		}
		width := len(emb) / len(b.Labels)
		for i := range b.N {
			p := &out[b.Rows[i]]
			if b.Errs[i] != nil {
				p.err = b.Errs[i].Error()
				o.OnError(p.path, b.Errs[i])
				continue
			}
			p.top, p.prob = topK(probs[i*classes:(i+1)*classes], o.TopK)
			if o.Embedding {
				p.embedding = slices.Clone(emb[i*width : (i+1)*width])
			}
		}
		n := b.N
		b.Release()
		o.OnRow(n)
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
