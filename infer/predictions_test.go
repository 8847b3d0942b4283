package infer

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/model"
)

// TestReadPredictions reads back what infer writes, in every format, from files
// and from pipes, and refuses what is no such thing.
func TestReadPredictions(t *testing.T) {
	o := Options{Spec: model.Spec{Model: "m", InputSize: 8, Resize: 8, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"a", "b", "c"}},
		TopK: 2, Probabilities: true, Batch: 4, Source: nothing{}}
	rows := []row{
		{path: "x.jpg", label: 1, synset: "b", top: []int{2, 1}, prob: []float32{0.6, 0.3}, all: []float32{0.1, 0.3, 0.6}},
		{path: "y.jpg", label: -1, err: "broken"},
		{path: "z.jpg", label: 0, synset: "a", top: []int{0, 2}, prob: []float32{0.9, 0.06}, all: []float32{0.9, 0.04, 0.06}},
	}
	l := o.layout()
	rec, err := o.record(l, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	want := &prediction.Predictions{Classes: o.Spec.Classes, K: 2, Paths: []string{"x.jpg", "y.jpg", "z.jpg"}, Truth: []int32{1, -1, 0}, Failed: []bool{false, true, false},
		Top: []int32{2, 1, -1, -1, 0, 2}, Prob: []float32{0.6, 0.3, 0, 0, 0.9, 0.06}, All: []float32{0.1, 0.3, 0.6, 0, 0, 0, 0.9, 0.04, 0.06}}
	dir := t.TempDir()
	for _, format := range prediction.Formats {
		path := filepath.Join(dir, format)
		var b bytes.Buffer
		e, err := prediction.NewEncoder(format, &b, l.schema)
		if err == nil {
			err = errors.Join(e.Write(rec), e.Close())
		}
		if err = errors.Join(err, os.WriteFile(path, b.Bytes(), 0o666)); err != nil {
			t.Fatal(err)
		}
		if err := prediction.WriteSidecar(path, format, int64(b.Len()), l.schema); err != nil {
			t.Fatal(err)
		}
		got, err := prediction.ReadPredictions(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", format, diff)
		}
		piped, err := prediction.ReadPredictionsFrom(io.MultiReader(bytes.NewReader(b.Bytes())), o.Spec.Classes)
		if err != nil {
			t.Fatalf("%s from a pipe: %v", format, err)
		}
		if diff := gocmp.Diff(want, piped); diff != "" {
			t.Errorf("%s from a pipe (-want +got)\n%s", format, diff)
		}
		text := format == "ndjson" || format == "csv"
		if _, err := prediction.ReadPredictionsFrom(bytes.NewReader(b.Bytes()), nil); text != (err != nil) || text && !errors.Is(err, prediction.ErrFormat) {
			t.Errorf("%s without classes: %v", format, err)
		}
		if _, err := prediction.ReadPredictions(path, []string{"a", "b", "z"}); err == nil {
			t.Errorf("%s was read with other classes than it was made with", format)
		}
		for n := range b.Len() { // cut short anywhere, it is an error or fewer rows, never a crash
			if n%37 != 0 {
				continue
			}
			if err := os.WriteFile(path, b.Bytes()[:n], 0o666); err != nil {
				t.Fatal(err)
			}
			got, err := prediction.ReadPredictions(path, nil)
			if err == nil && (text || got.Len() == len(rows) && n < b.Len()/2) {
				t.Errorf("%s cut at %d of %d is whole", format, n, b.Len())
			}
			if err != nil && !errors.Is(err, prediction.ErrFormat) {
				t.Errorf("%s cut at %d: %v", format, n, err)
			}
		}
	}
	if _, err := prediction.ReadPredictions("../eval/testdata/eval.json", nil); !errors.Is(err, prediction.ErrFormat) {
		t.Errorf("JSON as predictions: %v", err)
	}
	if _, err := prediction.ReadPredictions(filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

type nothing struct{ Source }

func (nothing) Len() int { return 3 }

// FuzzReadPredictions: whatever comes, it is an error or predictions that hold
// together.
func FuzzReadPredictions(f *testing.F) {
	o := Options{Spec: model.Spec{Model: "m", InputSize: 8, Resize: 8, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"a", "b", "c"}},
		TopK: 2, Probabilities: true, Batch: 4, Source: nothing{}}
	l := o.layout()
	rec, err := o.record(l, []row{
		{path: "x.jpg", label: 1, synset: "b", top: []int{2, 1}, prob: []float32{0.6, 0.3}, all: []float32{0.1, 0.3, 0.6}},
		{path: "y.jpg", label: -1, err: "broken"},
	})
	if err != nil {
		f.Fatal(err)
	}
	defer rec.Release()
	for _, format := range prediction.Formats {
		var b bytes.Buffer
		e, err := prediction.NewEncoder(format, &b, l.schema)
		if err == nil {
			err = errors.Join(e.Write(rec), e.Close())
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := prediction.ReadPredictionsFrom(bytes.NewReader(b), []string{"a", "b", "c"})
		if err != nil {
			return
		}
		n := p.Len()
		if len(p.Paths) != n || len(p.Failed) != n || len(p.Top) != n*p.K || len(p.Prob) != n*p.K || p.All != nil && len(p.All) != n*len(p.Classes) {
			t.Errorf("%d rows of %d: %d paths, %d failed, %d labels, %d probabilities, %d of all", n, p.K, len(p.Paths), len(p.Failed), len(p.Top), len(p.Prob), len(p.All))
		}
		for _, l := range append(p.Top, p.Truth...) {
			if l < -1 || int(l) >= len(p.Classes) {
				t.Errorf("label %d of %d classes", l, len(p.Classes))
			}
		}
	})
}
