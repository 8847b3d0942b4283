// Package traintest is what the engines of train are tested with: a network
// that is small and has every part of a large one, a batch, and the steps of a
// test that all of them have in common. What comes of them in PyTorch is in
// train/torch/testdata.
package traintest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
)

// Classes is how many classes the network tells apart.
const Classes = 8

// NarrowOptions make Inception-v3 an eighth as wide, with its auxiliary head
// and without dropout.
var NarrowOptions = model.Options{Classes: Classes, Aux: true, Width: 0.125}

// Narrow is Inception-v3 of NarrowOptions.
func Narrow(t testing.TB) *model.Network {
	t.Helper()
	return modeltest.Network(t, "inception_v3", NarrowOptions)
}

// Batch is n images of 299 pixels with labels 0, 2, 4, 6, 0 and so on.
func Batch(n int) *loader.Batch {
	b := &loader.Batch{Images: modeltest.Images(n, 299), Size: 299, N: n}
	for i := range n {
		b.Labels = append(b.Labels, int64(i*2%Classes))
		b.Rows = append(b.Rows, int64(i))
	}
	return b
}

// Config is what engines are made with, for batches of 4 in float32.
func Config(optimizer string) train.EngineConfig {
	half := [3]float64{0.5, 0.5, 0.5}
	c := train.EngineConfig{Device: nativetest.Device(), Deterministic: true, Precision: "fp32", Threads: 2, Batch: 4, ChannelsLast: true, Optimizer: optimizer,
		Momentum: 0.9, Decay: 0.9, Eps: 1, Beta1: 0.9, Beta2: 0.999, WeightDecay: 4e-5, LabelSmoothing: 0.1, BNMomentum: 0.1, Mean: half, Std: half}
	switch optimizer {
	case "sgd":
		c.Nesterov = true
	case "adamw":
		c.Eps = 1e-8
	}
	return c
}

// GroupConfig is Config for SGD in several processes, or in the one that they
// are held to.
func GroupConfig() train.EngineConfig {
	c := Config("sgd")
	c.Threads, c.ClipNorm, c.EMA = 1, 1, true
	return c
}

// RankDevice is where the process of a rank is tested: the CPU, or a card of its
// own.
func RankDevice(rank int) string {
	if d := nativetest.Device(); !strings.HasPrefix(d, "cuda") {
		return d
	}
	return fmt.Sprintf("cuda:%d", rank)
}

// NeedCards skips a test of n processes, each on a card of its own, where cards
// are tested and devices, which counts them, finds fewer.
func NeedCards(t testing.TB, n int, devices func() (int, error)) {
	t.Helper()
	if !strings.HasPrefix(nativetest.Device(), "cuda") {
		return
	}
	have, err := devices()
	if err != nil {
		t.Fatal(err)
	}
	if have < n {
		t.Skipf("needs %d CUDA devices, one for each process; there are %d", n, have)
	}
}

// Filled is an engine, just made for a network, with modeltest.Fill's weights.
// It is closed when the test ends.
func Filled[E train.Engine](t testing.TB, n *model.Network, e E, err error) E {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if err := e.SetState(modeltest.Fill(n)); err != nil {
		t.Fatal(err)
	}
	return e
}

// Step takes a step that must succeed.
func Step(t testing.TB, e train.Engine, b *loader.Batch, s train.Step) train.Metrics {
	t.Helper()
	m, err := e.Step(b, s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// State is an engine's state.
func State(t testing.TB, e train.Engine) []model.Tensor {
	t.Helper()
	state, err := e.State()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// Untimed leaves out of a comparison what of a step's figures depends on the
// machine's speed.
var Untimed = cmpopts.IgnoreFields(train.Metrics{}, "Forward", "Backward", "Group", "Update", "Exchange")
