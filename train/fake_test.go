package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/runlog"
)

// fakeEngine does made-up but deterministic arithmetic that depends on
// everything a real engine's would: images, labels, step seed, rate, decay
// and every part of its state.
type fakeEngine struct {
	cfg     EngineConfig
	names   []string
	state   map[string][]float32
	shapes  map[string][]int
	largest int         // microbatch that fits; 0: any
	bad     func() bool // the next loss is NaN
	closed  bool

	badEval  func(ema bool) bool // the outputs of the next batch of a validation are NaN
	overflow func(step int) bool // of this engine, from 1
	steps    int
}

func newFake(net *model.Network, cfg EngineConfig) *fakeEngine {
	e := &fakeEngine{cfg: cfg, state: map[string][]float32{}, shapes: map[string][]int{}}
	for _, p := range net.Params() {
		names := []string{p.Name}
		if cfg.EMA {
			names = append(names, checkpoint.EMAPrefix+p.Name)
		}
		if p.Kind.Trained() && !cfg.Frozen(p.Name) {
			names = append(names, checkpoint.OptimizerPrefix+p.Name+"/mom")
		}
		n := 1
		for _, d := range p.Shape {
			n *= d
		}
		for _, name := range names {
			e.names = append(e.names, name)
			e.state[name] = make([]float32, n)
			e.shapes[name] = p.Shape
		}
	}
	return e
}

func (e *fakeEngine) Step(b *loader.Batch, s Step) (Metrics, error) {
	if e.closed {
		panic("step on a closed engine")
	}
	if e.largest > 0 && e.cfg.Batch/e.cfg.Accumulate > e.largest {
		return Metrics{}, fmt.Errorf("allocate activations: %w", ErrOutOfMemory)
	}
	if e.bad != nil && e.bad() {
		return Metrics{Loss: math.NaN(), MainLoss: math.NaN()}, nil
	}
	e.steps++
	if e.overflow != nil && e.overflow(e.steps) {
		return Metrics{Loss: 1, MainLoss: 1, GradNorm: math.Inf(1), Counted: b.N, Overflow: true}, nil
	}
	h := rand.New(rand.NewPCG(s.Seed, 1))
	x := float32(0)
	for i := range b.N {
		if e.cfg.ClassWeights != nil {
			x *= float32(e.cfg.ClassWeights[b.Labels[i]])
		}
		x = x*0.75 + float32(b.Rows[i]%17) + 3*float32(b.Labels[i]) + float32(b.Images[i*b.Size*b.Size*3])/64
		if b.Others != nil {
			x += b.Shares[i] + float32(b.Others[i])
		}
	}
	for _, name := range e.names {
		p := e.state[name]
		mom, trained := e.state[checkpoint.OptimizerPrefix+name+"/mom"]
		if strings.Contains(name, "/") || e.cfg.Frozen(name) {
			continue
		}
		rate := float32(1)
		if r, ok := e.cfg.Rates[name]; ok {
			rate = float32(r)
		}
		for i := range min(len(p), 32) { // enough to tell states apart
			if trained {
				g := 0.01*p[i] + 1e-4*x*float32(h.Float64()-0.5)
				mom[i] = 0.9*mom[i] + rate*float32(s.LR)*g
				p[i] -= mom[i]
			} else {
				p[i] = 0.9*p[i] + 0.001*x
			}
			if ema, ok := e.state[checkpoint.EMAPrefix+name]; ok {
				ema[i] += float32(1-s.EMADecay) * (p[i] - ema[i])
			}
		}
	}
	main := float64(e.state[e.names[0]][0]) + 1/(1+float64(x))
	return Metrics{Loss: main * 1.4, MainLoss: main, AuxLoss: main, CrossEntropy: main / 2, GradNorm: float64(x), Correct: b.N / 2, Counted: b.N}, nil
}

// Evaluate calls an image right when its row is even (its raw weights) or not
// a multiple of four (averaged).
func (e *fakeEngine) Evaluate(b *loader.Batch, ema bool) (EvalMetrics, error) {
	var m EvalMetrics
	for i, row := range b.Rows[:b.N] {
		if b.Labels[i] < 0 {
			continue
		}
		m.N++
		m.Top5++
		m.Loss += 0.5
		if !ema && row%2 == 0 || ema && row%4 != 0 {
			m.Top1++
		}
	}
	if e.badEval != nil && e.badEval(ema) {
		m.Top1, m.Top5, m.Loss = m.N, m.N, math.NaN() // as an engine that counts ranks may have it
	}
	return m, nil
}

func (e *fakeEngine) State() ([]model.Tensor, error) {
	var out []model.Tensor
	for _, n := range e.names {
		var b bytes.Buffer
		binary.Write(&b, binary.LittleEndian, e.state[n])
		out = append(out, model.Tensor{Name: n, DType: "F32", Shape: e.shapes[n], Data: b.Bytes()})
	}
	return out, nil
}

func (e *fakeEngine) SetState(ts []model.Tensor) error {
	for _, t := range ts {
		have, ok := e.state[t.Name]
		if !ok || len(t.Data) != 4*len(have) {
			return fmt.Errorf("state %s: unknown or of another shape", t.Name)
		}
		if err := binary.Read(bytes.NewReader(t.Data), binary.LittleEndian, have); err != nil {
			return err
		}
	}
	return nil
}

func (e *fakeEngine) Close() error { e.closed = true; return nil }

// fakeData has labels and images that say which row they are.
type fakeData struct {
	train, val  labelList
	seed        uint64
	broken      map[int]bool
	onVal       func() // before each validation batch
	openedTrain int
}

type labelList []int64

func (l labelList) Len() int          { return len(l) }
func (l labelList) Label(i int) int64 { return l[i] }

func newData(n, val, classes int) *fakeData {
	d := &fakeData{seed: 5}
	for i := range n {
		d.train = append(d.train, int64(i%classes))
	}
	for i := range val {
		d.val = append(d.val, int64(i%classes))
	}
	return d
}

func (d *fakeData) TrainSet() Labels { return d.train }
func (d *fakeData) ValSet() Labels   { return d.val }

func (d *fakeData) Train(_ context.Context, epoch int, start int64, batch int) (Batches, error) {
	d.openedTrain++
	order := rand.New(rand.NewPCG(d.seed, uint64(epoch))).Perm(len(d.train))
	return &fakeBatches{labels: d.train, order: order[start:], batch: batch, whole: true}, nil
}

func (d *fakeData) Val(_ context.Context, batch int) (Batches, error) {
	var order []int
	for i := range d.val {
		order = append(order, i)
	}
	return &fakeBatches{labels: d.val, order: order, batch: batch, before: d.onVal, broken: d.broken}, nil
}

type fakeBatches struct {
	labels labelList
	order  []int
	batch  int
	whole  bool
	before func()
	broken map[int]bool // rows that cannot be read
}

func (f *fakeBatches) Next() (*loader.Batch, error) {
	if f.before != nil {
		f.before()
	}
	n := min(f.batch, len(f.order))
	if n == 0 || f.whole && n < f.batch {
		return nil, io.EOF
	}
	const size = 1
	b := &loader.Batch{N: n, Size: size, Images: make([]byte, f.batch*size*size*3)}
	for i, row := range f.order[:n] {
		b.Rows = append(b.Rows, int64(row))
		b.Labels = append(b.Labels, f.labels[row])
		b.Images[i*3] = byte(row * 7)
		b.Errs = append(b.Errs, nil)
		if f.broken[row] {
			b.Errs[i] = errors.New("broken image")
		}
	}
	f.order = f.order[n:]
	return b, nil
}

func (f *fakeBatches) Stats() loader.Stats { return loader.Stats{} }
func (f *fakeBatches) Close() error        { return nil }

const testClasses = 3

// untimed compares what a run leaves but for when and how fast.
var untimed = cmp.Options{
	cmpopts.IgnoreFields(Result{}, "Seconds"), cmpopts.IgnoreFields(checkpoint.Position{}, "Seconds"),
	cmpopts.IgnoreFields(runlog.Evaluation{}, "Time", "Seconds"),
}

// testOptions is a run of 3 epochs of 5 steps on a thin network.
func testOptions(t *testing.T, dir string) Options {
	t.Helper()
	rec, err := recipe.Resolve("szegedy2015", recipe.Layer{From: "test", YAML: []byte(
		"epochs: 3\nbatch: 4\nseed: 9\nprecision: fp32\nnetwork: {width: 0.03}\nrate: {every_epochs: 1, base_batch: 4}\n")})
	if err != nil {
		t.Fatal(err)
	}
	net := modeltest.Network(t, "inception_v3", model.Options{Classes: testClasses, Aux: true, Width: 0.03})
	return Options{
		Dir: dir, Recipe: rec, Network: net, Data: newData(23, 10, testClasses), Device: "cpu", Precision: "fp32",
		Spec: model.Spec{Model: "inception_v3", InputSize: 299, Resize: 342, Interpolation: "bilinear",
			Mean: rec.Mean, Std: rec.Std, Classes: []string{"n01440764", "n01443537", "n01484850"}},
		MadeFrom:  checkpoint.Identity{"split": "train", "index": strings.Repeat("a", 64)},
		NewEngine: func(cfg EngineConfig) (Engine, error) { return newFake(net, cfg), nil },
		OnWarn:    func(text string) { t.Errorf("warned: %s", text) },
		draw:      func(string, string) error { return nil },
	}
}

func mustRun(t *testing.T, o Options) Result {
	t.Helper()
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// sameEnd is an error unless two finished runs left the same weights, the same
// last checkpoint (but for its timings) and the same course in the log.
func sameEnd(t *testing.T, a, b string) {
	t.Helper()
	for _, name := range []string{"model.safetensors", "model.onnx"} {
		if !bytes.Equal(slurp(t, filepath.Join(a, name)), slurp(t, filepath.Join(b, name))) {
			t.Errorf("%s differs", name)
		}
	}
	steps, err := checkpoint.Steps(a)
	if err != nil || len(steps) == 0 {
		t.Fatalf("checkpoints %v, %v", steps, err)
	}
	last := steps[len(steps)-1]
	x, y := readCheckpoint(t, a, last), readCheckpoint(t, b, last)
	if len(x.Tensors) == 0 || checkpoint.WeightsSum(x.Tensors) != checkpoint.WeightsSum(y.Tensors) {
		t.Error("the last checkpoints hold different states")
	}
	if diff := cmp.Diff(x.Position, y.Position, untimed, cmpopts.IgnoreFields(checkpoint.Position{}, "Microbatches")); diff != "" {
		t.Errorf("positions (-%s +%s):\n%s", a, b, diff)
	}
	if diff := cmp.Diff(course(t, a), course(t, b)); diff != "" {
		t.Errorf("the logs differ (-%s +%s):\n%s", a, b, diff)
	}
}

// course is the run as the log tells it, without times.
func course(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := runlog.Each(filepath.Join(dir, runlog.Name), func(_ []byte, r runlog.Record) error {
		switch r.Kind {
		case "step":
			out = append(out, fmt.Sprintf("step %d %v %v %v", r.Step, r.Epoch, *r.Loss, r.LR))
		case "eval":
			out = append(out, fmt.Sprintf("eval %d %v %v", r.Step, *r.Raw, *r.EMA))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readCheckpoint(t *testing.T, dir string, step int64) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Read(checkpoint.Path(dir, step))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func slurp(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
