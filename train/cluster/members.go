package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train"
)

const (
	// patience is how long what should come at once may take.
	patience = 10 * time.Second
	// settle is the time in which a group that lost a process finds out by itself.
	settle = 2 * time.Second
	// Silence is after how long a process that gives no sign of life is given up,
	// where nothing else is said.
	Silence = time.Minute
	// Hurry is the same once the group is to stop: schedulers kill half a minute
	// after they ask.
	Hurry = 10 * time.Second
)

// Terms is what a group keeps to.
type Terms struct {
	Silence time.Duration // after which a silent process is given up; 0 is a minute
	OnStop  func()        // called when another process was asked to stop; from any goroutine
}

// silence is how long a process may be silent now.
func (t Terms) silence(stopping bool) time.Duration {
	d := t.Silence
	if d == 0 {
		d = Silence
	}
	if stopping {
		d = min(d, Hurry)
	}
	return d
}

// Members are the other processes of a group, as rank 0 has them: each waits to be
// asked for an engine. Once their context is cancelled a silent one is given up
// sooner (Hurry).
type Members struct {
	ctx     context.Context
	terms   Terms
	backend Backend
	others  []*rank
	hosts   []string                            // by rank: where it listens for gradients
	device  func(given string, rank int) string // each one's
	timeout time.Duration                       // for connecting and exchanging
	store   atomic.Pointer[store]               // of the engine there is
	reaped  sync.WaitGroup                      // processes that Spawn started
}

// rank is another process, as this one sees it.
type rank struct {
	number  int
	name    string // how errors call it
	link    *link
	answers chan reply
	free    chan struct{} // holds one token while no request is under way
	process *os.Process   // where Spawn started it
}

// join takes a process in: from here on it is heard.
func (m *Members) join(number int, name string, in io.Reader, out io.Writer, hangUp func()) *rank {
	r := &rank{number: number, name: name, link: newLink(in, out, hangUp), answers: make(chan reply, 1), free: make(chan struct{}, 1)}
	r.free <- struct{}{}
	m.others = append(m.others, r)
	go r.link.run(func() time.Duration { return m.terms.silence(m.ctx.Err() != nil) }, func(said message) { m.heard(r, said) })
	return r
}

// heard is what is done with a process's word.
func (m *Members) heard(r *rank, said message) {
	switch said.Kind {
	case isAnswer:
		select {
		case r.answers <- *said.Answer:
		default:
			r.link.end(errors.New("an answer that was not asked for"))
		}
	case isStop:
		if m.terms.OnStop != nil {
			m.terms.OnStop()
		}
	case isStore:
		s := m.store.Load()
		go func() {
			answer := message{Kind: isStored, Call: said.Call}
			var err error
			if answer.Stored, err = s.Do(said.Store); err != nil {
				answer.Error = err.Error()
			}
			r.link.send(answer) // an error has ended the link
		}()
	}
}

// Spawn starts the other processes of a group of n on this machine. spawn gives a
// command not yet started that calls Serve on its standard input and output. On
// CUDA rank i has device cuda:i.
func Spawn(ctx context.Context, b Backend, n int, spawn func() *exec.Cmd, t Terms) (*Members, error) {
	m := &Members{ctx: ctx, terms: t, backend: b}
	m.store.Store(newStore())
	m.device = func(given string, rank int) string {
		if given == "cpu" {
			return given
		}
		return fmt.Sprintf("cuda:%d", rank)
	}
	for range n {
		m.hosts = append(m.hosts, "127.0.0.1")
	}
	for i := 1; i < n; i++ {
		if err := m.start(i, spawn()); err != nil {
			m.Release(1)
			return nil, fmt.Errorf("process of rank %d: %w", i, err)
		}
	}
	return m, nil
}

// start runs a process that calls Serve. It holds nothing that rank 0 has not, so
// that it is killed where it cannot be told to end.
func (m *Members) start(number int, cmd *exec.Cmd) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	name := fmt.Sprintf("process %d of rank %d", cmd.Process.Pid, number)
	r := m.join(number, name, out, in, func() {
		cmd.Process.Kill()
		in.Close()
	})
	r.process = cmd.Process
	m.reaped.Go(func() {
		<-r.link.gone
		cmd.Wait() // its status says no more than its silence
	})
	return nil
}

// NewEngine is an engine of all the group's processes; there may be one at a time.
// cfg's batch is that of all together and must go evenly into them and into
// Accumulate; cfg.Group is filled in here.
func (m *Members) NewEngine(network *model.Network, cfg train.EngineConfig) (*Procs, error) {
	n := len(m.others) + 1
	if n < 2 || cfg.Batch%(n*max(cfg.Accumulate, 1)) != 0 {
		return nil, fmt.Errorf("new engine: batch %d cannot be worked through by %d processes in %d microbatches", cfg.Batch, n, max(cfg.Accumulate, 1))
	}
	s := newStore()
	m.store.Store(s)
	p := &Procs{members: m, others: m.others, store: s}
	if err := p.open(network, cfg); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Release ends the other processes' Serve with a code, and waits until they are
// gone. Those that cannot be told find the connection at an end, and are killed
// where Spawn started them.
func (m *Members) Release(code int) {
	m.each(func(r *rank) {
		if r.link.send(message{Kind: isEnd, Code: code}) == nil {
			<-r.link.gone
		}
	})
	for _, r := range m.others {
		r.link.end(errReleased)
	}
	m.reaped.Wait()
}

var errReleased = errors.New("released")

// each calls f for every other process at a time and waits for some seconds.
func (m *Members) each(f func(*rank)) {
	var all sync.WaitGroup
	for _, r := range m.others {
		all.Go(func() { f(r) })
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
	}
}

// ask sends a request, once the one before it is answered, and waits for its
// answer.
func (r *rank) ask(q request) (reply, error) {
	select {
	case <-r.free:
	case <-r.link.gone:
		return reply{}, &goneError{r.name, r.link.err}
	}
	defer func() { r.free <- struct{}{} }()
	if err := r.link.send(message{Kind: isAsk, Ask: &q}); err != nil {
		<-r.link.gone // which says why
		return reply{}, &goneError{r.name, r.link.err}
	}
	select {
	case a := <-r.answers:
		if err := a.err(); err != nil {
			return a, fmt.Errorf("rank %d: %w", r.number, err)
		}
		return a, nil
	case <-r.link.gone:
		return reply{}, &goneError{r.name, r.link.err}
	}
}

// goneError is a process whose connection is at an end.
type goneError struct {
	name  string
	cause error
}

func (e *goneError) Error() string {
	return fmt.Sprintf("%s: %v: %v", e.name, train.ErrPeerLost, e.cause)
}
func (e *goneError) Unwrap() []error { return []error{train.ErrPeerLost, e.cause} }
