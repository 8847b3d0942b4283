package cluster

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// procs is an engine of two processes with the test binary as the second.
func procs(t *testing.T, cfg train.EngineConfig) *Procs {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes that train; not with -short")
	}
	s, n := shim(t), traintest.Narrow(t)
	traintest.NeedCards(t, 2, s.CUDADevices)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewProcs(s, n, cfg, 2, func() *exec.Cmd {
		c := exec.Command(self)
		c.Env, c.Stderr = append(os.Environ(), "SYNSHARD_TEST_SERVE="+s.Path()), os.Stderr
		return c
	})
	return traintest.Filled(t, n, p, err)
}

// TestProcs holds two processes to one with the same global batch: weights with
// batch norm frozen within 1e-5, evaluation to the image, and both processes'
// weights to the bit.
func TestProcs(t *testing.T) {
	cfg := traintest.GroupConfig()
	p, one := procs(t, cfg), engine(t, cfg)
	b := traintest.Batch(4)
	b.Labels[3] = -1
	b.Others, b.Shares = []int64{2, 4, 6, -1}, []float32{0.75, 0.5, 1, 1}
	for i := range groupSteps {
		s := train.Step{Seed: uint64(i), LR: 0.01, EMADecay: 0.9, FreezeBN: true}
		got, want := traintest.Step(t, p, b, s), traintest.Step(t, one, b, s)
		if diff := cmp.Diff(want, got, traintest.Untimed, cmpopts.EquateApprox(1e-3, 1e-4)); diff != "" {
			t.Errorf("step %d (-one process +two):\n%s", i, diff)
		}
		if got.Counted != 3 {
			t.Errorf("step %d counts %d labels of 3", i, got.Counted)
		}
	}
	a, want := sameOnBothRanks(t, p), traintest.State(t, one)
	for i := range a {
		if d := modeltest.Difference(t, want[i], a[i]); !(d <= 1e-5) {
			t.Errorf("%s: two processes and one differ by %g", a[i].Name, d)
		}
	}
	for _, rows := range []int{1, 3, 4} { // with fewer images than processes too
		part := &loader.Batch{Images: b.Images, Labels: []int64{0, 2, 4, 6}[:rows], N: rows, Size: b.Size}
		got, err := p.Evaluate(part, true)
		if err != nil {
			t.Fatal(err)
		}
		want, err := one.Evaluate(part, true)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-3)); diff != "" {
			t.Errorf("evaluation of %d (-one process +two):\n%s", rows, diff)
		}
		if got.N != rows {
			t.Errorf("evaluation counts %d images of %d", got.N, rows)
		}
	}
}

// sameOnBothRanks gives rank 0's state, and wants rank 1's to be it to the bit.
func sameOnBothRanks(t *testing.T, p *Procs) []model.Tensor {
	t.Helper()
	own := traintest.State(t, p)
	other, err := p.rankState(1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(modeltest.Sums(own), modeltest.Sums(other)); diff != "" {
		t.Errorf("state (-rank 0 +rank 1):\n%s", diff)
	}
	return own
}

// TestGroupGradients holds gradients summed in buckets over two processes to
// one process's: after a first step of plain SGD its momentum is the gradient.
func TestGroupGradients(t *testing.T) {
	cfg := traintest.GroupConfig()
	cfg.ClipNorm, cfg.WeightDecay = 0, 0
	first := func(e train.Engine) map[string][]float32 {
		traintest.Step(t, e, traintest.Batch(4), train.Step{LR: 1e-3, EMADecay: 0.9, FreezeBN: true})
		out := map[string][]float32{}
		for _, x := range traintest.State(t, e) {
			if name, ok := strings.CutPrefix(x.Name, "opt/mom/"); ok {
				out[name] = modeltest.Floats(t, x)
			}
		}
		return out
	}
	got, want := first(procs(t, cfg)), first(engine(t, cfg))
	if len(want) < 190 || len(got) != len(want) {
		t.Fatalf("%d gradients beside %d", len(got), len(want))
	}
	for name, x := range want {
		y := got[name]
		if len(y) != len(x) {
			t.Fatalf("%s: %d elements beside %d", name, len(y), len(x))
		}
		var off, size float64
		for i := range x {
			d := float64(y[i]) - float64(x[i])
			off, size = off+d*d, size+float64(x[i])*float64(x[i])
		}
		if d := math.Sqrt(off) / max(math.Sqrt(size), 1e-6); !(d <= 1e-4) {
			t.Errorf("the gradient of %s differs by %g of its norm", name, d)
		}
	}
}

// TestProcsKilled kills a rank and expects the others to end in seconds.
func TestProcsKilled(t *testing.T) {
	p := procs(t, traintest.GroupConfig())
	b := traintest.Batch(4)
	if _, err := p.Step(b, train.Step{LR: 0.01}); err != nil {
		t.Fatal(err)
	}
	if err := p.others[0].process.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := p.Step(b, train.Step{LR: 0.01}); !errors.Is(err, train.ErrPeerLost) {
		t.Errorf("a step with a rank gone: %v", err)
	}
	if _, err := p.Evaluate(b, false); !errors.Is(err, train.ErrPeerLost) {
		t.Errorf("an evaluation with a rank gone: %v", err)
	}
	if took := time.Since(began); took > 2*patience {
		t.Errorf("it took %v", took)
	}
}

// dyingBackend makes engines whose process is killed in its second step: before it,
// behind it, or so long after it began.
type dyingBackend struct {
	Backend
	when string // before, after or a duration; empty: never
}

func (b dyingBackend) NewEngine(n *model.Network, cfg train.EngineConfig) (train.Engine, error) {
	e, err := b.Backend.NewEngine(n, cfg)
	return &dyingEngine{Engine: e, when: b.when}, err
}

type dyingEngine struct {
	train.Engine
	when  string
	steps int
}

func (e *dyingEngine) Step(b *loader.Batch, s train.Step) (train.Metrics, error) {
	die := func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	if e.steps++; e.steps != 2 || e.when == "" {
		return e.Engine.Step(b, s)
	}
	switch e.when {
	case "before":
		die()
	case "after":
		defer die()
	default:
		d, err := time.ParseDuration(e.when)
		if err != nil {
			return train.Metrics{}, err
		}
		time.AfterFunc(d, die)
	}
	return e.Engine.Step(b, s)
}

// TestStepIsWholeOrNotDone kills a rank before, in and behind its second step. What
// rank 0 then has is what it says: the state before the step, with an error, or the
// one after it, with the figures of all. Behind the exchange nobody is waited for.
func TestStepIsWholeOrNotDone(t *testing.T) {
	var after [3]map[string]string // by steps taken
	step := func(p *Procs, i int) (train.Metrics, error) {
		return p.Step(traintest.Batch(4), train.Step{Seed: uint64(i), LR: 0.01, EMADecay: 0.9})
	}
	undisturbed := procs(t, traintest.GroupConfig())
	var want train.Metrics
	var took time.Duration
	for i := range 2 {
		began := time.Now()
		m, err := step(undisturbed, i)
		if err != nil {
			t.Fatal(err)
		}
		want, took = m, time.Since(began)
		after[i+1] = modeltest.Sums(traintest.State(t, undisturbed))
	}
	for _, when := range []string{"before", (took * 7 / 10).String(), (took * 95 / 100).String(), "after"} {
		t.Run(when, func(t *testing.T) {
			t.Setenv("SYNSHARD_TEST_DIES", when)
			p := procs(t, traintest.GroupConfig())
			if _, err := step(p, 0); err != nil {
				t.Fatal(err)
			}
			made := 2
			m, err := step(p, 1)
			switch {
			case errors.Is(err, train.ErrPeerLost):
				made = 1
			case err != nil:
				t.Fatal(err)
			default:
				if diff := cmp.Diff(want, m, traintest.Untimed); diff != "" {
					t.Errorf("figures (-undisturbed +killed behind the exchange):\n%s", diff)
				}
			}
			t.Logf("%d steps were made", made)
			if when == "before" && made != 1 || when == "after" && made != 2 {
				t.Errorf("%d steps were made", made)
			}
			if diff := cmp.Diff(after[made], modeltest.Sums(traintest.State(t, p))); diff != "" {
				t.Errorf("state after %d steps (-undisturbed +killed):\n%s", made, diff)
			}
			if _, err := step(p, 2); !errors.Is(err, train.ErrPeerLost) {
				t.Errorf("a step with a rank gone: %v", err)
			}
		})
	}
}

// TestProcsRefuse expects what cannot be split to be refused at once, and a
// rank that does not start to be an error in seconds.
func TestProcsRefuse(t *testing.T) {
	s, n := shim(t), traintest.Narrow(t)
	cfg := traintest.GroupConfig()
	cfg.Batch = 3
	if _, err := NewProcs(s, n, cfg, 2, nil); err == nil {
		t.Error("a batch of 3 for 2 processes was taken")
	}
	if testing.Short() {
		t.Skip("waits for a process that does not come; not with -short")
	}
	cfg.Batch, cfg.Group.Timeout = 4, time.Minute
	began := time.Now()
	if _, err := NewProcs(s, n, cfg, 2, func() *exec.Cmd { return exec.Command("false") }); !errors.Is(err, train.ErrPeerLost) {
		t.Errorf("a process that ends at once: %v", err)
	}
	if took := time.Since(began); took > 2*patience {
		t.Errorf("it took %v", took)
	}
}
