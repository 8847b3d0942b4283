package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

// validate measures the weights on the whole validation set, raw and averaged
// in one pass; nil when there is no validation set.
func (r *runner) validate(ctx context.Context) (*runlog.Evaluation, error) {
	if r.o.Data.ValSet().Len() == 0 {
		return nil, nil
	}
	ev, err := evaluate(ctx, r.eng, r.o.Data, r.pos.Batch/r.pos.Microbatches, r.o.Recipe.EMA.Decay > 0, r.o.OnValidating)
	if err != nil {
		return nil, fmt.Errorf("validation after epoch %d: %w", r.pos.Epoch+1, err)
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
	var sums [2]EvalMetrics
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
		for i := range sums {
			if i == 1 && !ema {
				continue
			}
			m, err := e.Evaluate(b, i == 1)
			if err != nil {
				b.Release()
				return ev, err
			}
			sums[i].N += m.N
			sums[i].Top1 += m.Top1
			sums[i].Top5 += m.Top5
			sums[i].Loss += m.Loss
		}
		done += b.N
		b.Release()
		tell(done, total)
	}
	if sums[0].N == 0 {
		return ev, errors.New("no image could be read")
	}
	ev = runlog.Evaluation{Kind: "eval", Time: time.Now().UTC(), Raw: sums[0].score(), Seconds: time.Since(began).Seconds(),
		Skipped: int64(total - sums[0].N)}
	if ema {
		s := sums[1].score()
		ev.EMA = &s
	}
	return ev, nil
}

func (m EvalMetrics) score() runlog.Score {
	n := float64(m.N)
	return runlog.Score{N: m.N, Top1: float64(m.Top1) / n, Top5: float64(m.Top5) / n, Loss: runlog.Number(m.Loss / n)}
}

// Evaluate measures the newest whole checkpoint of a run directory, or
// o.Weights where there are such, on the validation set, and changes nothing.
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
	state, pos, ema := o.Weights, checkpoint.Position{}, false
	if !given {
		c, err := checkpoint.Newest(o.Dir, func(_ string, err error) error {
			o.OnWarn(fmt.Sprintf("%v; the one before it is used", err))
			return nil
		})
		if err != nil {
			return runlog.Evaluation{}, err
		}
		if c == nil {
			return runlog.Evaluation{}, fmt.Errorf("evaluate: %s holds no checkpoint", o.Dir)
		}
		pos, state = c.Position, c.Tensors
		if want := o.start(); pos.Model != want.Model || pos.Width != want.Width || pos.Classes != want.Classes {
			return runlog.Evaluation{}, fmt.Errorf("evaluate: the checkpoint in %s is of %s with classes %s, asked for is %s with classes %s",
				o.Dir, pos.Model, pos.Classes, want.Model, want.Classes)
		}
		ema = o.Recipe.EMA.Decay > 0
	}
	cfg := o.engineConfig(o.Recipe.Accumulate)
	cfg.EMA = ema
	e, err := o.NewEngine(cfg)
	if err != nil {
		return runlog.Evaluation{}, fmt.Errorf("engine: %w", err)
	}
	defer e.Close()
	if err := e.SetState(evalState(state, ema)); err != nil {
		return runlog.Evaluation{}, fmt.Errorf("evaluate: %w", err)
	}
	ev, err := evaluate(ctx, e, o.Data, o.Recipe.Batch/o.Recipe.Accumulate, ema, o.OnValidating)
	if err != nil {
		return runlog.Evaluation{}, fmt.Errorf("evaluate: %w", err)
	}
	ev.Step, ev.Epoch = pos.Step, pos.Epoch
	return ev, nil
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
