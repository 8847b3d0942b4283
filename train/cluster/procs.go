package cluster

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train"
)

// Procs is a train.Engine that works as several processes. This one is rank 0: it
// holds the data and alone writes; each other is sent its share of every batch
// and answers with its counts. Gradients go from process to process
// (train.Group), so that all hold the same weights after every step.
type Procs struct {
	members *Members
	own     train.Engine
	others  []*rank // ranks 1 and up
	store   *store  // where the processes leave their addresses
	broken  error   // why no further step can be made
	stuck   bool    // own hangs
	alone   bool    // the members are this engine's, and end with it
}

// NewProcs is an engine of n processes that live as long as it does: Spawn's with
// the Members' NewEngine.
func NewProcs(b Backend, network *model.Network, cfg train.EngineConfig, n int, spawn func() *exec.Cmd) (*Procs, error) {
	if n < 2 || cfg.Batch%(n*max(cfg.Accumulate, 1)) != 0 { // before anything is started
		return nil, fmt.Errorf("new engine: batch %d cannot be worked through by %d processes in %d microbatches", cfg.Batch, n, max(cfg.Accumulate, 1))
	}
	m, err := Spawn(context.Background(), b, n, spawn, Terms{})
	if err != nil {
		return nil, fmt.Errorf("new engine: %w", err)
	}
	m.timeout = cfg.Group.Timeout
	p, err := m.NewEngine(network, cfg)
	if err != nil {
		m.Release(1)
		return nil, err
	}
	p.alone = true
	return p, nil
}

// open builds every process's engine for its share of cfg's batch.
func (p *Procs) open(network *model.Network, cfg train.EngineConfig) error {
	m := p.members
	n := len(p.others) + 1
	cfg.Batch /= n
	at := func(i int) train.EngineConfig {
		c := cfg
		c.Device = m.device(cfg.Device, i)
		c.Group = train.Group{Rank: i, World: n, Host: m.hosts[i], Timeout: m.timeout}
		return c
	}
	_, err := p.together(func(i int) request { return request{Kind: askOpen, Network: network, Config: at(i)} }, func() (err error) {
		c := at(0)
		c.Group.Store = p.store
		p.own, err = m.backend.NewEngine(network, c)
		return err
	})
	return err
}

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
	w := waiting{p: p, left: map[int]bool{}, replies: make([]reply, len(p.others))}
	for i := range len(p.others) + 1 {
		w.left[i] = true
	}
	for len(w.left) > 0 {
		select {
		case o := <-done:
			w.came(o)
		case <-w.settled:
			w.callOff()
		case <-w.late:
			w.giveUp()
		}
	}
	p.broken = w.cause
	return w.replies, w.cause
}

// waiting is for whom together waits, once some have answered.
type waiting struct {
	p       *Procs
	left    map[int]bool // by rank
	replies []reply
	cause   error            // that tells most; of several the first rank's
	of      int              // whose it is
	settled <-chan time.Time // when those that can have found out by themselves
	late    <-chan time.Time // when nobody else is waited for
}

func (w *waiting) came(o outcome) {
	delete(w.left, o.rank)
	if o.rank > 0 {
		w.replies[o.rank-1] = o.reply
	}
	if t, was := tells(o.err), tells(w.cause); t > was || t > 0 && t == was && o.rank < w.of {
		w.cause, w.of = o.err, o.rank
	}
	if o.err != nil && w.late == nil {
		w.p.store.close() // nothing comes of a meeting without all
		w.settled, w.late = time.After(settle), time.After(patience)
	}
}

// callOff ends the exchange for those that still wait for the one that is lost.
func (w *waiting) callOff() {
	for i := range w.left {
		if i == 0 {
			abort(w.p.own)
			continue
		}
		r := w.p.others[i-1]
		go r.link.send(message{Kind: isAbort}) // to one that may not read
	}
}

// giveUp stops waiting for the others and then, where this process's own part is
// a long one, for it as well.
func (w *waiting) giveUp() {
	own := w.left[0]
	if own && len(w.left) > 1 {
		w.left = map[int]bool{0: true}
		w.late = time.After(w.p.members.terms.silence(w.p.members.ctx.Err() != nil))
		return
	}
	if own { // its memory cannot be relied on either
		w.p.stuck = true
		w.cause = fmt.Errorf("%w: %v", train.ErrPeerLost, w.cause)
	}
	clear(w.left)
}

// abort ends an engine's exchange with the others, where it can.
func abort(e train.Engine) {
	if a, ok := e.(interface{ Abort() }); ok {
		a.Abort()
	}
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
	// What the step found is summed over the group by the engines themselves, before the
	// update: a process that breaks off behind that has given its part.
	whole := false
	_, err = p.together(func(i int) request { return request{Kind: askStep, Batch: cut(b, i, n), Step: at(i)} }, func() (err error) {
		m, err = p.own.Step(cut(b, 0, n).batch(), at(0))
		whole = err == nil
		return err
	})
	if err != nil && !p.stuck && whole {
		return m, nil // the next call gives the error
	}
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

// measured is an engine that tells what memory it uses.
type measured interface {
	Memory() (now, peak int64, err error)
	CountMemoryAnew() error
}

func (p *Procs) measured() (measured, error) {
	if p.stuck || p.own == nil {
		return nil, p.broken
	}
	m, ok := p.own.(measured)
	if !ok {
		return nil, errors.New("the engine does not tell what memory it uses")
	}
	return m, nil
}

// Memory is rank 0's, in bytes: what is held, and the most that was.
func (p *Procs) Memory() (now, peak int64, err error) {
	m, err := p.measured()
	if err != nil {
		return 0, 0, err
	}
	return m.Memory()
}

// CountMemoryAnew lets rank 0's peak begin here.
func (p *Procs) CountMemoryAnew() error {
	m, err := p.measured()
	if err != nil {
		return err
	}
	return m.CountMemoryAnew()
}

// Close frees the engine, here and in the other processes.
func (p *Procs) Close() error {
	if p.members == nil {
		return nil
	}
	lost := errors.Is(p.broken, train.ErrPeerLost)
	if p.broken == nil {
		p.broken = errors.New("the engine is closed")
	}
	p.store.close()
	var err error
	if p.own != nil && !p.stuck { // first: a process that waits for its gradients finds out
		err = p.own.Close()
	}
	switch {
	case p.alone:
		p.members.Release(0)
	case !lost: // else some would not answer, and there is no engine after this one
		p.members.each(func(r *rank) { r.ask(request{Kind: askClose}) })
	}
	p.members, p.others, p.own = nil, nil, nil
	return err
}
