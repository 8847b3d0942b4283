package ort

import (
	"context"
	"fmt"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/loader"
)

// Observer runs a model on the CPU and shows tensors from within it. It is for many
// goroutines.
type Observer struct {
	s     *Session
	names []string
}

// Observe opens a form of the model o.Model, onnx, that has the tensors names,
// of floats, among its outputs. Spec and images are as for Open.
func Observe(o Options, onnx []byte, names []string) (*Observer, error) {
	o.Provider = "cpu"
	c, err := classifier.Describe(o.Model, o.Choice)
	if err != nil {
		return nil, err
	}
	s := &Session{o: o, c: c, logitsAt: -1}
	if err := s.settle(); err != nil {
		return nil, err
	}
	if err := open(o.Library); err != nil {
		return nil, err
	}
	so, err := s.o.sessionOptions(c)
	if err != nil {
		return nil, err
	}
	defer so.Destroy()
	s.session, err = ort.NewDynamicAdvancedSessionWithONNXData(onnx, []string{c.Input}, names, so)
	if err != nil {
		return nil, explain(o.Model, c.Opset, err)
	}
	return &Observer{s, names}, nil
}

// See is told the values of a tensor; they are its only until it returns.
type See func(tensor string, values []float32) error

// Each runs the model over images of src, batch by batch, and gives how many they were. A
// batch in which an image cannot be decoded is left out, and so is a last one that is
// too small for a model of one batch. done, which may be nil, is told of images seen or
// left out.
func (o *Observer) Each(ctx context.Context, src loader.Source, sample infer.SampleOptions, see See, done func(n int)) (seen int, err error) {
	only := o.s.c.Batch
	err = infer.EachBatch(ctx, src, sample, func(b *loader.Batch) error {
		if done != nil {
			done(b.N)
		}
		if slices.ContainsFunc(b.Errs[:b.N], func(err error) bool { return err != nil }) || only > b.N {
			return nil
		}
		seen += b.N
		return o.Run(ctx, b.Images, max(only, b.N), see)
	})
	return seen, err
}

// Run calls see with the values of each tensor for n images, uint8 [n, size, size, 3].
func (o *Observer) Run(ctx context.Context, images []byte, n int, see See) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in, done, err := o.s.tensor(images, n)
	if err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	defer done()
	values := make([]ort.Value, len(o.names))
	defer destroy(values)
	if err := o.s.session.Run([]ort.Value{in}, values); err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	for i, v := range values {
		t, ok := v.(*ort.Tensor[float32])
		if !ok {
			return fmt.Errorf("observe: tensor %q is not of floats", o.names[i])
		}
		if err := see(o.names[i], t.GetData()); err != nil {
			return err
		}
	}
	return nil
}

// Close frees the model.
func (o *Observer) Close() error { return o.s.Close() }
