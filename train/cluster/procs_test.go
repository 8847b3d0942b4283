package cluster

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
)

// procs is an engine of two processes with the test binary as the second.
func procs(t *testing.T, cfg train.EngineConfig) *Procs {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes that train; not with -short")
	}
	s, n := shim(t), narrow(t)
	lib, err := filepath.Abs(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewProcs(s, n, cfg, 2, func() *exec.Cmd {
		c := exec.Command(self)
		c.Env, c.Stderr = append(os.Environ(), "SYNSHARD_TEST_SERVE="+lib), os.Stderr
		return c
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.SetState(modeltest.Fill(n)); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProcs holds two processes to one with the same global batch: weights with
// batch norm frozen within 1e-5, evaluation to the image, and both processes'
// weights to the bit.
func TestProcs(t *testing.T) {
	cfg := groupConfig()
	p, one := procs(t, cfg), engine(t, cfg)
	b := batch(4)
	b.Labels[3] = -1
	for i := range groupSteps {
		s := train.Step{Seed: uint64(i), LR: 0.01, EMADecay: 0.9, FreezeBN: true}
		got, err := p.Step(b, s)
		if err != nil {
			t.Fatal(err)
		}
		want, err := one.Step(b, s)
		if err != nil {
			t.Fatal(err)
		}
		untimed := cmpopts.IgnoreFields(train.Metrics{}, "Forward", "Backward", "Group", "Update", "Exchange")
		if diff := cmp.Diff(want, got, untimed, cmpopts.EquateApprox(1e-3, 1e-4)); diff != "" || got.Counted != 3 {
			t.Errorf("step %d of 3 labels (-one process +two):\n%s", i, diff)
		}
	}
	a, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	other, err := p.rankState(1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := one.State()
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if a[i].Name != other[i].Name || !bytes.Equal(a[i].Data, other[i].Data) {
			t.Errorf("%s differs between the processes", a[i].Name)
		}
		if d := difference(t, want[i], a[i]); d > 1e-5 {
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
		if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-3)); diff != "" || got.N != rows {
			t.Errorf("evaluation of %d (-one process +two):\n%s", rows, diff)
		}
	}
}

// TestGroupGradients holds gradients summed in buckets over two processes to
// one process's: after a first step of plain SGD its momentum is the gradient.
func TestGroupGradients(t *testing.T) {
	cfg := groupConfig()
	cfg.ClipNorm, cfg.WeightDecay = 0, 0
	first := func(e train.Engine) map[string]model.Tensor {
		if _, err := e.Step(batch(4), train.Step{LR: 1e-3, EMADecay: 0.9, FreezeBN: true}); err != nil {
			t.Fatal(err)
		}
		state, err := e.State()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]model.Tensor{}
		for _, x := range state {
			if name, ok := strings.CutPrefix(x.Name, "opt/mom/"); ok {
				out[name] = x
			}
		}
		return out
	}
	got, want := first(procs(t, cfg)), first(engine(t, cfg))
	if len(want) < 190 || len(got) != len(want) {
		t.Fatalf("%d gradients beside %d", len(got), len(want))
	}
	for name, w := range want {
		x, err := w.Floats()
		if err != nil {
			t.Fatal(err)
		}
		y, err := got[name].Floats()
		if err != nil || len(y) != len(x) {
			t.Fatalf("%s: %d elements beside %d, %v", name, len(y), len(x), err)
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
	p := procs(t, groupConfig())
	b := batch(4)
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

// TestProcsRefuse expects what cannot be split to be refused at once, and a
// rank that does not start to be an error in seconds.
func TestProcsRefuse(t *testing.T) {
	s, n := shim(t), narrow(t)
	cfg := groupConfig()
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
