package torch

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"

	"synshard/loader"
	"synshard/model"
	"synshard/train"
)

type kind int

const (
	askOpen kind = iota
	askStep
	askEvaluate
	askSet
	askState
)

// request is what rank 0 asks of another process.
type request struct {
	Kind    kind
	Network *model.Network
	Config  train.EngineConfig
	Batch   pictures
	Step    train.Step
	EMA     bool
	Tensors []model.Tensor
}

// pictures is what an engine needs of a batch.
type pictures struct {
	Images []byte
	Labels []int64
	Size   int
}

// cut is rank i's part of a batch for n; the parts' sizes differ by one at most.
func cut(b *loader.Batch, i, n int) pictures {
	rows, picture := len(b.Labels), b.Size*b.Size*3
	from, to := i*rows/n, (i+1)*rows/n
	return pictures{b.Images[from*picture : to*picture], b.Labels[from:to], b.Size}
}

func (p pictures) batch() *loader.Batch {
	return &loader.Batch{Images: p.Images, Labels: p.Labels, N: len(p.Labels), Size: p.Size}
}

// reply is an answer. Failure says which of the errors that callers tell apart
// an error was.
type reply struct {
	Error   string
	Failure int
	Eval    train.EvalMetrics
	Tensors []model.Tensor
}

var failures = []error{nil, train.ErrOutOfMemory, train.ErrPeerLost, ErrNoDevice}

func (a reply) err() error {
	switch {
	case a.Error == "":
		return nil
	case a.Failure > 0 && a.Failure < len(failures):
		return fmt.Errorf("%w: %s", failures[a.Failure], a.Error)
	}
	return errors.New(a.Error)
}

// Serve is the life of a process that rank 0 (NewProcs) started: it answers
// requests until in ends or one of them fails. A failure is told to rank 0 and
// is not an error of Serve; the process is then to end, so that the others,
// waiting for its gradients, find out.
func (s *Shim) Serve(in io.Reader, out io.Writer) error {
	requests, answers := gob.NewDecoder(in), gob.NewEncoder(out)
	var e *Engine
	defer func() {
		if e != nil {
			e.Close()
		}
	}()
	for {
		var q request
		if err := requests.Decode(&q); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("request of rank 0: %w", err)
		}
		var a reply
		var err error
		if q.Kind == askOpen {
			e, err = s.New(q.Network, q.Config)
		} else if e == nil {
			err = errors.New("asked before the engine was opened")
		} else {
			a, err = e.serve(q)
		}
		if err != nil {
			a.Error = err.Error()
			for i, f := range failures {
				if f != nil && errors.Is(err, f) {
					a.Failure = i
				}
			}
		}
		if err := answers.Encode(a); err != nil {
			return fmt.Errorf("answer to rank 0: %w", err)
		}
		if a.Error != "" {
			return nil
		}
	}
}

func (e *Engine) serve(q request) (a reply, err error) {
	switch q.Kind {
	case askStep:
		_, err = e.Step(q.Batch.batch(), q.Step)
	case askEvaluate:
		if len(q.Batch.Labels) > 0 {
			a.Eval, err = e.Evaluate(q.Batch.batch(), q.EMA)
		}
	case askSet:
		err = e.SetState(q.Tensors)
	case askState:
		a.Tensors, err = e.State()
	default:
		err = fmt.Errorf("request %d is unknown", q.Kind)
	}
	return a, err
}
