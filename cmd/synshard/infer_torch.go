package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/torch"
)

// torchPredictor runs a network on the training engine's evaluation path. The
// engine has one thread of its own, on which calls queue.
type torchPredictor struct {
	engine *torch.Engine
	size   int
	want   wanted
}

// Predict implements infer.Predictor.
func (p torchPredictor) Predict(ctx context.Context, images []byte, n int) (infer.Outputs, error) {
	if err := ctx.Err(); err != nil {
		return infer.Outputs{}, err
	}
	out, err := p.engine.Predict(&loader.Batch{Images: images, Labels: make([]int64, n), Size: p.size, N: n}, torch.PredictOptions{Logits: p.want.logits, Embedding: p.want.embedding})
	return infer.Outputs(out), err
}

// readTorch reads weights for --engine torch, and whether they have the auxiliary
// head's.
func (f *networkOptions) readTorch(path string) (tensors []model.Tensor, spec model.Spec, aux bool, err error) {
	if err := f.onlyTorch(path); err != nil {
		return nil, spec, false, err
	}
	tensors, meta, err := weights.ReadSafetensorsFile(path)
	if err != nil {
		return nil, spec, false, err
	}
	if spec, err = model.ParseSpec(meta[model.SpecKey]); err != nil {
		return nil, spec, false, fmt.Errorf("%s: metadata %s: %w", path, model.SpecKey, err)
	}
	for _, t := range tensors {
		aux = aux || strings.HasPrefix(strings.ToLower(t.Name), "aux")
	}
	return tensors, weights.WithWidth(spec, tensors), aux, nil
}

// openTorch opens weights for --engine torch.
func (a *app) openTorch(ctx context.Context, path string, f *networkOptions, want wanted, batch int) (*network, error) {
	tensors, spec, aux, err := f.readTorch(path)
	if err != nil {
		return nil, err
	}
	net, err := spec.Network(aux)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	shapes, err := net.Shapes()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	lib, err := a.findTorch(f.torchLib)
	if err != nil {
		return nil, err
	}
	shim, err := torch.Open(lib)
	if errors.Is(err, torch.ErrUnfit) {
		return nil, fmt.Errorf("%w; %s", err, mendTorch)
	}
	if err != nil {
		return nil, err
	}
	n := &network{spec: spec, runs: 1, batch: 8, width: shapes[net.Embedding].Elements()}
	device, err := chooseDevice(shim, f.device)
	if err != nil {
		return nil, err
	}
	onCUDA := strings.HasPrefix(device, "cuda")
	if onCUDA {
		n.runs, n.batch, n.fixed = 2, 64, true
	}
	if batch > 0 {
		n.batch = batch
	}
	threads := f.threads
	if threads == 0 {
		threads = processors.Count()
	}
	precision := choosePrecision(ctx, f.precision, onCUDA)
	n.ownClasses = true
	n.backend = "torch " + device + " " + precision
	if n.sum, err = regular.SHA256(path); err != nil {
		return nil, err
	}
	e, err := shim.New(net, train.EngineConfig{Device: device, Precision: precision, Threads: threads, Batch: n.batch, ChannelsLast: true, Optimizer: "sgd", Mean: spec.Mean, Std: spec.Std})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := e.SetState(tensors); err != nil {
		e.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	n.predictor, n.close = torchPredictor{e, spec.InputSize, want}, e.Close
	return n, nil
}

// onlyTorch refuses what the engine does not have, rather than leave it out.
func (f *networkOptions) onlyTorch(path string) error {
	if !strings.HasSuffix(path, ".safetensors") {
		return usagef("--engine torch takes weights, such as a run's model.safetensors, not %s", path)
	}
	for _, flag := range []string{"ep-option", "spec", "classes", "input-size", "resize", "interpolation", "mean", "std", "tensor-layout", "layout", "input", "output", "embedding-output", "scores"} {
		if f.changed(flag) {
			return usagef("--%s is for ONNX Runtime; with --engine torch the weights' own metadata decide", flag)
		}
	}
	if f.provider != "" {
		return usagef("--provider is ONNX Runtime's; with --engine torch say --device")
	}
	return nil
}
