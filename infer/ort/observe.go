package ort

import (
	"context"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"
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
	c, err := Describe(o.Model, o.Choice)
	if err != nil {
		return nil, err
	}
	s := &Session{o: o, c: c, logitsAt: -1}
	if err := s.settle(); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Model, err)
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

// Run calls see with the values of each tensor for n images, uint8 [n, size,
// size, 3]. They are see's only until it returns.
func (o *Observer) Run(ctx context.Context, images []byte, n int, see func(tensor string, values []float32) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in, done, err := o.s.tensor(images, n)
	if err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	defer done()
	values := make([]ort.Value, len(o.names))
	defer func() {
		for _, v := range values {
			if v != nil {
				v.Destroy()
			}
		}
	}()
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
