// Package torch predicts with the training engine: weights as a run leaves them, or an ONNX
// model that was written of them, on the engine's evaluation path.
package torch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
	engine "github.com/synshard/synshard/train/torch"
)

// Weights are the weights of a network, with what says which network it is.
type Weights struct {
	Path    string     // the file they were read from
	Spec    model.Spec // the network, how images are made ready, and the classes
	Sum     string     // of the file
	tensors []model.Tensor
	aux     bool // the auxiliary heads' are among them
}

// ErrNoSpec is a file of weights that does not say of which network they are.
var ErrNoSpec = checkpoint.ErrNoSpec

// Read reads a safetensors file with a Spec among its metadata, which without one is ErrNoSpec. Of a checkpoint it takes
// the network's weights, averaged ones where it has them, as they are exported.
func Read(path string) (*Weights, error) {
	was, err := regular.StateOf(path)
	if err != nil {
		return nil, err
	}
	tensors, meta, err := weights.ReadSafetensorsFile(path)
	if err != nil {
		return nil, err
	}
	sum, err := regular.SHA256(path)
	if err == nil {
		err = was.Unchanged() // or the sum is of others
	}
	if err != nil {
		return nil, err
	}
	if meta[model.SpecKey] == "" {
		return nil, fmt.Errorf("%s: %w", path, ErrNoSpec)
	}
	tensors = checkpoint.Weights(tensors, true)
	spec, err := specOf(path, tensors, meta)
	if err != nil {
		return nil, err
	}
	w := &Weights{Path: path, Spec: spec, tensors: tensors, Sum: sum}
	for _, t := range tensors {
		w.aux = w.aux || strings.HasPrefix(strings.ToLower(t.Name), "aux")
	}
	return w, nil
}

func specOf(path string, tensors []model.Tensor, meta map[string]string) (model.Spec, error) {
	spec, err := model.ParseSpec(meta[model.SpecKey])
	if err != nil {
		return spec, fmt.Errorf("%s: metadata %s: %w", path, model.SpecKey, err)
	}
	return weights.WithWidth(spec, tensors), nil
}

// ErrForeign marks an ONNX model that is not what this program writes of a network: the
// engine runs networks, and would compute something else.
var ErrForeign = errors.New("not an ONNX model that this program wrote of a network")

// ReadONNX reads the weights of an ONNX model as WriteONNX writes it.
func ReadONNX(path string) (*Weights, error) {
	file, identity, err := onnx.Load(path)
	if err != nil {
		return nil, err
	}
	foreign := func(err error) (*Weights, error) { return nil, fmt.Errorf("%s: %w: %w", path, ErrForeign, err) }
	info, err := file.Info()
	if err != nil {
		return foreign(err)
	}
	if info.Metadata[model.SpecKey] == "" {
		return foreign(errors.New("it has no " + model.SpecKey + " in its metadata"))
	}
	tensors, err := file.Weights()
	if err != nil {
		return foreign(err)
	}
	w := &Weights{Path: path, Sum: identity.Sum}
	if w.Spec, err = specOf(path, tensors, info.Metadata); err != nil {
		return nil, err
	}
	net, values, err := weights.Fit(w.Spec, tensors)
	if err != nil {
		return foreign(err)
	}
	w.tensors, tensors = values, nil
	again, err := onnx.Export(net, values, w.Spec)
	if err == nil {
		err = file.Same(again)
	}
	if err != nil {
		return foreign(err)
	}
	return w, nil
}

// WriteONNX writes the network for prediction.
func (w *Weights) WriteONNX(to io.Writer) error {
	net, values, err := weights.Fit(w.Spec, w.tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Path, err)
	}
	return onnx.Write(to, net, values, w.Spec)
}

// Options say where a network runs, and what of it is wanted beside probabilities.
type Options struct {
	Device    string // cpu or cuda:N
	Precision string // fp32, tf32, bf16 or fp16
	Threads   int    // CPUs the network takes; 0: all this process may use
	Batch     int    // images a run that it is made ready for; 0: 8 on the CPU, 64 on a GPU

	Logits, Embedding bool // what is wanted
}

// Open makes an engine of shim's with the weights in it.
func Open(shim *engine.Shim, w *Weights, o Options) (*infer.Network, error) {
	net, err := w.Spec.Network(w.aux)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.Path, err)
	}
	if err := w.matches(net); err != nil { // an engine leaves alone what it is not given
		return nil, fmt.Errorf("%s: %w", w.Path, err)
	}
	shapes, err := net.Shapes()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.Path, err)
	}
	n := &infer.Network{
		Spec: w.Spec, OwnClasses: true, Sum: w.Sum, Width: shapes[net.Embedding].Elements(), Runs: 1, Batch: 8,
		// Other arithmetic is another backend: batch norm was not folded once, or not behind
		// pools, and what was predicted so is not continued.
		Backend: "torch folded whole " + o.Device + " " + o.Precision,
	}
	if strings.HasPrefix(o.Device, "cuda") {
		n.Runs, n.Batch, n.Fixed, n.Alloc = 2, 64, true, shim.Alloc // one goes up while the other is computed
	}
	if o.Batch > 0 {
		n.Batch = o.Batch
	}
	if o.Threads == 0 {
		o.Threads = processors.Count()
	}
	n.Threads = o.Threads
	e, err := shim.New(net, train.EngineConfig{
		Device: o.Device, Precision: o.Precision, Threads: o.Threads, Batch: n.Batch, ChannelsLast: true,
		Optimizer: "sgd", Mean: w.Spec.Mean, Std: w.Spec.Std,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.Path, err)
	}
	if err := e.SetState(w.tensors); err != nil {
		e.Close()
		return nil, fmt.Errorf("%s: %w", w.Path, err)
	}
	n.How = e.Note
	n.Predictor, n.Close = predictor{e, w.Spec.InputSize, engine.PredictOptions{Logits: o.Logits, Embedding: o.Embedding}}, e.Close
	return n, nil
}

// matches holds the weights to a network: all of its parameters, and no others.
func (w *Weights) matches(net *model.Network) error {
	if _, err := net.Match(w.tensors); err != nil {
		return err
	}
	full, err := w.Spec.Network(true)
	if err != nil {
		return err
	}
	return weights.Whole(full, w.tensors)
}

// predictor runs a network on the engine's evaluation path. On a GPU calls are
// under way together; on the CPU they queue.
type predictor struct {
	engine *engine.Engine
	size   int
	want   engine.PredictOptions
}

// Predict implements infer.Predictor.
func (p predictor) Predict(ctx context.Context, images []byte, n int) (infer.Outputs, error) {
	if err := ctx.Err(); err != nil {
		return infer.Outputs{}, err
	}
	out, err := p.engine.Predict(&loader.Batch{Images: images, Labels: make([]int64, n), Size: p.size, N: n}, p.want)
	return infer.Outputs(out), err
}
