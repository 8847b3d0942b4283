package train

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/checkpoint"
)

// save writes a checkpoint of where the run stands and removes those no longer
// kept.
func (r *runner) save() error {
	state, err := r.eng.State()
	if err != nil {
		return fmt.Errorf("checkpoint at step %d: %w", r.pos.Step, err)
	}
	if _, err := checkpoint.Write(r.o.Dir, r.pos, r.o.Spec, state); err != nil {
		return err
	}
	r.saved, r.savedAt = r.pos.Step, time.Now()
	best, ok := r.pos.BestEval()
	return checkpoint.Prune(r.o.Dir, r.o.KeepLast, best.Step, ok)
}

// saveConfig writes the recipe in use.
func (r *runner) saveConfig() error {
	rec := r.o.Recipe
	rec.Precision = r.o.Precision
	text, err := rec.YAML()
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return durable.WriteFile(r.path("config.yaml"), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// export writes the final weights, averaged ones where they are kept.
func (r *runner) export() error {
	state, err := r.eng.State()
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	tensors := checkpoint.Weights(state, true)
	meta := map[string]string{"format": "pt", model.SpecKey: r.o.Spec.JSON()}
	err = durable.WriteFile(r.path("model.safetensors"), func(w io.Writer) error {
		return weights.WriteSafetensors(w, tensors, meta)
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	err = durable.WriteFile(r.path("model.onnx"), func(w io.Writer) error {
		return onnx.Write(w, r.o.Network, tensors, r.o.Spec)
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// checkExport is an error where the network cannot be written as model.onnx, which
// is better known before the first step than after the last.
func (r *runner) checkExport() error {
	err := onnx.Write(io.Discard, r.o.Network, checkpoint.Weights(r.state, true), r.o.Spec)
	if err != nil {
		return fmt.Errorf("%s of %d-pixel images cannot be exported: %w", r.o.Network.Name, r.o.Network.Input, err)
	}
	return nil
}

// exported says whether the final files are there and no older than the last
// checkpoint.
func (r *runner) exported() bool {
	last, err := os.Stat(checkpoint.Path(r.o.Dir, r.pos.Step))
	if err != nil {
		return false
	}
	for _, name := range []string{"model.safetensors", "model.onnx"} {
		info, err := os.Stat(r.path(name))
		if errors.Is(err, fs.ErrNotExist) || err != nil || info.ModTime().Before(last.ModTime()) {
			return false
		}
	}
	return true
}

func (r *runner) result() Result {
	res := Result{Steps: r.pos.Step, Epochs: r.pos.Epoch, Images: r.pos.Images, Seconds: r.pos.Seconds, Dir: r.o.Dir}
	if n := len(r.pos.Evals); n > 0 {
		res.Last = &r.pos.Evals[n-1]
		best, _ := r.pos.BestEval()
		res.Best = &best
	}
	if r.done() && r.exported() {
		res.ONNX, res.Weights = r.path("model.onnx"), r.path("model.safetensors")
	}
	return res
}
