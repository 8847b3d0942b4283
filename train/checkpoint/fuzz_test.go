package checkpoint

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/runlog"
)

// FuzzRead: a checkpoint that says anything of its run, under a sum that is right or
// not, is damaged, or of another version, or a position that is written and read back as it is.
func FuzzRead(f *testing.F) {
	spec := model.Spec{Model: "resnet50", InputSize: 32, Resize: 32, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"a"}}
	whole, err := json.Marshal(Position{Version: Version, Step: 7, Classes: "x", MadeFrom: Identity{"recipe": "y"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(whole), spec.JSON(), true)
	f.Add(string(whole), spec.JSON(), false)
	f.Add(`{"version":1,"step":-1,"evals":[{"raw":{"loss":null},"epoch":1}],"seed":18446744073709551615}`, spec.JSON(), true)
	f.Add(`{"version":2}`, `{}`, true)
	f.Add(`{"version":1e0}`, `{"std":[]}`, true)
	dir := f.TempDir()
	tensors := []model.Tensor{{Name: "w", DType: "F32", Shape: []int{1}, Data: make([]byte, 4)}}
	f.Fuzz(func(t *testing.T, state, spec string, sound bool) {
		meta := map[string]string{"format": "pt", weights.StateKey: state, model.SpecKey: spec}
		meta[weights.SumKey] = weights.Sum(tensors, meta)
		if !sound {
			meta[weights.SumKey] = strings.Repeat("0", 64)
		}
		path := Path(dir, 7)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := write(path, tensors, meta); err != nil {
			return // a text that safetensors cannot hold
		}
		c, err := Read(path)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !strings.Contains(err.Error(), "checkpoint version") {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if !sound {
			t.Fatalf("a wrong sum, and %+v is read", c.Position)
		}
		again, err := Write(t.TempDir(), c.Position, c.Spec, c.Tensors)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Read(again)
		if diff := cmp.Diff(c, back, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b runlog.Number) bool { return a == b || a != a && b != b })); err != nil || diff != "" {
			t.Errorf("%v (-read +written and read):\n%s", err, diff)
		}
	})
}

func write(path string, tensors []model.Tensor, meta map[string]string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(weights.WriteSafetensors(io.Writer(out), tensors, meta), out.Close())
}
