package eval

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/infer/prediction"
)

// FuzzReal: any file of reassessed labels is an error, or a share of some of the rows.
func FuzzReal(f *testing.F) {
	for _, s := range []string{"[[0,1],[],[1]]", "[[2]]", "[null,[-1]]", "[[0],[1e0]]", "[[0.5]]", "{}", "[[4294967296]]"} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	p := &prediction.Set{Classes: []string{"n01", "n02"}, K: 1, Paths: []string{"ILSVRC2012_val_00000001.JPEG", "x/ILSVRC2012_val_00000003.JPEG", "other"}, Failed: []bool{false, true, false}, Top: []int32{1, 0, 0}, Prob: []float32{1, 1, 1}}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "real.json")
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		r, err := MeasureReal(p, path)
		if err == nil && (r.N < 1 || r.N > 2 || r.Top1 < 0 || r.Top1 > 1) {
			t.Errorf("%+v", r)
		}
	})
}
