package weights

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
)

// values are a tensor's as the golden data have them.
type values struct {
	Shape  []int     `json:"shape"`
	Values []float64 `json:"values"`
}

// TestCheckpoints reads the files that scripts/golden/weights_checkpoints.py
// wrote with PyTorch, as people write them: what is taken, and its values.
func TestCheckpoints(t *testing.T) {
	dir := "testdata/checkpoints"
	var truth struct {
		Values map[string]map[string]values `json:"values"`
		Cases  []struct {
			File    string  `json:"file"`
			Options Options `json:"options"`
			Error   string  `json:"error"`
			Expect  string  `json:"expect"`
			Taken   Taken   `json:"taken"`
		} `json:"cases"`
	}
	golden.Read(t, filepath.Join(dir, "cases.json"), &truth)
	if len(truth.Cases) < 35 {
		t.Fatalf("%d cases", len(truth.Cases))
	}
	for _, c := range truth.Cases {
		name := c.File
		if c.Options.EMA {
			name += " ema"
		}
		t.Run(name, func(t *testing.T) {
			f, err := ReadFile(filepath.Join(dir, c.File), c.Options)
			if c.Error != "" {
				if err == nil || !strings.Contains(err.Error(), c.Error) {
					t.Errorf("error %v, want %q in it", err, c.Error)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.Taken, f.Taken, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
			got := map[string]values{}
			for _, x := range f.Tensors {
				got[x.Name] = values{x.Shape, numbers(t, x)}
			}
			if diff := cmp.Diff(truth.Values[c.Expect], got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("tensors (-want +got):\n%s", diff)
			}
		})
	}
}

// numbers widens a tensor's elements, those of integers too.
func numbers(t *testing.T, x model.Tensor) []float64 {
	t.Helper()
	var out []float64
	if x.DType == "I64" {
		for i := 0; i < len(x.Data); i += 8 {
			out = append(out, float64(int64(x.Data[i])))
		}
		return out
	}
	floats, err := x.Floats()
	if err != nil {
		t.Error(err)
	}
	for _, v := range floats {
		out = append(out, float64(v))
	}
	return out
}

// TestDamagedCheckpoint flips bits and cuts: an error or other weights, never a
// crash.
func TestDamagedCheckpoint(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	files, err := filepath.Glob("testdata/checkpoints/*")
	if err != nil || len(files) < 35 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for n, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := n; i < len(b); i += 37 {
			b[i] ^= 1 << (i % 8)
			f, err := read(strings.NewReader(string(b)), int64(len(b)), Options{})
			b[i] ^= 1 << (i % 8)
			if err != nil {
				continue
			}
			for _, x := range f.Tensors {
				if len(x.Data) != model.Elements(x.Shape)*model.ElementSize(x.DType) {
					t.Fatalf("%s, byte %d: %s %v has %d bytes", path, i, x.DType, x.Shape, len(x.Data))
				}
			}
		}
	}
}

func TestNamesAsSaid(t *testing.T) {
	for want, taken := range map[string]Taken{
		"": {},
		`weights under "state_dict"; their names without "module."`:                              {Key: "state_dict", Prefix: "module."},
		`averaged weights under "model_ema"`:                                                     {Key: "model_ema", EMA: true},
		`weights under "model"; averaged weights are under "ema" too`:                            {Key: "model", Other: "ema"},
		`weights; their names without "model."; 1 tensors beside them left out: ["loss.weight"]`: {Prefix: "model.", LeftOut: []string{"loss.weight"}},
	} {
		if got := taken.String(); got != want {
			t.Errorf("%+v: %s, want %s", taken, got, want)
		}
	}
}

func FuzzCheckpoint(f *testing.F) {
	files, err := filepath.Glob("testdata/checkpoints/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false, "")
		f.Add(b, true, "model.state_dict")
	}
	f.Fuzz(func(t *testing.T, b []byte, ema bool, key string) {
		file, err := read(strings.NewReader(string(b)), int64(len(b)), Options{EMA: ema, Key: key})
		if err != nil {
			return
		}
		total := 0
		for _, x := range file.Tensors {
			if len(x.Data) != model.Elements(x.Shape)*model.ElementSize(x.DType) {
				t.Fatalf("%s: %s%v in %d bytes", x.Name, x.DType, x.Shape, len(x.Data))
			}
			total += len(x.Data)
		}
		_ = file.Taken.String()
	})
}
