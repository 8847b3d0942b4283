package infer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
)

// Network is a model that is open, and how it is best run.
type Network struct {
	Predictor
	Spec       model.Spec // how images are made ready, and the classes
	OwnClasses bool       // Spec.Classes came with the model, and were not given beside it
	Width      int        // of the embedding; 0: it gives none

	Runs  int  // at a time
	Batch int  // images a run, unless another number is asked for
	Only  int  // the one number of images a run that it takes; 0: any
	Fixed bool // every run takes a full batch

	Sum     string            // of every file of the model
	Backend string            // what runs it
	Notes   map[string]string // what was said of it beside its files, by name
	// How, where it is not nil, says in a few words how runs are computed, once there
	// were some.
	How func() string
	// Alloc is where batches lie, as loader.Options has it; nil: anywhere.
	Alloc func(n int) ([]byte, func(), error)
	// Close lets the network go, after the last run.
	Close func() error
}

// Options are those of predicting with n, where the source and what is kept are
// still to be said.
func (n *Network) Options() Options {
	return Options{
		Predictor: n.Predictor, Spec: n.Spec, OwnClasses: n.OwnClasses, Fixed: n.Fixed, Runs: n.Runs, Batch: n.Batch,
		Model: n.Sum, Backend: n.Backend, Notes: n.Notes, Alloc: n.Alloc,
	}
}

// FastestBatch gives the batch that is fastest in a short trial, or the only one
// that n takes. What a trial found is kept beside the chunks of the output out, "" for
// none: a run that goes on must cut batches where they were cut. A whole output
// says itself which batch it was made with. tried, which may be nil, is told of a
// trial.
func (n *Network) FastestBatch(ctx context.Context, out string, tried func(Measurement)) (int, error) {
	if n.Only > 0 {
		return n.Only, nil
	}
	if out == "" {
		return n.tryBatches(ctx, tried)
	}
	if batch, err := strconv.Atoi(prediction.Options(out)["batch"]); err == nil && batch > 0 {
		return batch, nil
	}
	kept := filepath.Join(prediction.ChunksDir(out), "batch")
	text, err := regular.ReadFile(kept, regular.Document)
	if err == nil {
		return strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	best, err := n.tryBatches(ctx, tried)
	if err != nil {
		return 0, err
	}
	if err := durable.MkdirAll(filepath.Dir(kept)); err != nil {
		return 0, err
	}
	return best, durable.WriteFile(kept, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, best)
		return err
	})
}

func (n *Network) tryBatches(ctx context.Context, tried func(Measurement)) (int, error) {
	best := Measurement{}
	for _, batch := range []int{1, 2, 4, 8, 16, 32} {
		m, err := Measure(ctx, n, n.Spec.InputSize, Setting{Batch: batch, Runs: n.Runs}, MeasureOptions{Least: 300 * time.Millisecond, Most: 2 * time.Second, Alloc: n.Alloc})
		if err != nil {
			return 0, err
		}
		if m.PerSecond > 1.02*best.PerSecond { // a larger one must be worth its memory
			best = m
		}
	}
	if tried != nil {
		tried(best)
	}
	return best.Batch, nil
}
