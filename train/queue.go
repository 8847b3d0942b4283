package train

import (
	"errors"

	"github.com/synshard/synshard/loader"
)

// Queue takes steps of training one after another and may work on one while the
// next is prepared.
type Queue interface {
	// Depth is how many steps are worth having under way while the next is
	// prepared; 0: none.
	Depth() int
	// Submit begins a step. The batch's memory is free again when it returns. Its
	// errors are those of Engine.Step; after one the step has not begun.
	Submit(b *loader.Batch, s Step) error
	// Collect waits for the oldest step submitted and gives what it found. With
	// none under way it is an error.
	Collect() (Metrics, error)
}

// asQueue gives an engine's own queue or, for one that has none or wants no step
// under way, a queue whose Submit takes the whole step.
func asQueue(e Engine) Queue {
	if q, ok := e.(Queue); ok && q.Depth() > 0 {
		return q
	}
	return &stepByStep{engine: e}
}

// stepByStep is a queue for an engine that is waited for.
type stepByStep struct {
	engine Engine
	found  []Metrics
}

func (q *stepByStep) Depth() int { return 0 }

func (q *stepByStep) Submit(b *loader.Batch, s Step) error {
	m, err := q.engine.Step(b, s)
	if err == nil {
		q.found = append(q.found, m)
	}
	return err
}

func (q *stepByStep) Collect() (Metrics, error) {
	if len(q.found) == 0 {
		return Metrics{}, errors.New("collect: no step is under way")
	}
	m := q.found[0]
	q.found = q.found[1:]
	return m, nil
}

// Pipeline is the one place where training waits for the engine. Submit does not,
// where the engine has a queue; Settle waits for the oldest steps until only as
// many as the queue wants are under way; Drain waits for all of them, as must be
// done before the engine's state is read or anything else asked of it. What a step
// found is handed to record in the order in which the steps were submitted, with
// what the caller said of it.
type Pipeline[T any] struct {
	queue    Queue
	underWay []T // oldest first
	record   func(T, Metrics, error) error
}

// NewPipeline takes steps on an engine. An error that collecting a step gives is
// handed to record too; an error of record's ends Settle and Drain.
func NewPipeline[T any](e Engine, record func(T, Metrics, error) error) *Pipeline[T] {
	return &Pipeline[T]{queue: asQueue(e), record: record}
}

// unsettled is how many steps are submitted and not recorded.
func (p *Pipeline[T]) unsettled() int { return len(p.underWay) }

// Submit begins a step. After an error it has not begun.
func (p *Pipeline[T]) Submit(b *loader.Batch, s Step, about T) error {
	if err := p.queue.Submit(b, s); err != nil {
		return err
	}
	p.underWay = append(p.underWay, about)
	return nil
}

// Settle records the oldest steps until no more than the queue's depth are under
// way.
func (p *Pipeline[T]) Settle() error { return p.await(p.queue.Depth()) }

// Drain records every step that is under way.
func (p *Pipeline[T]) Drain() error { return p.await(0) }

func (p *Pipeline[T]) await(most int) error {
	for len(p.underWay) > most {
		about := p.underWay[0]
		m, err := p.queue.Collect()
		p.underWay = p.underWay[1:]
		if err := p.record(about, m, err); err != nil {
			return err
		}
	}
	return nil
}
