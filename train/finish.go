package train

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
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
	return r.prune()
}

// prune leaves the checkpoints that are to be kept, and names the best. It follows
// each save, and the beginning, since a call may have been killed in between.
func (r *runner) prune() error {
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

// products are what is left of a finished run beside its checkpoints and its log,
// each as the last checkpoint's state gives it.
func (r *runner) products(state []model.Tensor) []product {
	tensors := checkpoint.Weights(state, true) // averaged ones where they are kept
	meta := map[string]string{"format": "pt", model.SpecKey: r.o.Spec.JSON()}
	return []product{
		{"model.safetensors", func(w io.Writer) error { return weights.WriteSummed(w, tensors, meta) }},
		{"model.onnx", func(w io.Writer) error { return onnx.Write(w, r.o.Network, tensors, r.o.Spec) }},
	}
}

// product is a file and what writes it: the same bytes from the same state.
type product struct {
	name  string
	write func(w io.Writer) error
}

// export writes the final weights.
func (r *runner) export() error {
	state, err := r.eng.State()
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return r.write(r.products(state))
}

func (r *runner) write(list []product) error {
	for _, p := range list {
		if err := durable.WriteFile(r.path(p.name), p.write); err != nil {
			return fmt.Errorf("export: %w", err)
		}
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

// unsettled lists what of a finished run is not there, or not what the last
// checkpoint gives, byte for byte. Times of change tell nothing.
func (r *runner) unsettled() ([]product, error) {
	var out []product
	for _, p := range r.products(r.state) {
		same, err := holds(r.path(p.name), p.write)
		if err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
		if !same {
			out = append(out, p)
		}
	}
	return out, nil
}

// settle makes anew what of a finished run is not there or not right: final weights
// from the last checkpoint, its validations in the log, the curves, the link to the
// best. It needs no engine.
func (r *runner) settle() error {
	list, err := r.unsettled()
	if err != nil {
		return err
	}
	for _, p := range list {
		r.o.OnWarn(p.name + " was missing, or not what the last checkpoint gives: made anew")
	}
	if err := r.write(list); err != nil {
		return err
	}
	best, ok := r.pos.BestEval()
	if err := checkpoint.Prune(r.o.Dir, r.o.KeepLast, best.Step, ok); err != nil {
		return err
	}
	if _, err := os.Stat(r.path("config.yaml")); errors.Is(err, fs.ErrNotExist) {
		if err := r.saveConfig(); err != nil {
			return err
		}
	}
	changed, err := runlog.Settle(r.o.Dir, r.pos.Step, r.pos.Epoch, r.pos.Evals)
	if err != nil {
		return err
	}
	if changed {
		r.o.OnWarn(runlog.Name + " lacked validations, or had others than the last checkpoint: they are put right; lines of steps that are lost stay lost")
	}
	if changed || !runlog.CurvesWhole(r.path("curves.png")) {
		return r.o.draw(r.path("curves.png"), r.path(runlog.Name))
	}
	return nil
}

// holds says whether a file holds what write writes.
func holds(path string, write func(w io.Writer) error) (bool, error) {
	f, _, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrUnfit) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	if err := write(&comparer{in: in}); errors.Is(err, errOther) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	_, err = in.ReadByte()
	return err != nil, nil
}

var errOther = errors.New("other bytes")

// comparer takes what a file should hold; an error says that it does not.
type comparer struct {
	in  io.Reader
	buf []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	c.buf = slices.Grow(c.buf[:0], min(len(p), 1<<20))
	for n := 0; n < len(p); {
		part := p[n:min(len(p), n+1<<20)]
		if _, err := io.ReadFull(c.in, c.buf[:len(part)]); err != nil || !bytes.Equal(c.buf[:len(part)], part) {
			return n, errOther
		}
		n += len(part)
	}
	return len(p), nil
}

func (r *runner) result() Result {
	res := Result{Steps: r.pos.Step, Epochs: r.pos.Epoch, Images: r.pos.Images, Seconds: r.pos.Seconds, Dir: r.o.Dir}
	if n := len(r.pos.Evals); n > 0 {
		res.Last = &r.pos.Evals[n-1]
		best, _ := r.pos.BestEval()
		res.Best = &best
	}
	if r.done() && r.finished {
		res.ONNX, res.Weights = r.path("model.onnx"), r.path("model.safetensors")
	}
	return res
}
