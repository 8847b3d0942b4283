package modeltest

import (
	"crypto/sha256"
	"fmt"
	"math"
	"testing"

	"github.com/synshard/synshard/model"
)

// Network is a network that is there.
func Network(t testing.TB, name string, o model.Options) *model.Network {
	t.Helper()
	n, err := model.New(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Sums is what tensors are to the bit, by name: type, shape and the SHA-256 of
// the data. Two sets of weights are the same where it is.
func Sums(tensors []model.Tensor) map[string]string {
	out := map[string]string{}
	for _, x := range tensors {
		out[x.Name] = fmt.Sprintf("%s %v %x", x.DType, x.Shape, sha256.Sum256(x.Data))
	}
	return out
}

// Difference is the greatest between two tensors, NaN where one has a NaN.
func Difference(t testing.TB, a, b model.Tensor) float64 {
	t.Helper()
	x, y := Floats(t, a), Floats(t, b)
	if len(x) != len(y) || len(x) == 0 {
		t.Fatalf("%s: %d values beside %d", a.Name, len(x), len(y))
	}
	worst := 0.0
	for i := range x {
		worst = max(worst, math.Abs(float64(x[i])-float64(y[i])))
	}
	return worst
}

// Floats are a tensor's values.
func Floats(t testing.TB, x model.Tensor) []float32 {
	t.Helper()
	out, err := x.Floats()
	if err != nil {
		t.Fatalf("%s: %v", x.Name, err)
	}
	return out
}
