package model

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/golden"
)

func network(t testing.TB, name string, o Options) *Network {
	t.Helper()
	n, err := New(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestStateDict holds names and shapes to torchvision's.
func TestStateDict(t *testing.T) {
	var truth struct {
		Networks map[string]map[string][]int `json:"networks"`
	}
	golden.Read(t, "testdata/state_dicts.json", &truth)
	if len(truth.Networks) == 0 {
		t.Fatal("no networks in the golden data")
	}
	for name, want := range truth.Networks {
		got := map[string][]int{}
		for _, p := range network(t, name, Options{Aux: true, Dropout: -1}).Params() {
			got[p.Name] = p.Shape
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: parameters differ from torchvision's (-want +got):\n%s", name, diff)
		}
	}
}

// TestInceptionCost holds the published figures.
func TestInceptionCost(t *testing.T) {
	n := network(t, "inception_v3", Options{Aux: true, Dropout: -1})
	want := Cost{Parameters: 27_161_264, MainParameters: 23_834_568, Multiplies: 5_713_216_096, Activations: 8_967_488}
	if got := n.Cost(); got != want {
		t.Errorf("cost %+v, want %+v", got, want)
	}
	if got := n.WithoutAux().Parameters(); got != 23_834_568 {
		t.Errorf("without the auxiliary head %d parameters", got)
	}
	shapes, err := n.Shapes()
	if err != nil {
		t.Fatal(err)
	}
	for i, node := range n.Nodes { // the grids of the paper's table 1
		want, ok := map[string]Shape{
			"Mixed_5d.concat": {288, 35, 35}, "Mixed_6a.concat": {768, 17, 17}, "Mixed_6e.concat": {768, 17, 17},
			"Mixed_7a.concat": {1280, 8, 8}, "Mixed_7c.concat": {2048, 8, 8}, "AuxLogits.conv1.relu": {768, 1, 1},
		}[node.Name]
		if ok && shapes[i] != want {
			t.Errorf("%s is %v, want %v", node.Name, shapes[i], want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{Classes: -1}, {Width: -1}, {Dropout: 1}} {
		if _, err := New("inception_v3", o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if _, err := New("inception_v4", Options{}); err == nil || !strings.Contains(err.Error(), "inception_v3") {
		t.Errorf("unknown network: %v", err)
	}
}

// TestInit looks at the spread of fresh weights.
func TestInit(t *testing.T) {
	n := network(t, "inception_v3", Options{Classes: 8, Aux: true, Width: 0.25})
	for _, rule := range []string{"paper", "he"} {
		a, err := n.InitAs(rule, 1)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := n.InitAs(rule, 1)
		c, _ := n.InitAs(rule, 2)
		if !bytes.Equal(a[0].Data, b[0].Data) || bytes.Equal(a[0].Data, c[0].Data) {
			t.Errorf("%s: weights are not a function of the seed", rule)
		}
		for _, w := range a {
			if w.Name != "Mixed_5b.branch5x5_2.conv.weight" {
				continue
			}
			values, err := w.Floats()
			if err != nil {
				t.Fatal(err)
			}
			var square, most float64
			for _, v := range values {
				square += float64(v) * float64(v)
				most = max(most, math.Abs(float64(v)))
			}
			std := math.Sqrt(square / float64(len(values)))
			want := 0.1 * 0.8796 // of a normal cut at two deviations
			if rule == "he" {
				want = math.Sqrt(2 / float64(w.Shape[0]*25))
			} else if most > 0.2 {
				t.Errorf("paper: a weight of %v, above two deviations", most)
			}
			if math.Abs(std-want) > 0.03*want {
				t.Errorf("%s: deviation %v, want %v", rule, std, want)
			}
		}
	}
	if _, err := n.InitAs("hope", 1); err == nil {
		t.Error("an unknown rule is accepted")
	}
}

func TestFloats(t *testing.T) {
	for _, c := range []struct {
		dtype string
		data  []byte
		want  float32
	}{
		{"F16", []byte{0x00, 0x3c}, 1}, {"F16", []byte{0x01, 0x00}, 5.9604645e-8}, {"F16", []byte{0xff, 0xfb}, -65504},
		{"BF16", []byte{0x80, 0xbf}, -1}, {"F32", []byte{0, 0, 0, 0x40}, 2}, {"F64", []byte{0, 0, 0, 0, 0, 0, 0xe0, 0x3f}, 0.5},
	} {
		got, err := Tensor{"x", c.dtype, []int{1}, c.data}.Floats()
		if err != nil || got[0] != c.want {
			t.Errorf("%s %x: %v, %v, want %v", c.dtype, c.data, got, err, c.want)
		}
	}
	if got, err := (Tensor{"x", "F16", []int{1}, []byte{0, 0x7c}}).Floats(); err != nil || !math.IsInf(float64(got[0]), 1) {
		t.Errorf("infinity in F16: %v, %v", got, err)
	}
	if _, err := (Tensor{"x", "I64", []int{1}, make([]byte, 8)}).Floats(); err == nil {
		t.Error("integers are taken for floats")
	}
}

func spec(classes int) Spec {
	s := Spec{Model: "inception_v3", InputSize: 299, Resize: 342, Interpolation: "bilinear", Mean: [3]float64{0.5, 0.5, 0.5}, Std: [3]float64{0.5, 0.5, 0.5}}
	for i := range classes {
		s.Classes = append(s.Classes, "n0000000"+string(rune('0'+i)))
	}
	return s
}

// TestSpecIsBounded: nesting without end, and numbers of no network.
func TestSpecIsBounded(t *testing.T) {
	for _, text := range []string{strings.Repeat("[", 1<<20), `{"classes":` + strings.Repeat("[", 1<<20), `{"x":` + strings.Repeat(`{"x":`, 1<<20), `{"input_size":1e9}`, `{"width":1e300}`} {
		if _, err := ParseSpec(text); err == nil {
			t.Errorf("%.20s... is a spec", text)
		}
	}
}

func TestSpecRoundTrip(t *testing.T) {
	want := spec(3)
	got, err := ParseSpec(want.JSON())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []func(*Spec){
		func(s *Spec) { s.Std[1] = 0 }, func(s *Spec) { s.Classes = nil }, func(s *Spec) { s.Interpolation = "nearest" },
		func(s *Spec) { s.Width = -1 }, func(s *Spec) { s.Width = 17 }, func(s *Spec) { s.Resize = 100 }, func(s *Spec) { s.Square, s.Resize = true, 0 },
		func(s *Spec) { s.Square, s.Resize = true, s.InputSize-1 }, func(s *Spec) { s.Alpha = "pink" },
	} {
		s := spec(3)
		bad(&s)
		if s.Check() == nil {
			t.Errorf("accepted: %+v", s)
		}
	}
}

func TestWithoutAuxKeepsOrder(t *testing.T) {
	n := network(t, "inception_v3", Options{Classes: 3, Aux: true, Width: 0.125}).WithoutAux()
	if _, err := n.Shapes(); err != nil {
		t.Fatal(err)
	}
	type heads struct {
		Main  string
		Aux   int
		Nodes bool // of the auxiliary head
	}
	got := heads{n.Nodes[n.Logits].Name, len(n.Aux), slices.ContainsFunc(n.Nodes, func(n Node) bool { return strings.HasPrefix(n.Name, "AuxLogits") })}
	if diff := cmp.Diff(heads{Main: "fc"}, got); diff != "" {
		t.Errorf("heads (-want +got):\n%s", diff)
	}
}

// TestEveryHalf widens each of the 65,536 half-precision numbers as IEEE 754
// defines them: (-1)^s 2^(e-15) (1 + f/1024), and 2^-14 f/1024 where e is 0.
func TestEveryHalf(t *testing.T) {
	for bits := range 1 << 16 {
		sign, exponent, fraction := 1-2*float64(bits>>15), bits>>10&31, float64(bits&1023)/1024
		want := sign * math.Ldexp(1+fraction, exponent-15)
		switch {
		case exponent == 0:
			want = math.Copysign(math.Ldexp(fraction, -14), sign)
		case exponent == 31 && fraction == 0:
			want = math.Inf(int(sign))
		case exponent == 31:
			want = math.NaN()
		}
		got, err := Tensor{Name: "x", DType: "F16", Shape: []int{1}, Data: []byte{byte(bits), byte(bits >> 8)}}.Floats()
		if err != nil {
			t.Fatal(err)
		}
		if math.IsNaN(want) != math.IsNaN(float64(got[0])) || !math.IsNaN(want) && math.Float32bits(got[0]) != math.Float32bits(float32(want)) {
			t.Fatalf("%#04x: %v, want %v", bits, got[0], want)
		}
	}
}
