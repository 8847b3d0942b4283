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

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
)

// validate measures the weights on the whole validation set, raw and averaged
// in one pass; nil when there is no validation set. Outputs that are not finite are warned of:
// running statistics that no batch has come near yet can do that to a network that learns,
// above all in fp16.
func (r *runner) validate(ctx context.Context) (*runlog.Evaluation, error) {
	if r.o.Data.ValSet().Len() == 0 {
		return nil, nil
	}
	ev, err := evaluate(ctx, r.eng, r.o.Data, r.pos.Batch/r.pos.Microbatches, r.o.Recipe.EMA.Decay > 0, r.o.OnValidating)
	if err != nil {
		return nil, fmt.Errorf("validation after epoch %d: %w", r.pos.Epoch+1, err)
	}
	if !ev.Finite() {
		r.warn(fmt.Sprintf("validation after epoch %d (step %d): %s: what they have right is not known, and they are not the best", r.pos.Epoch+1, r.pos.Step, notFinite(ev)))
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

// Measured is a validation, and whose.
type Measured struct {
	runlog.Evaluation
	Checkpoint string // path of the one that was measured; "": Options.Weights were
}

// Evaluate measures the newest checkpoint of a run directory on the validation set, or
// o.Weights where these are given and are not what the run there was made from (with those the
// call is the run's own), and changes nothing. A newest one that is damaged is
// checkpoint.ErrDamaged.
// The averaged weights are measured too, where a checkpoint has them. A
// validation set without images, a checkpoint of another network or of other
// classes, and outputs that are not finite, are errors.
func Evaluate(ctx context.Context, o Options) (Measured, error) {
	m, err := o.measure(ctx)
	if err != nil {
		return Measured{}, fmt.Errorf("evaluate: %w", err)
	}
	return m, nil
}

func (o *Options) measure(ctx context.Context) (m Measured, err error) {
	inRun := o.Dir != ""
	if !inRun && len(o.Weights) > 0 {
		o.Dir = "." // not used
	}
	o.Recipe.NeedsWeights = false // to begin with
	if err := o.check(); err != nil {
		return m, err
	}
	if _, err := census("validation", o.Data.ValSet(), o.Spec.Classes); err != nil {
		return m, err
	}
	if o.Data.ValSet().Len() == 0 {
		return m, errors.New("the validation set is empty")
	}
	c, ema := &checkpoint.Checkpoint{Tensors: o.Weights}, false
	if len(o.Weights) == 0 || inRun && o.ownWeights() {
		if c, err = o.toEvaluate(); err != nil {
			return m, err
		}
		m.Checkpoint, ema = checkpoint.Path(o.Dir, c.Position.Step), o.Recipe.EMA.Decay > 0
	} else if lacking := o.lacking(); len(lacking) > 0 {
		return m, fmt.Errorf("what is given as weights lacks %s: its head is not for these %d classes", strings.Join(lacking, ", "), o.Network.Classes)
	}
	if m.Evaluation, err = o.evaluateState(ctx, c.Tensors, ema); err != nil {
		return m, err
	}
	if !m.Finite() {
		return m, fmt.Errorf("%s: what they have right is not known", notFinite(m.Evaluation))
	}
	m.Step, m.Epoch = c.Position.Step, c.Position.Epoch
	return m, nil
}

// evaluateState measures a state, averages too where it has them and ema asks for them.
func (o *Options) evaluateState(ctx context.Context, state []model.Tensor, ema bool) (ev runlog.Evaluation, err error) {
	cfg := o.engineConfig(o.Recipe.Accumulate, 0)
	cfg.EMA = ema
	e, err := o.NewEngine(cfg)
	if err != nil {
		return ev, fmt.Errorf("engine: %w", err)
	}
	defer e.Close()
	if err := e.SetState(evalState(state, ema)); err != nil {
		return ev, err
	}
	return evaluate(ctx, e, o.Data, o.Recipe.Batch/o.Recipe.Accumulate, ema, o.OnValidating)
}

// ownWeights says whether the run in o.Dir was made from o.Weights, by the newest of its
// checkpoints whose position can be read.
func (o *Options) ownWeights() bool {
	steps, _ := checkpoint.Steps(o.Dir) // of one that cannot be read, none
	for _, step := range slices.Backward(steps) {
		f, info, err := regular.Open(checkpoint.Path(o.Dir, step))
		if err != nil {
			continue
		}
		p, err := checkpoint.ReadPosition(f, info.Size())
		f.Close()
		if err == nil {
			return p.MadeFrom[weightsName] == o.madeFrom[weightsName]
		}
	}
	return false
}

// lacking are the network's tensors that are not among o.Weights.
func (o *Options) lacking() []string {
	var out []string
	for _, p := range o.Network.Params() {
		if !slices.ContainsFunc(o.Weights, func(t model.Tensor) bool { return t.Name == p.Name }) {
			out = append(out, p.Name)
		}
	}
	return out
}

// toEvaluate is the newest checkpoint, of the network and classes asked for. Where that
// is damaged no older one is taken for it.
func (o *Options) toEvaluate() (*checkpoint.Checkpoint, error) {
	c, err := checkpoint.Newest(o.Dir, func(_ string, err error) error { return err })
	if err == nil && c == nil {
		return nil, fmt.Errorf("%s holds no checkpoint", o.Dir)
	}
	if err == nil {
		var newer runlog.Kept
		newer, err = runlog.ReadKept(o.Dir, c.Position.Step+1)
		if len(newer.Checkpoints) > 0 {
			err = fmt.Errorf("%s: %w: the newest is missing, by %s", filepath.Join(o.Dir, checkpoint.Dir), checkpoint.ErrDamaged, runlog.Name)
		}
	}
	if errors.Is(err, checkpoint.ErrDamaged) {
		return nil, fmt.Errorf("%w; train without --eval-only goes on from the one before, and --weights FILE measures one that is named", err)
	}
	if err != nil {
		return nil, err
	}
	have, want := c.Position, o.start()
	if have.Model != want.Model || have.Width != want.Width || have.Classes != want.Classes {
		return nil, fmt.Errorf("the checkpoint in %s is of %s with classes %s, asked for is %s with classes %s",
			o.Dir, have.Model, have.Classes, want.Model, want.Classes)
	}
	if !c.Spec.SameInput(o.Spec) {
		o.OnWarn(fmt.Sprintf("the checkpoint in %s was fitted to images of mean %v and deviation %v, the recipe has %v and %v", o.Dir, c.Spec.Mean, c.Spec.Std, o.Spec.Mean, o.Spec.Std))
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
