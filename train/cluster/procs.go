package cluster

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train"
)

// patience is how long a step may go on after another process was lost: the
// time in which the process group finds out by itself.
const patience = 10 * time.Second

// Procs is a train.Engine that works as several processes. This one is rank 0: it
// holds the data and alone writes; each other is sent its share of every batch
// and answers with its counts. Gradients go from process to process
// (train.Group), so that all hold the same weights after every step.
type Procs struct {
	own    train.Engine
	others []*rank // ranks 1 and up
	broken error   // why no further step can be made
	stuck  bool    // own hangs in an exchange that no one comes to
	abort  func()  // what is done at once when a process is lost
	end    func()  // what is done with the others in the end, after own is closed
}

// rank is another process, as this one sees it.
type rank struct {
	number  int
	name    string      // how errors call it
	process *os.Process // where NewProcs started it
	send    *gob.Encoder
	answer  *gob.Decoder
	free    chan struct{} // holds one token while no request is under way
	stopped func()        // called when it says that it was asked to stop
}

func newRank(number int, name string, in io.Writer, out io.Reader) *rank {
	r := &rank{number: number, name: name, send: gob.NewEncoder(in), answer: gob.NewDecoder(out), free: make(chan struct{}, 1), stopped: func() {}}
	r.free <- struct{}{}
	return r
}

// NewProcs builds an engine of n processes. Batch is that of all together and
// must go evenly into them and into Accumulate; cfg.Group is filled in here. On
// CUDA rank i has device cuda:i. spawn gives a command not yet started that
// calls Serve on its standard input and output. One that fails ends the others:
// the error is the one that tells most, as that of every later call.
func NewProcs(b Backend, network *model.Network, cfg train.EngineConfig, n int, spawn func() *exec.Cmd) (*Procs, error) {
	if n < 2 || cfg.Batch%(n*max(cfg.Accumulate, 1)) != 0 {
		return nil, fmt.Errorf("new engine: batch %d cannot be worked through by %d processes in %d microbatches", cfg.Batch, n, max(cfg.Accumulate, 1))
	}
	port, err := freePort("127.0.0.1")
	if err != nil {
		return nil, fmt.Errorf("new engine: %w", err)
	}
	group := train.Group{World: n, MasterAddr: "127.0.0.1", MasterPort: port, Timeout: cfg.Group.Timeout}
	var killers []func()
	kill := func() {
		for _, k := range killers {
			k()
		}
		killers = nil
	}
	var others []*rank
	for i := 1; i < n; i++ {
		r, k, err := start(i, spawn())
		if err != nil {
			kill()
			return nil, fmt.Errorf("new engine: %w", err)
		}
		others, killers = append(others, r), append(killers, k)
	}
	p := &Procs{others: others, abort: kill, end: kill}
	err = p.open(b, network, cfg, func(i int) (train.Group, string) {
		if cfg.Device == "cpu" {
			return group, cfg.Device
		}
		return group, fmt.Sprintf("cuda:%d", i)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// open builds every process's engine for its share of cfg's batch; place gives
// the group as a rank is to see it, and its device. After an error p is closed.
func (p *Procs) open(b Backend, network *model.Network, cfg train.EngineConfig, place func(rank int) (train.Group, string)) error {
	n := len(p.others) + 1
	cfg.Batch /= n
	at := func(i int) train.EngineConfig {
		c := cfg
		c.Group, c.Device = place(i)
		c.Group.Rank = i
		return c
	}
	_, err := p.together(func(i int) request { return request{Kind: askOpen, Network: network, Config: at(i)} }, func() (err error) {
		p.own, err = b.NewEngine(network, at(0))
		return err
	})
	if err != nil {
		p.Close()
	}
	return err
}

// freePort is a TCP port of a host's that no one listens at; "" is every
// interface.
func freePort(host string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start runs a process that calls Serve, and gives what ends it: it holds
// nothing that rank 0 has not.
func start(number int, cmd *exec.Cmd) (*rank, func(), error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("process of rank %d: %w", number, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, fmt.Errorf("process of rank %d: %w", number, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("process of rank %d: %w", number, err)
	}
	kill := func() {
		cmd.Process.Kill()
		in.Close()
		cmd.Wait() // killed: its status says nothing
	}
	r := newRank(number, fmt.Sprintf("process %d of rank %d", cmd.Process.Pid, number), in, out)
	r.process = cmd.Process
	return r, kill, nil
}

// ask sends a request, once the one before it is answered, and waits for its
// answer.
func (r *rank) ask(q request) (reply, error) {
	<-r.free
	defer func() { r.free <- struct{}{} }()
	var a reply
	err := r.send.Encode(q)
	if err == nil {
		err = r.answer.Decode(&a)
	}
	if err != nil {
		return a, &goneError{r.name, err}
	}
	if a.Stop {
		r.stopped()
	}
	if err := a.err(); err != nil {
		return a, fmt.Errorf("rank %d: %w", r.number, err)
	}
	return a, nil
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

// tells ranks errors by how near they are to what went wrong, when several
// processes fail over one cause: memory that ran out, then what is a process's
// own, then which process is gone, then that one of them is.
func tells(err error) int {
	var gone *goneError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, train.ErrOutOfMemory):
		return 4
	case !errors.Is(err, train.ErrPeerLost):
		return 3
	case errors.As(err, &gone):
		return 2
	}
	return 1
}

// outcome is what one process made of a request; rank 0 is this one.
type outcome struct {
	rank  int
	reply reply
	err   error
}

// together asks every other process while own runs here, and gives their
// answers. One that fails ends all; the error is the one that tells most.
func (p *Procs) together(ask func(rank int) request, own func() error) ([]reply, error) {
	if p.broken != nil {
		return nil, p.broken
	}
	done := make(chan outcome, len(p.others)+1)
	for _, r := range p.others {
		go func() {
			a, err := r.ask(ask(r.number))
			done <- outcome{r.number, a, err}
		}()
	}
	go func() { done <- outcome{err: own()} }()
	replies := make([]reply, len(p.others))
	var cause error
	var late <-chan time.Time
	waiting := map[int]bool{}
	for i := range len(p.others) + 1 {
		waiting[i] = true
	}
	for len(waiting) > 0 {
		select {
		case o := <-done:
			delete(waiting, o.rank)
			if o.rank > 0 {
				replies[o.rank-1] = o.reply
			}
			if tells(o.err) > tells(cause) {
				cause = o.err
			}
			if o.err != nil && late == nil {
				late = time.After(patience)
			}
		case <-late:
			p.stuck = waiting[0]
			if p.stuck { // its memory cannot be relied on either
				cause = fmt.Errorf("%w: %v", train.ErrPeerLost, cause)
			}
			clear(waiting)
		}
	}
	if cause != nil {
		p.broken = cause
		p.abort()
	}
	return replies, cause
}

// Step implements train.Engine.
func (p *Procs) Step(b *loader.Batch, s train.Step) (m train.Metrics, err error) {
	n := len(p.others) + 1
	if len(b.Labels) < n {
		return m, fmt.Errorf("step: %d images for %d processes", len(b.Labels), n)
	}
	at := func(i int) train.Step {
		step := s
		step.Seed += uint64(i) << 40 // dropout differs from process to process
		return step
	}
	// What the step found is summed over the group by the engines themselves.
	_, err = p.together(func(i int) request { return request{Kind: askStep, Batch: cut(b, i, n), Step: at(i)} }, func() (err error) {
		m, err = p.own.Step(cut(b, 0, n).batch(), at(0))
		return err
	})
	return m, err
}

// Evaluate implements train.Engine: each image is counted by one process.
func (p *Procs) Evaluate(b *loader.Batch, ema bool) (sum train.EvalMetrics, err error) {
	n := len(p.others) + 1
	var own train.EvalMetrics
	replies, err := p.together(func(i int) request { return request{Kind: askEvaluate, Batch: cut(b, i, n), EMA: ema} }, func() (err error) {
		if mine := cut(b, 0, n).batch(); len(mine.Labels) > 0 {
			own, err = p.own.Evaluate(mine, ema)
		}
		return err
	})
	if err != nil {
		return sum, err
	}
	sum = own
	for _, r := range replies {
		sum.N += r.Eval.N
		sum.Top1 += r.Eval.Top1
		sum.Top5 += r.Eval.Top5
		sum.Loss += r.Eval.Loss
	}
	return sum, nil
}

// State implements train.Engine; it is every process's.
func (p *Procs) State() ([]model.Tensor, error) {
	if p.stuck || p.own == nil {
		return nil, p.broken
	}
	return p.own.State()
}

// SetState implements train.Engine.
func (p *Procs) SetState(tensors []model.Tensor) error {
	for _, t := range tensors { // one at a time: a message has a greatest length
		one := []model.Tensor{t}
		if _, err := p.together(func(int) request { return request{Kind: askSet, Tensors: one} }, func() error { return p.own.SetState(one) }); err != nil {
			return err
		}
	}
	return nil
}

// rankState is the state as another process has it.
func (p *Procs) rankState(number int) ([]model.Tensor, error) {
	r := p.others[number-1]
	a, err := r.ask(request{Kind: askState})
	return a.Tensors, err
}

// Memory is rank 0's, in bytes: see torch.Engine.Memory.
func (p *Procs) Memory() (now, peak int64, err error) {
	if p.stuck || p.own == nil {
		return 0, 0, p.broken
	}
	m, ok := p.own.(interface {
		Memory() (now, peak int64, err error)
	})
	if !ok {
		return 0, 0, errors.New("the engine does not tell what memory it uses")
	}
	return m.Memory()
}

// Close frees the engine, here and in the other processes. Those that NewProcs
// started are ended.
func (p *Procs) Close() error {
	if p.broken == nil {
		p.broken = errors.New("the engine is closed")
	}
	var err error
	if p.own != nil && !p.stuck { // first: a process that waits for its gradients finds out
		err = p.own.Close()
	}
	p.end()
	p.others, p.own = nil, nil
	return err
}
