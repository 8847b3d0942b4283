package torch

import (
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// everything is all that a prediction can hold.
var everything = PredictOptions{Logits: true, Embedding: true}

func predict(t testing.TB, e *Engine, b *loader.Batch, o PredictOptions) Predictions {
	t.Helper()
	p, err := e.Predict(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// deviation is how far predictions differ: probabilities, and of logits and
// embedding the share of the greatest.
func deviation(a, b Predictions) (probability, rest float64) {
	worst := func(x, y []float32) (difference, size float64) {
		if len(x) == 0 || len(x) != len(y) {
			return math.NaN(), 1
		}
		for i := range x {
			d := math.Abs(float64(x[i]) - float64(y[i]))
			if math.IsNaN(d) {
				return d, 1
			}
			difference, size = max(difference, d), max(size, math.Abs(float64(y[i])))
		}
		return difference, size
	}
	probability, _ = worst(a.Probabilities, b.Probabilities)
	for _, c := range [][2][]float32{{a.Logits, b.Logits}, {a.Embedding, b.Embedding}} {
		difference, size := worst(c[0], c[1])
		rest = max(rest, difference/size)
	}
	return probability, rest
}

// rowsFrom is n rows of a batch of 4, from one of them on and around.
func rowsFrom(b *loader.Batch, from, n int) *loader.Batch {
	image := b.Size * b.Size * 3
	out := &loader.Batch{Size: b.Size, N: n, Labels: make([]int64, n)}
	for i := range n {
		at := (from + i) % 4
		out.Images = append(out.Images, b.Images[at*image:(at+1)*image]...)
	}
	return out
}

// TestPredict holds predictions with prepared weights to the plain path's, for
// every network, again and again, as what is recorded is replayed.
func TestPredict(t *testing.T) {
	for _, name := range model.Names() {
		for _, c := range []struct {
			precision         string
			probability, rest float64 // tolerances
		}{{"fp32", 1e-5, 2e-5}, {"bf16", 0.02, 0.05}, {"fp16", 0.0025, 0.00625}} {
			if c.precision != "fp32" && name != "inception_v3" && name != "googlenet" {
				continue // on the CPU bf16 is slow
			}
			t.Run(name+" "+c.precision, func(t *testing.T) {
				n := modeltest.Network(t, name, traintest.NarrowOptions)
				cfg := traintest.Config("sgd")
				cfg.Precision, cfg.Unfused = c.precision, true
				plain := engineOf(t, n, cfg)
				cfg.Unfused = false
				fast := engineOf(t, n, cfg)
				b := &loader.Batch{Images: modeltest.Images(4, n.Input), Labels: make([]int64, 4), Size: n.Input, N: 4}
				for i, from := range []int{0, 1, 2, 3} { // other images each time: a replay must read them
					part := rowsFrom(b, from, 2)
					p, r := deviation(predict(t, fast, part, everything), predict(t, plain, part, everything))
					if !(p <= c.probability && r <= c.rest) {
						t.Errorf("run %d: probabilities differ by %g, logits or embedding by %g of the greatest", i, p, r)
					}
				}
				// DenseNet's batch norms come before their convolutions.
				if apart := strings.Contains(fast.Note(), "batch norms apart"); apart != (name == "densenet121") {
					t.Error(fast.Note())
				}
			})
		}
	}
}

// TestPredictChanges: predictions go by the weights of now, trained or set, by
// the averages where asked, and by the rows of now.
func TestPredictChanges(t *testing.T) {
	cfg := traintest.Config("sgd")
	cfg.EMA = true
	e := engine(t, cfg)
	cfg.Unfused = true
	plain := engine(t, cfg)
	b := traintest.Batch(4)
	same := func(what string, rows int, ema bool) {
		t.Helper()
		o := everything
		o.EMA = ema
		for range 4 { // until it is recorded where it can be
			part := rowsFrom(b, 1, rows)
			if p, r := deviation(predict(t, e, part, o), predict(t, plain, part, o)); !(p <= 1e-4 && r <= 1e-4) {
				t.Errorf("%s: probabilities differ by %g, logits or embedding by %g of the greatest", what, p, r)
			}
		}
	}
	follow := func() {
		t.Helper()
		if err := plain.SetState(traintest.State(t, e)); err != nil {
			t.Fatal(err)
		}
	}
	same("as filled", 2, false)
	traintest.Step(t, e, b, train.Step{LR: 0.05, EMADecay: 0.5})
	follow()
	same("after a step", 2, false)
	same("averages", 2, true)
	same("fewer rows", 1, true)
	same("more rows, no averages", 3, false)
	if err := e.SetState(modeltest.Fill(traintest.Narrow(t))); err != nil {
		t.Fatal(err)
	}
	follow()
	same("set", 3, false)
}

// TestPredictTogether predicts from many goroutines: each gets its own rows'.
func TestPredictTogether(t *testing.T) {
	e := engine(t, traintest.Config("sgd"))
	b := traintest.Batch(4)
	var want [4]Predictions
	for i := range want {
		want[i] = predict(t, e, rowsFrom(b, i, 2), everything)
	}
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := range 4 {
				at := (g + i) % 4
				got, err := e.Predict(rowsFrom(b, at, 2), everything)
				if err != nil {
					t.Error(err)
					return
				}
				if p, r := deviation(got, want[at]); !(p <= 1e-5 && r <= 1e-5) {
					t.Errorf("rows from %d: probabilities differ by %g, the rest by %g", at, p, r)
				}
			}
		})
	}
	wg.Wait()
	t.Log(e.Note())
	if note := e.Note(); !strings.HasPrefix(note, "prepared weights") {
		t.Error(note)
	}
}

// TestRecordedPredictions wants predictions on a GPU to be recorded.
func TestRecordedPredictions(t *testing.T) {
	if n, err := shim(t).CUDADevices(); err != nil || n == 0 {
		t.Skipf("needs a CUDA device (%d, error %v)", n, err)
	}
	for _, precision := range []string{"fp32", "bf16", "fp16"} {
		t.Run(precision, func(t *testing.T) {
			cfg := traintest.Config("sgd")
			cfg.Device, cfg.Precision = "cuda", precision
			e := engineOf(t, wide(t), cfg)
			for range 5 {
				predict(t, e, traintest.Batch(4), everything)
			}
			if note := e.Note(); note != "prepared weights, recorded runs" {
				t.Error(note)
			}
		})
	}
}
