// Package openvino runs a network through OpenVINO on the CPU, whose C library is opened at
// run time. It is not needed for anything: infer/ort runs the same models.
package openvino

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
)

// Options say which model runs, and how.
type Options struct {
	Library  string               // path of libopenvino_c.so
	Model    string               // path of the ONNX file
	Contract *classifier.Contract // what Describe said of the model
	Given    classifier.Given     // what made Spec; whether the classes are the model's own
	Spec     model.Spec           // its zero value is the one in the model's metadata
	Threads  int                  // CPUs that all runs together take; 0: all this process may use
	Batch    int                  // images a run; 0: 8
	Logits   bool                 // wanted beside the probabilities
}

// session is a model, open. It is for many goroutines.
type session struct {
	o        Options
	c        *classifier.Contract
	pixels   *classifier.Pixels
	outputs  []string
	logitsAt int    // among outputs; -1: the model's scores are the logits, or they are not wanted
	edited   []byte // the model with one output more; nil: the file as it is

	mu    sync.Mutex
	ready map[int]*shape // by images a run
}

// shape is the model made ready for one number of images a run.
type shape struct {
	model compiled
	idle  []request // of those that were made, the ones that nobody runs
	all   []request
}

// Open opens a model. Every run has one thread, as many run at a time as there are CPUs, and
// each takes a full batch: the library makes a model ready for one number of images. Errors
// are ErrUnfit over the library, and that model and Spec do not fit each other.
func Open(o Options) (*infer.Network, error) {
	own := *o.Contract // a first run may add to it
	s := &session{o: o, c: &own, logitsAt: -1, ready: map[int]*shape{}}
	n := &infer.Network{
		OwnClasses: own.Spec != nil && o.Given.Classes == nil && o.Given.Spec == nil,
		Runs:       o.Threads, Threads: 1, Batch: 8, Fixed: true, Sum: own.Identity.Sum, Backend: "openvino cpu",
	}
	if n.Runs == 0 {
		n.Runs = processors.Count()
	}
	if o.Batch > 0 {
		n.Batch = o.Batch
	}
	if own.Batch > 0 {
		n.Batch, n.Only = own.Batch, own.Batch
	}
	s.o.Threads = n.Runs
	if err := s.begin(n.Batch); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o.Model, err), s.Close())
	}
	n.Spec, n.Predictor, n.Width, n.Close = s.o.Spec, s, s.c.Width, s.Close
	return n, nil
}

// begin makes the model ready for a batch, and learns what it leaves open.
func (s *session) begin(batch int) (err error) {
	if s.o.Spec, err = s.c.Settle(s.o.Spec); err != nil {
		return err
	}
	s.pixels = s.c.Pixels(s.o.Spec)
	s.outputs = []string{s.c.Output}
	if s.c.Embed != "" {
		s.outputs = append(s.outputs, s.c.Embed)
	}
	if s.o.Logits && s.c.Scores == "probabilities" {
		if err := s.wantLogits(); err != nil {
			return err
		}
	}
	if _, err := s.of(batch); err != nil {
		return err
	}
	if err := s.c.Identity.Unchanged(); err != nil { // the library read the files by itself
		return err
	}
	if !s.c.Unsettled() {
		return nil
	}
	results, err := s.run(infer.Noise(batch, s.o.Spec.InputSize), batch)
	if err != nil {
		return err
	}
	return s.c.Learn(results[0], batch, len(s.o.Spec.Classes))
}

// wantLogits makes of the model one with what its last Softmax takes as an output.
func (s *session) wantLogits() error {
	if s.c.Logits == "" {
		return s.c.NoLogits()
	}
	m, err := onnx.ReadFile(s.o.Model)
	if err != nil {
		return err
	}
	if s.c.Identity.External() {
		return errors.New("no logits with OpenVINO: the model's weights lie in files of their own, and it reads no changed model with such; --engine onnx does")
	}
	m.AddOutput(s.c.Logits, len(s.o.Spec.Classes))
	s.logitsAt = len(s.outputs)
	s.outputs = append(s.outputs, s.c.Logits)
	s.edited, err = m.Bytes()
	return err
}

// of is the model made ready for n images a run.
func (s *session) of(n int) (*shape, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.ready[n]; r != nil {
		return r, nil
	}
	core, err := open(s.o.Library)
	if err != nil {
		return nil, err
	}
	model, err := compile(core, s.o.Model, s.edited, s.c.Shape(n, s.o.Spec.InputSize), s.o.Threads)
	if err != nil {
		return nil, err
	}
	s.ready[n] = &shape{model: model}
	return s.ready[n], nil
}

// take gives a run that nobody else has.
func (s *session) take(of *shape) (request, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(of.idle) - 1; last >= 0 {
		r := of.idle[last]
		of.idle = of.idle[:last]
		return r, nil
	}
	r, err := of.model.request()
	if err == nil {
		of.all = append(of.all, r)
	}
	return r, err
}

func (s *session) give(of *shape, r request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of.idle = append(of.idle, r)
}

// run gives the outputs for n images.
func (s *session) run(images []byte, n int) ([][]float32, error) {
	of, err := s.of(n)
	if err != nil {
		return nil, err
	}
	r, err := s.take(of)
	if err != nil {
		return nil, err
	}
	defer s.give(of, r)
	if err := s.fill(r, images[:n*s.o.Spec.InputSize*s.o.Spec.InputSize*3]); err != nil {
		return nil, err
	}
	if err := r.run(); err != nil {
		return nil, err
	}
	results := make([][]float32, len(s.outputs))
	for i, name := range s.outputs {
		values, err := r.output(name)
		if err != nil {
			return nil, err
		}
		results[i] = append(results[i], values...)
	}
	return results, nil
}

// fill makes images what the model takes, in the run's own memory.
func (s *session) fill(r request, images []byte) error {
	in, err := r.input()
	if err != nil {
		return err
	}
	want, fill := len(images), func() { s.pixels.Bytes(in, images) }
	if s.c.Type != "uint8" {
		want, fill = 4*len(images), func() { s.pixels.Floats(floats(in), images) }
	}
	if len(in) != want {
		return fmt.Errorf("input %s takes %d bytes, want %d", s.c.Input, len(in), want)
	}
	fill()
	return nil
}

// Predict implements infer.Predictor.
func (s *session) Predict(ctx context.Context, images []byte, n int) (infer.Outputs, error) {
	var out infer.Outputs
	if err := ctx.Err(); err != nil {
		return out, err
	}
	results, err := s.run(images, n)
	if err != nil {
		return out, fmt.Errorf("predict: %w", err)
	}
	return s.c.Outputs(results, s.logitsAt)
}

// Unchanged is an error where the weights may not be those that Contract.Identity is of any
// more, since the model's external data was written to.
func (s *session) Unchanged() error { return s.c.Identity.NotWritten() }

// Close frees the model, after the last run.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.ready {
		for _, r := range of.all {
			r.free()
		}
		of.model.free()
	}
	clear(s.ready)
	return nil
}
