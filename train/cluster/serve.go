package cluster

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train"
)

type kind int

const (
	askOpen kind = iota
	askStep
	askEvaluate
	askSet
	askState
	askClose // the engine; another may be opened
	askEnd   // the process is to end; there is no answer
)

// request is what rank 0 asks of another process.
type request struct {
	Kind    kind
	Network *model.Network
	Config  train.EngineConfig
	Batch   images
	Step    train.Step
	EMA     bool
	Tensors []model.Tensor
	Code    int // askEnd: how rank 0 ends
}

// images is what an engine needs of a batch.
type images struct {
	Images []byte
	Labels []int64
	Size   int
}

// cut is rank i's share of a batch for n: neighbouring images, whose numbers differ
// by one at most from rank to rank.
func cut(b *loader.Batch, i, n int) images {
	rows, image := len(b.Labels), b.Size*b.Size*3
	from, to := i*rows/n, (i+1)*rows/n
	return images{b.Images[from*image : to*image], b.Labels[from:to], b.Size}
}

func (p images) batch() *loader.Batch {
	return &loader.Batch{Images: p.Images, Labels: p.Labels, N: len(p.Labels), Size: p.Size}
}

// reply is an answer. Failure says which of the errors that callers tell apart
// an error was; Stop, that this process was asked to stop.
type reply struct {
	Error   string
	Failure int
	Eval    train.EvalMetrics
	Tensors []model.Tensor
	Stop    bool
}

var failures = []error{nil, train.ErrOutOfMemory, train.ErrPeerLost, train.ErrNoDevice}

func (a reply) err() error {
	switch {
	case a.Error == "":
		return nil
	case a.Failure > 0 && a.Failure < len(failures):
		return fmt.Errorf("%w: %s", failures[a.Failure], a.Error)
	}
	return errors.New(a.Error)
}

// refusal is an error as an answer.
func refusal(err error) reply {
	a := reply{Error: err.Error()}
	for i, f := range failures {
		if f != nil && errors.Is(err, f) {
			a.Failure = i
		}
	}
	return a
}

// Serving says what a process that answers rank 0 knows better than rank 0.
// Both may be nil.
type Serving struct {
	Adjust func(*train.EngineConfig) // to this machine, before an engine is opened
	Stop   func() bool               // whether this process was asked to stop, which rank 0 is told
}

// errGone is Serve's where rank 0 went away without a word.
var errGone = fmt.Errorf("rank 0: %w", train.ErrPeerLost)

// Serve is the life of a process other than rank 0 (NewProcs, Gather): it
// answers requests until it is told to end, and gives the code that rank 0 ends
// with. Where an engine fails, rank 0 is told and the engine closed, so that
// the others, waiting for its gradients, find out. Where in ends without a
// word the error is train.ErrPeerLost; it comes within seconds even while the
// engine hangs in an exchange.
func Serve(b Backend, in io.Reader, out io.Writer, o Serving) (code int, err error) {
	v := &server{backend: b, Serving: o}
	requests, answers := make(chan request), gob.NewEncoder(out)
	var ended error
	go func() {
		defer close(requests)
		for d := gob.NewDecoder(in); ; {
			var q request
			if ended = d.Decode(&q); ended != nil {
				return
			}
			requests <- q
		}
	}()
	for q := range requests {
		if q.Kind == askEnd {
			v.close()
			return q.Code, nil
		}
		done := make(chan reply, 1)
		go func() { done <- v.answer(q) }()
		var a reply
		select {
		case a = <-done:
		case _, more := <-requests:
			if more {
				return 0, errors.New("rank 0 asked twice at a time")
			}
			select { // the engine may find out by itself
			case <-done:
				v.close()
			case <-time.After(patience):
			}
			return 0, fmt.Errorf("%w: %w", errGone, ended)
		}
		if err := answers.Encode(a); err != nil {
			v.close()
			return 0, fmt.Errorf("%w: answer: %w", errGone, err)
		}
	}
	v.close()
	return 0, fmt.Errorf("%w: %w", errGone, ended)
}

// server is a process that answers rank 0, with its engine.
type server struct {
	Serving
	backend Backend
	engine  train.Engine
}

func (v *server) close() {
	if v.engine != nil {
		v.engine.Close()
		v.engine = nil
	}
}

// answer does what is asked.
func (v *server) answer(q request) (a reply) {
	var err error
	switch {
	case q.Kind == askClose:
		v.close()
	case q.Kind == askOpen:
		v.close()
		if v.Adjust != nil {
			v.Adjust(&q.Config)
		}
		v.engine, err = v.backend.NewEngine(q.Network, q.Config)
	case v.engine == nil:
		err = errors.New("asked before the engine was opened")
	default:
		a, err = serve(v.engine, q)
	}
	if err != nil {
		v.close()
		a = refusal(err)
	}
	a.Stop = v.Stop != nil && v.Stop()
	return a
}

func serve(e train.Engine, q request) (a reply, err error) {
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
