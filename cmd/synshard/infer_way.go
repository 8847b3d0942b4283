package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/infer/prediction"
	infertorch "github.com/synshard/synshard/infer/torch"
	"github.com/synshard/synshard/infer/trial"
	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/internal/processors"
)

// way is how infer runs the network, and why.
type way struct {
	trial.Way
	Why       string  `json:"why"`                         // default, asked, tried, remembered or begun
	PerSecond float64 `json:"images_per_second,omitempty"` // of the trial
}

// fewImages are too few to think about a trial: to see that none is worth it takes time, too.
const fewImages = 1000

// openFastest opens the network in the way that is asked for, that the output was begun with, that
// is remembered, or that a trial finds: in this order. Without one of them it is the default.
func (a *app) openFastest(ctx context.Context, d *describedModel, f *inferOptions, images, jobs int) (*infer.Network, way, error) {
	if jobs > 1 && (f.batch.auto || f.net.changed("engine") && f.net.engine == "auto") {
		return nil, way{}, usagef("--job with a trial: each job would find its own way, and 'merge' refuses predictions of several; name --engine and --batch ('synshard bench infer' says which)")
	}
	engine, perRun, batch, why := d.engine, 0, f.batch.n, "default"
	if f.net.engine != "auto" {
		why = "asked"
	}
	if e, p, b, ok := f.begun(d); ok {
		engine, perRun, batch, why = e, p, b, "begun"
	} else if jobs <= 1 && (f.batch.auto || f.net.engine == "auto") {
		a.sayEngine(d)
		return a.tryWays(ctx, d, f, images)
	}
	n, err := a.open(ctx, d, engine, perRun, batch)
	if errors.Is(err, infertorch.ErrForeign) && engine != d.engine { // begun of another model, which the output refuses
		n, err = a.open(ctx, d, d.engine, perRun, batch)
	}
	if errors.Is(err, native.ErrMissing) && why == "begun" {
		err = fmt.Errorf("%s was begun by --engine %s: %w", f.out, engine, err)
	}
	if err != nil {
		return nil, way{}, err
	}
	return n, way{Way: trial.Of(engine, n), Why: why}, nil
}

// begun is what the output was begun with, so that it goes on in the same bits; what flags say
// wins, and the output refuses it.
func (f *inferOptions) begun(d *describedModel) (engine string, perRun, batch int, ok bool) {
	if f.out == "-" {
		return "", 0, 0, false
	}
	backend, options, ok := prediction.Begun(f.out, !f.overwrite)
	batch, err := strconv.Atoi(options["batch"])
	if !ok || err != nil || batch < 1 || batch > 1<<16 {
		return "", 0, 0, false
	}
	byTorch := strings.HasPrefix(backend, "torch")
	switch engine = d.engine; {
	case f.net.engine != "auto" || byTorch != (d.engine == "torch") && !d.anyEngine(): // the output refuses another
	case byTorch:
		engine = "torch"
	case strings.HasPrefix(backend, "openvino"):
		engine = "openvino"
	default:
		engine = "onnx"
	}
	if f.batch.n > 0 {
		batch = f.batch.n
	}
	return engine, ort.PerRun(backend), batch, true
}

// tryWays opens the network in the way that is remembered, or that a trial finds where one is
// worth it.
func (a *app) tryWays(ctx context.Context, d *describedModel, f *inferOptions, images int) (*infer.Network, way, error) {
	t, err := a.newTrial(d, f.batch)
	if err != nil {
		return nil, way{}, err
	}
	if f.batch.auto {
		images = 0
	}
	r, ok := t.recall()
	if ok {
		n, err := a.open(ctx, d, r.Chosen.Engine, r.Chosen.Threads, r.Chosen.Batch)
		if err == nil {
			a.sayTrial(r, "remembered from an earlier trial", f.batch.auto)
			return n, way{r.Chosen.Way, "remembered", r.Chosen.PerSecond}, nil
		}
		a.Logf("what is remembered of a trial cannot be had: %v", err)
	}
	if images > 0 && (images < fewImages || t.onGPU) {
		n, err := a.open(ctx, d, d.engine, 0, f.batch.n)
		if err != nil {
			return nil, way{}, err
		}
		return n, way{Way: trial.Of(d.engine, n), Why: "default"}, nil
	}
	n, r, err := t.run(ctx, images, 0)
	if err != nil {
		return nil, way{}, err
	}
	if len(r.Tried) == 0 {
		return n, way{Way: r.Chosen.Way, Why: "default"}, nil
	}
	a.sayTrial(r, "found in a trial", f.batch.auto)
	return n, way{r.Chosen.Way, "tried", r.Chosen.PerSecond}, nil
}

// sayTrial tells of a trial: what was chosen or, where that was asked for, all that was tried.
func (a *app) sayTrial(r trial.Result, how string, all bool) {
	if all {
		for _, t := range r.Tried {
			a.Logf("tried %s", t)
		}
	}
	a.Logf("%s; %s", r.Chosen, how)
	if other, ok := r.Other(); ok {
		a.Logf("faster, with other results, is --engine %s: %s", other.Engine, other)
	}
}

// networkTrial is the trial of a model in this place.
type networkTrial struct {
	a        *app
	d        *describedModel
	onGPU    bool
	options  trial.Options
	key      trial.Key
	memory   trial.Memory
	homeless error // why there is no memory; nil: there is
}

// newTrial says what there is to try of a model, and what that would hold for. A batch that is
// asked for is no part of it.
func (a *app) newTrial(d *describedModel, batch batchSize) (*networkTrial, error) {
	t := &networkTrial{a: a, d: d, key: trial.Key{
		Model: d.sum(), Size: d.spec.InputSize, Batch: batch.n, CPUs: d.f.threads, Device: "cpu", Processor: processors.Kind(),
		Libraries: map[string]string{},
	}}
	if t.key.CPUs == 0 {
		t.key.CPUs = processors.Count()
	}
	if d.want.logits {
		t.key.Outputs = "logits" // which not every engine can give of every model
	}
	if batch.n == 0 {
		t.options.Batches = trial.Batches
	}
	cache, err := os.UserCacheDir()
	t.memory, t.homeless = trial.Memory(filepath.Join(cache, "synshard", "trials")), err
	return t, t.addEngines(batch.n)
}

// addEngines has the engine tried that runs the model unless another is faster, and where that is on the CPU and no engine
// was asked for the others, as far as they are set up.
func (t *networkTrial) addEngines(batch int) error {
	first, other, library := t.addONNX, t.addTorch, t.d.f.torchLib
	if t.d.engine == "torch" {
		first, other, library = t.addTorch, t.addONNX, t.d.f.ortLib+t.d.f.openVINOLib
	}
	if err := first(batch, false); err != nil || t.onGPU || t.d.f.engine != "auto" || !t.d.anyEngine() {
		return err
	}
	if err := other(batch, true); err != nil && library != "" { // else it is not there
		return err
	}
	return nil
}

// add has an engine tried.
func (t *networkTrial) add(engine, library string, perRun, batch int) error {
	name, err := libraryName(library)
	if err != nil {
		return err
	}
	t.key.Libraries[engine] = name
	t.options.Candidates = append(t.options.Candidates, trial.Candidate{Engine: engine, Open: func(ctx context.Context) (*infer.Network, error) {
		return t.a.open(ctx, t.d, engine, perRun, batch)
	}})
	return nil
}

// addTorch has the training engine tried; besides another on the CPU alone, and not opened before its turn.
func (t *networkTrial) addTorch(batch int, besides bool) error {
	f := t.d.f
	if besides {
		path, err := t.a.findTorch(f.torchLib)
		if err != nil || f.device != "cpu" && search().GPUs() > 0 {
			return err
		}
		return t.add("torch", path, 0, batch)
	}
	shim, path, err := t.a.openShim(f.torchLib)
	if err != nil {
		return err
	}
	if t.key.Device, err = chooseDevice(shim, f.device); err != nil {
		return err
	}
	t.onGPU, t.key.Precision = t.key.Device != "cpu", f.precision
	return t.add("torch", path, 0, batch)
}

// addONNX has ONNX Runtime tried, with a thread a run and with all of them, and OpenVINO where
// it is; besides another, on the CPU alone, and each where it is set up.
func (t *networkTrial) addONNX(batch int, besides bool) error {
	f := t.d.f
	if f.engine == "openvino" {
		library, err := search().OpenVINO(f.openVINOLib)
		if err != nil {
			return err
		}
		return t.add("openvino", library, 0, batch)
	}
	library, provider, device, err := t.a.placeORT(f)
	if besides && err != nil && f.ortLib == "" { // it is not there
		return t.addOpenVINO(batch)
	}
	if err != nil || besides && provider != "cpu" {
		return err
	}
	if t.onGPU = provider != "cpu"; t.onGPU {
		t.key.Device = fmt.Sprintf("%s:%d %v", provider, device, f.epOptions)
		return t.add("onnx", library, 0, batch)
	}
	if err := t.add("onnx", library, 1, batch); err != nil {
		return err
	}
	if t.key.CPUs > 1 {
		if err := t.add("onnx", library, t.key.CPUs, batch); err != nil {
			return err
		}
	}
	return t.addOpenVINO(batch)
}

// addOpenVINO has OpenVINO tried where it is set up, unless an engine was asked for.
func (t *networkTrial) addOpenVINO(batch int) error {
	library, err := search().OpenVINO(t.d.f.openVINOLib)
	switch {
	case t.d.f.engine != "auto" || err != nil && t.d.f.openVINOLib == "": // not asked for, or not there
		return nil
	case err != nil:
		return err
	}
	return t.add("openvino", library, 0, batch)
}

// libraryName tells a library from others, and from one that is put in its place.
func libraryName(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %d bytes, %d", filepath.Base(real), info.Size(), info.ModTime().UnixNano()), nil
}

// recall gives what is remembered of the trial.
func (t *networkTrial) recall() (trial.Result, bool) {
	if t.homeless != nil {
		return trial.Result{}, false
	}
	r, ok, err := t.memory.Recall(t.key)
	if err != nil {
		t.a.Logf("what is remembered of a trial is not believed: %v", err)
	}
	return r, ok
}

// run makes the trial, for so many images (0: as many as make it worth it) and about so long (0:
// the default), and remembers what it found.
func (t *networkTrial) run(ctx context.Context, images int, budget time.Duration) (*infer.Network, trial.Result, error) {
	o := t.options
	o.Images, o.Budget = images, budget
	o.OnBegin = func() {
		t.a.Logf("trying which engine and batch are fastest here, for some %.0f s", max(budget, trial.Budget).Seconds())
	}
	n, r, err := trial.Run(ctx, o)
	if err != nil || len(r.Tried) == 0 {
		return n, r, err
	}
	if err := t.remember(r); err != nil {
		t.a.Logf("what the trial found is not remembered: %v", err)
	}
	return n, r, nil
}

func (t *networkTrial) remember(r trial.Result) error {
	if t.homeless != nil {
		return t.homeless
	}
	return t.memory.Remember(t.key, r)
}
