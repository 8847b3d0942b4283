package infer

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/model"
)

// greys is a source of grey images, one a level; a negative one is no image.
type greys struct {
	levels []int
	labels []int64
}

func (g greys) Len() int          { return len(g.levels) }
func (g greys) Label(i int) int64 { return g.labels[i] }
func (g greys) Read(i int, _ []byte) ([]byte, error) {
	if g.levels[i] < 0 {
		return []byte("no image"), nil
	}
	m := image.NewGray(image.Rect(0, 0, 4, 4))
	for at := range m.Pix {
		m.Set(at%4, at/4, color.Gray{uint8(g.levels[i])})
	}
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return b.Bytes(), err
}

// bright predicts class 1 of two for images brighter than its level.
type bright struct {
	level byte
	sizes *[]int
}

func (p bright) Predict(_ context.Context, images []byte, n int) (Outputs, error) {
	*p.sizes = append(*p.sizes, n)
	out := Outputs{Probabilities: make([]float32, 2*n)}
	for i := range n {
		class := 0
		if images[i*4*4*3] > p.level {
			class = 1
		}
		out.Probabilities[2*i+class] = 1
	}
	return out, nil
}

func TestMeasureAgreement(t *testing.T) {
	src := greys{levels: []int{10, 60, 200, -1, 240, 90}, labels: []int64{0, 0, 1, 1, 1, 5}}
	var sizes []int
	o := AgreementOptions{
		SampleOptions: SampleOptions{Spec: model.Spec{InputSize: 4, Resize: 4, Interpolation: "bilinear", Classes: []string{"dark", "light"}}, Batch: 4, Seed: 1},
		Whole:         true,
		Truth: func(label int64) int {
			if label > 1 {
				return -1 // a class the models do not know
			}
			return int(label)
		},
	}
	// Of the four that count, b is wrong where a is not: at level 60.
	got, err := MeasureAgreement(t.Context(), src, bright{100, &sizes}, bright{50, &sizes}, o)
	if err != nil {
		t.Fatal(err)
	}
	// (2 - 1)/6, and 1.96 sqrt((3/6 - 1/36) / 6) around it
	want := Agreement{N: 4, Top1A: 1, Top1B: 0.75, Change: -0.25, Low: -1.0/6 - 0.549857, High: -1.0/6 + 0.549857, Agreement: 0.75, Unreadable: 1}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Agreement{}, "RateA", "RateB"), cmpopts.EquateApprox(0, 1e-5)); diff != "" {
		t.Error(diff)
	}
	if got.RateA <= 0 || got.RateB <= 0 {
		t.Errorf("%v and %v images a second", got.RateA, got.RateB)
	}
	if diff := cmp.Diff([]int{4, 4, 4, 4}, sizes); diff != "" { // the last batch of two is filled up
		t.Error(diff)
	}
	seen := 0
	o.Limit, o.OnImages = 3, func(n int) { seen += n }
	if _, err := MeasureAgreement(t.Context(), src, bright{100, &sizes}, bright{50, &sizes}, o); err != nil || seen != 3 {
		t.Errorf("with a limit of 3: %d images, %v", seen, err)
	}
}
