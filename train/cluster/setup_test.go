package cluster

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/torch"
)

// TestMain lets the test binary be one process of a group.
func TestMain(m *testing.M) {
	if lib := os.Getenv("SYNSHARD_TEST_SERVE"); lib != "" {
		s, err := torch.Open(lib)
		if err == nil {
			_, err = Serve(s, os.Stdin, os.Stdout, Serving{})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if port := os.Getenv("SYNSHARD_TEST_FOLLOW"); port != "" {
		if err := followProcess(port); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// followProcess is rank 1 of a launched group; it ends with an error unless
// rank 0 ends with 7.
func followProcess(port string) error {
	l := Launch{Rank: 1, World: 2, MasterAddr: "127.0.0.1"}
	var err error
	if l.MasterPort, err = strconv.Atoi(port); err != nil {
		return err
	}
	s, err := torch.Open(os.Getenv("SYNSHARD_TEST_LIB"))
	if err != nil {
		return err
	}
	code, err := Follow(context.Background(), s, l, Serving{Stop: func() bool { return true }})
	if err == nil && code != 7 {
		err = fmt.Errorf("rank 0 ended with %d", code)
	}
	return err
}

// shim opens the real library, or skips the test, saying what it needs.
func shim(t testing.TB) *torch.Shim {
	t.Helper()
	path := os.Getenv("SYNSHARD_TORCH_LIB")
	if path == "" {
		path = filepath.Join("..", "..", "lib", "libsynshard_torch.so")
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("SYNSHARD_TEST_NATIVE") != "" {
			t.Fatalf("the training engine's library: %v", err)
		}
		t.Skipf("needs the training engine's library (scripts/setup.sh): %v", err)
	}
	s, err := torch.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const groupSteps = 3

// groupConfig is a batch of 4 over all processes.
func groupConfig() train.EngineConfig {
	half := [3]float64{0.5, 0.5, 0.5}
	device := os.Getenv("SYNSHARD_TEST_DEVICE")
	if device == "" {
		device = "cpu"
	}
	return train.EngineConfig{
		Device: device, Precision: "fp32", Threads: 1, Batch: 4, ChannelsLast: true, Optimizer: "sgd", Momentum: 0.9, Nesterov: true,
		WeightDecay: 4e-5, LabelSmoothing: 0.1, ClipNorm: 1, EMA: true, BNMomentum: 0.1, Mean: half, Std: half,
	}
}

func narrow(t testing.TB) *model.Network {
	t.Helper()
	n, err := model.New("inception_v3", model.Options{Classes: 8, Aux: true, Width: 0.125})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func engine(t testing.TB, cfg train.EngineConfig) *torch.Engine {
	t.Helper()
	n := narrow(t)
	e, err := shim(t).New(n, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if err := e.SetState(modeltest.Fill(n)); err != nil {
		t.Fatal(err)
	}
	return e
}

func batch(n int) *loader.Batch {
	b := &loader.Batch{Images: modeltest.Images(n, 299), Size: 299, N: n}
	for i := range n {
		b.Labels = append(b.Labels, int64(i*2%8))
		b.Rows = append(b.Rows, int64(i))
	}
	return b
}

// difference is the greatest between two tensors.
func difference(t *testing.T, a, b model.Tensor) float64 {
	t.Helper()
	x, err := a.Floats()
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Floats()
	if err != nil {
		t.Fatal(err)
	}
	if len(x) != len(y) || len(x) == 0 {
		t.Fatalf("%s: %d values beside %d", a.Name, len(x), len(y))
	}
	worst := 0.0
	for i := range x {
		d := math.Abs(float64(x[i]) - float64(y[i]))
		if !(d <= worst) {
			worst = d
		}
	}
	return worst
}
