package train

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

// removeRun removes what a run wrote into its directory, and nothing else. Checkpoints
// go last: while one is there, what was cut short is seen to be of another run.
func removeRun(dir string) error {
	var failed []error
	for _, name := range []string{"model.onnx", "model.safetensors", "curves.png", "config.yaml", "tensorboard", "mlflow.json"} {
		failed = append(failed, os.RemoveAll(filepath.Join(dir, name)))
	}
	if err := errors.Join(append(failed, runlog.Remove(dir), durable.SyncDir(dir))...); err != nil {
		return err
	}
	return errors.Join(checkpoint.RemoveAll(dir), durable.SyncDir(dir))
}
