package cluster

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train"
)

// fakeBackend makes engines that note what they are asked and fail as told.
type fakeBackend struct {
	mu      sync.Mutex
	engines map[int]*fakeEngine // by rank
	fail    func(rank int) error
}

func (b *fakeBackend) NewEngine(_ *model.Network, cfg train.EngineConfig) (train.Engine, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := &fakeEngine{rank: cfg.Group.Rank, cfg: cfg, backend: b}
	b.engines[e.rank] = e
	return e, nil
}

func (b *fakeBackend) Meet(train.Meeting, string) (string, error) { return "", errors.New("not met") }
func (b *fakeBackend) Version() string                            { return "fake" }

type fakeEngine struct {
	rank    int
	cfg     train.EngineConfig
	backend *fakeBackend
	labels  []int64
	seed    uint64
	state   []string
	closed  atomic.Bool
}

func (e *fakeEngine) err() error {
	if e.backend.fail == nil {
		return nil
	}
	return e.backend.fail(e.rank)
}

func (e *fakeEngine) Step(b *loader.Batch, s train.Step) (train.Metrics, error) {
	e.labels, e.seed = b.Labels, s.Seed
	return train.Metrics{Loss: 0.5}, e.err()
}

func (e *fakeEngine) Evaluate(b *loader.Batch, _ bool) (train.EvalMetrics, error) {
	return train.EvalMetrics{N: len(b.Labels), Top1: 1, Top5: 2, Loss: 0.25}, e.err()
}

func (e *fakeEngine) State() ([]model.Tensor, error) { return nil, nil }

func (e *fakeEngine) SetState(tensors []model.Tensor) error {
	for _, t := range tensors {
		e.state = append(e.state, t.Name)
	}
	return nil
}

func (e *fakeEngine) Close() error { e.closed.Store(true); return nil }

// inProcess is an engine of n ranks, all but the first served by goroutines; hangUp
// ends a rank without a word.
func inProcess(t *testing.T, n int, b *fakeBackend, o Serving, terms Terms) (p *Procs, hangUp func(rank int)) {
	t.Helper()
	m := &Members{ctx: t.Context(), terms: terms, backend: b, hosts: make([]string, n), device: func(given string, _ int) string { return given }}
	m.store.Store(newStore())
	for rank := 1; rank < n; rank++ {
		fromHere, toRank := io.Pipe()
		fromRank, toHere := io.Pipe()
		go func() {
			defer toHere.Close()
			defer fromHere.Close()
			Serve(b, fromHere, toHere, o) // its error is what rank 0 is told, or that the pipe ended
		}()
		m.join(rank, fmt.Sprintf("rank %d's process", rank), fromRank, toRank, func() { fromRank.Close(); toRank.Close() })
		t.Cleanup(func() { toRank.Close() })
	}
	p, err := m.NewEngine(&model.Network{}, train.EngineConfig{Device: "cpu", Batch: 2 * n})
	if err != nil {
		t.Fatal(err)
	}
	return p, func(rank int) { m.others[rank-1].link.end(io.EOF) }
}

func fiveImages() *loader.Batch {
	return &loader.Batch{Images: make([]byte, 5*3), Labels: []int64{4, 3, 2, 1, 0}, Size: 1, N: 5}
}

// TestEachRankHasItsShare: a batch is cut among all, seeds differ, state reaches
// everyone, counts are summed, and a rank that was asked to stop is heard.
func TestEachRankHasItsShare(t *testing.T) {
	b := &fakeBackend{engines: map[int]*fakeEngine{}}
	var stops atomic.Int32
	stop := make(chan struct{})
	close(stop)
	p, _ := inProcess(t, 3, b, Serving{Stop: stop}, Terms{OnStop: func() { stops.Add(1) }})
	if err := p.SetState([]model.Tensor{{Name: "a"}, {Name: "b"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Step(fiveImages(), train.Step{Seed: 7}); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Batch  int
		Labels []int64
		Seed   uint64
		State  []string
	}
	got := map[int]seen{}
	for rank, e := range b.engines {
		got[rank] = seen{e.cfg.Batch, e.labels, e.seed, e.state}
	}
	want := map[int]seen{
		0: {2, []int64{4}, 7, []string{"a", "b"}},
		1: {2, []int64{3, 2}, 7 + 1<<40, []string{"a", "b"}},
		2: {2, []int64{1, 0}, 7 + 2<<40, []string{"a", "b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what each rank has (-want +got):\n%s", diff)
	}
	sum, err := p.Evaluate(fiveImages(), false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(train.EvalMetrics{N: 5, Top1: 3, Top5: 6, Loss: 0.75}, sum); diff != "" {
		t.Errorf("evaluation (-want +got):\n%s", diff)
	}
	for end := time.Now().Add(time.Minute); stops.Load() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if stops.Load() == 0 {
		t.Error("ranks were asked to stop, and rank 0 does not know")
	}
	if err := p.Close(); err != nil || !b.engines[0].closed.Load() {
		t.Errorf("close: %v", err)
	}
}

// TestTheErrorThatTellsMost: when several ranks fail over one cause, the one that
// knows it is heard, whoever is first.
func TestTheErrorThatTellsMost(t *testing.T) {
	for _, c := range []struct {
		name string
		fail map[int]error
		gone int // rank that ends without a word
		want string
		is   error
	}{
		{"a mistake of one", map[int]error{0: train.ErrPeerLost, 1: errors.New("label 8"), 2: train.ErrPeerLost}, 0, "rank 1: label 8", nil},
		{"mistakes of two", map[int]error{0: train.ErrPeerLost, 1: errors.New("label 8"), 2: errors.New("label 9")}, 0, "rank 1: label 8", nil},
		{"memory", map[int]error{0: errors.New("broke off"), 2: fmt.Errorf("step: %w", train.ErrOutOfMemory)}, 0, "rank 2", train.ErrOutOfMemory},
		{"a process gone", map[int]error{0: train.ErrPeerLost, 1: train.ErrPeerLost}, 2, "rank 2's process", train.ErrPeerLost},
		{"lost, by nobody known", map[int]error{0: train.ErrPeerLost}, 0, "", train.ErrPeerLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &fakeBackend{engines: map[int]*fakeEngine{}}
			p, hangUp := inProcess(t, 3, b, Serving{}, Terms{})
			b.fail = func(rank int) error {
				if rank == 1 { // and nobody is first because he is faster
					time.Sleep(10 * time.Millisecond)
				}
				return c.fail[rank]
			}
			if c.gone > 0 {
				hangUp(c.gone)
			}
			_, err := p.Step(fiveImages(), train.Step{})
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v; want %q, %v", err, c.want, c.is)
			}
			if _, again := p.Step(fiveImages(), train.Step{}); !errors.Is(again, err) {
				t.Errorf("a further step: %v", again)
			}
		})
	}
}
