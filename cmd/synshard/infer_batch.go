package main

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

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// chooseBatch settles how many images a run takes.
func (a *app) chooseBatch(ctx context.Context, f *inferOptions, n *network) (int, error) {
	switch {
	case f.batch.auto && n.only > 0:
		return n.only, nil
	case f.batch.auto:
		return a.tryBatches(ctx, f, n)
	case f.batch.n == 0:
		return n.batch, nil
	case n.only > 0 && f.batch.n != n.only:
		return 0, usagef("--batch %d: the model takes %d images a run and no other number", f.batch.n, n.only)
	}
	return f.batch.n, nil
}

// tryBatches finds the fastest batch, and keeps what it found beside the chunks
// of an output: a run that goes on must cut batches where they were cut. A
// whole output says itself which batch it was made with.
func (a *app) tryBatches(ctx context.Context, f *inferOptions, n *network) (int, error) {
	kept := ""
	if f.out != "-" {
		if batch, err := strconv.Atoi(prediction.Options(f.out)["batch"]); err == nil && batch > 0 {
			return batch, nil
		}
		kept = filepath.Join(prediction.ChunksDir(f.out), "batch")
		text, err := regular.ReadFile(kept, regular.Document)
		if err == nil {
			return strconv.Atoi(strings.TrimSpace(string(text)))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	best := infer.Measurement{}
	for _, batch := range []int{1, 2, 4, 8, 16, 32} {
		m, err := infer.Measure(ctx, n.predictor, n.spec.InputSize, infer.Setting{Batch: batch, Runs: n.runs}, infer.MeasureOptions{Least: 300 * time.Millisecond, Most: 2 * time.Second})
		if err != nil {
			return 0, err
		}
		if m.PerSecond > 1.02*best.PerSecond { // a larger one must be worth its memory
			best = m
		}
	}
	a.Logf("batch %d: %.1f images/s in a trial", best.Batch, best.PerSecond)
	if kept == "" {
		return best.Batch, nil
	}
	if err := durable.MkdirAll(filepath.Dir(kept)); err != nil {
		return 0, err
	}
	return best.Batch, durable.WriteFile(kept, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, best.Batch)
		return err
	})
}
