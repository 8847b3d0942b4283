package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

// validate measures the weights on the whole validation set, raw and averaged
// in one pass; nil when there is no validation set. Outputs that are not finite are
// ErrDiverged, as a training loss that is not.
func (r *runner) validate(ctx context.Context) (*runlog.Evaluation, error) {
	if r.o.Data.ValSet().Len() == 0 {
		return nil, nil
	}
	ev, err := evaluate(ctx, r.eng, r.o.Data, r.pos.Batch/r.pos.Microbatches, r.o.Recipe.EMA.Decay > 0, r.o.OnValidating)
	if err != nil {
		return nil, fmt.Errorf("validation after epoch %d: %w", r.pos.Epoch+1, err)
	}
	if !ev.Finite() {
		return nil, r.divergence("validation after epoch %d (step %d): %s", r.pos.Epoch+1, r.pos.Step, notFinite(ev))
	}
	ev.Step = r.pos.Step
	return &ev, nil
}

func evaluate(ctx context.Context, e Engine, d Data, batch int, ema bool, tell func(done, total int)) (ev runlog.Evaluation, err error) {
	began := time.Now()
	batches, err := d.Val(ctx, batch)
	if err != nil {
		return ev, err
	}
	defer func() { err = errors.Join(err, batches.Close()) }()
	var raw, averaged EvalMetrics
	total, done := d.ValSet().Len(), 0
	for {
		if err := ctx.Err(); err != nil {
			return ev, err
		}
		b, err := batches.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return ev, err
		}
		for i, failed := range b.Errs {
			if failed != nil {
				b.Labels[i] = -1 // black, and not to be counted
			}
		}
		err = raw.add(e, b, false)
		if err == nil && ema {
			err = averaged.add(e, b, true)
		}
		done += b.N
		b.Release()
		if err != nil {
			return ev, err
		}
		tell(done, total)
	}
	if raw.N == 0 {
		return ev, errors.New("no image could be read")
	}
	ev = runlog.Evaluation{
		Kind: "eval", Time: time.Now().UTC(), Raw: raw.score(), Seconds: time.Since(began).Seconds(), Skipped: int64(total - raw.N),
	}
	if ema {
		score := averaged.score()
		ev.EMA = &score
	}
	return ev, nil
}

// add evaluates a batch and adds its counts.
func (m *EvalMetrics) add(e Engine, b *loader.Batch, ema bool) error {
	found, err := e.Evaluate(b, ema)
	m.N += found.N
	m.Top1 += found.Top1
	m.Top5 += found.Top5
	m.Loss += found.Loss
	return err
}

func (m EvalMetrics) score() runlog.Score {
	n := float64(m.N)
	return runlog.Score{N: m.N, Top1: float64(m.Top1) / n, Top5: float64(m.Top5) / n, Loss: runlog.Number(m.Loss / n)}
}

// Evaluate measures the newest checkpoint of a run directory, or o.Weights where
// there are such, on the validation set, and changes nothing. A newest one that is
// damaged is checkpoint.ErrDamaged.
// The averaged weights are measured too, where a checkpoint has them. A
// validation set without images, a checkpoint of another network or of other
// classes, and outputs that are not finite, are errors.
func Evaluate(ctx context.Context, o Options) (runlog.Evaluation, error) {
	given := len(o.Weights) > 0
	if given && o.Dir == "" {
		o.Dir = "." // not used
	}
	if err := o.check(); err != nil {
		return runlog.Evaluation{}, err
	}
	if _, err := census("validation", o.Data.ValSet(), o.Spec.Classes); err != nil {
		return runlog.Evaluation{}, err
	}
	if o.Data.ValSet().Len() == 0 {
		return runlog.Evaluation{}, errors.New("evaluate: the validation set is empty")
	}
	c, ema := &checkpoint.Checkpoint{Tensors: o.Weights}, false
	if !given {
		var err error
		if c, err = o.toEvaluate(); err != nil {
			return runlog.Evaluation{}, err
		}
		ema = o.Recipe.EMA.Decay > 0
	}
	cfg := o.engineConfig(o.Recipe.Accumulate, 0)
	cfg.EMA = ema
	e, err := o.NewEngine(cfg)
	if err != nil {
		return runlog.Evaluation{}, fmt.Errorf("engine: %w", err)
	}
	defer e.Close()
	if err := e.SetState(evalState(c.Tensors, ema)); err != nil {
		return runlog.Evaluation{}, fmt.Errorf("evaluate: %w", err)
	}
	ev, err := evaluate(ctx, e, o.Data, o.Recipe.Batch/o.Recipe.Accumulate, ema, o.OnValidating)
	if err != nil {
		return runlog.Evaluation{}, fmt.Errorf("evaluate: %w", err)
	}
	if !ev.Finite() {
		return runlog.Evaluation{}, fmt.Errorf("evaluate: %s: what they have right is not known", notFinite(ev))
	}
	ev.Step, ev.Epoch = c.Position.Step, c.Position.Epoch
	return ev, nil
}

// toEvaluate is the newest checkpoint, of the network and classes asked for. Where that
// is damaged no older one is taken for it.
func (o *Options) toEvaluate() (*checkpoint.Checkpoint, error) {
	c, err := checkpoint.Newest(o.Dir, func(_ string, err error) error { return err })
	if err == nil && c == nil {
		return nil, fmt.Errorf("evaluate: %s holds no checkpoint", o.Dir)
	}
	if err == nil {
		var newer runlog.Kept
		newer, err = runlog.ReadKept(o.Dir, c.Position.Step+1)
		if len(newer.Checkpoints) > 0 {
			err = fmt.Errorf("%s: %w: the newest is missing, by %s", filepath.Join(o.Dir, checkpoint.Dir), checkpoint.ErrDamaged, runlog.Name)
		}
	}
	if errors.Is(err, checkpoint.ErrDamaged) {
		return nil, fmt.Errorf("evaluate: %w; train without --eval-only goes on from the one before, and --weights FILE measures one that is named", err)
	}
	if err != nil {
		return nil, err
	}
	have, want := c.Position, o.start()
	if have.Model != want.Model || have.Width != want.Width || have.Classes != want.Classes {
		return nil, fmt.Errorf("evaluate: the checkpoint in %s is of %s with classes %s, asked for is %s with classes %s",
			o.Dir, have.Model, have.Classes, want.Model, want.Classes)
	}
	return c, nil
}

// EvaluationFiles are those of a run directory's files, with slashes, that Evaluate reads.
func EvaluationFiles(names []string) []string {
	var out []string
	if slices.Contains(names, runlog.Name) {
		out = append(out, runlog.Name)
	}
	if newest, ok := checkpoint.NewestOf(names); ok {
		out = append(out, newest)
	}
	return out
}

// evalState leaves out what evaluation has no use for.
func evalState(state []model.Tensor, ema bool) []model.Tensor {
	var out []model.Tensor
	for _, t := range state {
		if !strings.HasPrefix(t.Name, checkpoint.OptimizerPrefix) && (ema || !strings.HasPrefix(t.Name, checkpoint.EMAPrefix)) {
			out = append(out, t)
		}
	}
	return out
}
