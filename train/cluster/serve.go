package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"
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
}

// images is what an engine needs of a batch.
type images struct {
	Images         []byte
	Labels, Others []int64
	Shares         []float32
	Size           int
}

// cut is rank i's share of a batch for n: neighbouring images, whose numbers differ
// by one at most from rank to rank.
func cut(b *loader.Batch, i, n int) images {
	rows, image := len(b.Labels), b.Size*b.Size*3
	from, to := i*rows/n, (i+1)*rows/n
	share := images{Images: b.Images[from*image : to*image], Labels: b.Labels[from:to], Size: b.Size}
	if b.Others != nil {
		share.Others, share.Shares = b.Others[from:to], b.Shares[from:to]
	}
	return share
}

func (p images) batch() *loader.Batch {
	return &loader.Batch{Images: p.Images, Labels: p.Labels, Others: p.Others, Shares: p.Shares, N: len(p.Labels), Size: p.Size}
}

// reply is an answer. Failure says which of the errors that callers tell apart
// an error was.
type reply struct {
	Error   string
	Failure int
	Eval    train.EvalMetrics
	Tensors []model.Tensor
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

// Serving says what a process that answers rank 0 knows better than rank 0. All
// of it may be left out.
type Serving struct {
	Adjust  func(*train.EngineConfig) // to this machine, before an engine is opened
	Stop    <-chan struct{}           // closed when this process is asked to stop, which rank 0 is told at once
	Silence time.Duration             // after which a silent rank 0 is given up; 0: never
}

// errGone is Serve's where rank 0 went away without a word.
var errGone = fmt.Errorf("rank 0: %w", train.ErrPeerLost)

// Serve is the life of a process other than rank 0 (Spawn, Gather): it answers
// requests until it is told to end, and gives the code that rank 0 ends with.
// Where an engine fails, rank 0 is told and the engine closed, so that the others,
// waiting for its gradients, find out. Where in ends without a word, or rank 0 is
// silent for too long, the error is train.ErrPeerLost; it comes within seconds even
// while the engine hangs in an exchange.
func Serve(b Backend, in io.Reader, out io.Writer, o Serving) (code int, err error) {
	return serveLink(b, newLink(in, out, func() {}), o)
}

func serveLink(b Backend, l *link, o Serving) (code int, err error) {
	v := &server{Serving: o, backend: b, store: newRemoteStore(l)}
	asked, ended := make(chan request, 1), make(chan int, 1)
	go l.run(v.silence, func(m message) {
		switch m.Kind {
		case isAsk:
			select {
			case asked <- *m.Ask:
			default:
				l.end(errors.New("rank 0 asked twice at a time"))
			}
		case isStored:
			v.store.answered(m)
		case isAbort:
			go v.abort()
		case isEnd:
			select {
			case ended <- m.Code:
			default:
			}
		}
	})
	var answered chan reply
	for stop := o.Stop; ; {
		select {
		case <-stop:
			stop = nil
			go l.send(message{Kind: isStop}) // rank 0 may be slow to read
		case q := <-asked:
			answered = make(chan reply, 1)
			go func() { answered <- v.answer(q) }()
		case a := <-answered:
			answered = nil
			l.send(message{Kind: isAnswer, Answer: &a}) // an error has ended the link
		case code := <-ended:
			v.leave(answered)
			return code, nil
		case <-l.gone:
			select { // rank 0's last word may have come before the end
			case code := <-ended:
				v.leave(answered)
				return code, nil
			default:
			}
			v.leave(answered)
			return 0, fmt.Errorf("%w: %w", errGone, l.err)
		}
	}
}

// server is a process that answers rank 0, with its engine.
type server struct {
	Serving
	backend Backend
	store   *remoteStore
	mu      sync.Mutex // holds while an engine is closed or aborted
	engine  train.Engine
}

// silence is how long rank 0 may be silent now.
func (v *server) silence() time.Duration {
	select {
	case <-v.Stop:
		return min(v.Silence, Hurry)
	default:
		return v.Silence
	}
}

func (v *server) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.engine != nil {
		v.engine.Close()
		v.engine = nil
	}
}

func (v *server) abort() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.engine != nil {
		abort(v.engine)
	}
}

// leave closes the engine, if what it does ends soon.
func (v *server) leave(answered <-chan reply) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if answered != nil {
			v.abort()
			<-answered
		}
		v.close()
	}()
	select {
	case <-done:
	case <-time.After(settle):
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
		err = v.open(q)
	case v.engine == nil:
		err = errors.New("asked before the engine was opened")
	default:
		a, err = serve(v.engine, q)
	}
	if err != nil {
		v.close()
		a = refusal(err)
	}
	return a
}

func (v *server) open(q request) error {
	if v.Adjust != nil {
		v.Adjust(&q.Config)
	}
	q.Config.Group.Store = v.store
	e, err := v.backend.NewEngine(q.Network, q.Config)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.engine = e
	return nil
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
