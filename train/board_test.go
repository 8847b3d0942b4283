package train

import (
	"bytes"
	"path/filepath"
	"testing"
)

func TestRunWritesTensorBoard(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.TensorBoard = true
	mustRun(t, o)
	files, err := filepath.Glob(filepath.Join(o.Dir, "tensorboard", "events.out.tfevents.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("event files %v, %v", files, err)
	}
	text := slurp(t, files[0])
	for tag, want := range map[string]int{"train/loss": testSteps, "train/cross_entropy": testSteps, "train/learning_rate": testSteps, "val/top1": 3, "val_ema/top1": 3} {
		if got := bytes.Count(text, []byte(tag)); got != want {
			t.Errorf("%s is written %d times, want %d", tag, got, want)
		}
	}
}
