package train

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/runlog"
)

// queuing is a fakeEngine that has a step under way, as one on a GPU.
type queuing struct {
	*fakeEngine
	found   []Metrics
	deepest int
}

func (q *queuing) Depth() int { return 1 }

func (q *queuing) Submit(b *loader.Batch, s Step) error {
	m, err := q.fakeEngine.Step(b, s)
	if err != nil {
		return err
	}
	q.found = append(q.found, m)
	q.deepest = max(q.deepest, len(q.found))
	return nil
}

func (q *queuing) Collect() (Metrics, error) {
	if len(q.found) == 0 {
		return Metrics{}, errors.New("no step is under way")
	}
	m := q.found[0]
	q.found = q.found[1:]
	return m, nil
}

func (q *queuing) Step(*loader.Batch, Step) (Metrics, error) {
	return Metrics{}, errors.New("a step was waited for")
}

func (q *queuing) State() ([]model.Tensor, error) {
	if len(q.found) > 0 {
		return nil, fmt.Errorf("state asked for with %d steps under way", len(q.found))
	}
	return q.fakeEngine.State()
}

func (q *queuing) Evaluate(b *loader.Batch, ema bool) (EvalMetrics, error) {
	if len(q.found) > 0 {
		return EvalMetrics{}, fmt.Errorf("evaluation with %d steps under way", len(q.found))
	}
	return q.fakeEngine.Evaluate(b, ema)
}

// TestQueuedEqualsOneByOne stops a run whose engine queues again and again, and
// lets it run out of memory, and expects the end of a run that did neither.
func TestQueuedEqualsOneByOne(t *testing.T) {
	whole := testOptions(t, t.TempDir())
	mustRun(t, whole)
	cut := testOptions(t, t.TempDir())
	cut.OnWarn = func(string) {}
	cut.NewEngine = func(cfg EngineConfig) (Engine, error) {
		q := &queuing{fakeEngine: newFake(cut.Network, cfg)}
		q.largest = 2
		return q, nil
	}
	last := int64(0)
	cut.OnStep = func(s runlog.Step) {
		if s.Step != last+1 {
			t.Errorf("step %d was told after step %d", s.Step, last)
		}
		last = s.Step
	}
	for _, at := range []int64{1, 3, 6, 12} {
		stopAt(t, cut, at)
	}
	cut.StopAfter = 2
	for {
		if _, err := Run(t.Context(), cut); err == nil {
			break
		} else if !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	}
	sameEnd(t, whole.Dir, cut.Dir)
}

// TestNaNOfAQueuedStep names the step that diverged, not the one begun since.
func TestNaNOfAQueuedStep(t *testing.T) {
	o := testOptions(t, t.TempDir())
	o.OnWarn = func(string) {}
	steps := 0
	var q *queuing
	o.NewEngine = func(cfg EngineConfig) (Engine, error) {
		q = &queuing{fakeEngine: newFake(o.Network, cfg)}
		q.bad = func() bool { steps++; return steps == 7 }
		return q, nil
	}
	_, err := Run(t.Context(), o)
	if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "step 7:") {
		t.Errorf("%v", err)
	}
	if q.deepest != 2 {
		t.Errorf("at most %d steps were under way, want 2", q.deepest)
	}
}
