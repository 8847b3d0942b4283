package cluster

import (
	"context"
	"crypto/rand"
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train"
)

// meetingTime is how long the processes of a group wait for each other where
// nothing else is said.
const meetingTime = 5 * time.Minute

func (l Launch) timeout() time.Duration {
	if l.Timeout > 0 {
		return l.Timeout
	}
	return meetingTime
}

// keepAlive finds a machine that is gone without a word in some ten seconds.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 4 * time.Second, Interval: 2 * time.Second, Count: 3}

// hello is what another process says first to rank 0.
type hello struct {
	Token string // as rank 0 gave it at the meeting
	Rank  int
	Torch string // its libtorch, which must be rank 0's
}

// Members are the other processes of a launched group, as rank 0 has them:
// each waits to be asked for an engine.
type Members struct {
	backend Backend
	launch  Launch
	others  []*rank
	conns   []net.Conn
}

// Gather waits, as rank 0, until all processes of the group have come. onStop
// is called, from any goroutine, when one of them says that it was asked to
// stop. One that does not come within l.Timeout is train.ErrPeerLost; another
// libtorch than rank 0's, or a rank that came twice, is an error too. The end of
// ctx is its error. Release must be called in the end.
func Gather(ctx context.Context, b Backend, l Launch, onStop func()) (*Members, error) {
	listener, err := (&net.ListenConfig{KeepAliveConfig: keepAlive}).Listen(ctx, "tcp", ":0")
	if err != nil {
		return nil, fmt.Errorf("gather the group: %w", err)
	}
	defer listener.Close()
	token := rand.Text()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	if _, err := meet(ctx, b, l, fmt.Sprintf("%d %s", listener.Addr().(*net.TCPAddr).Port, token)); err != nil {
		return nil, err
	}
	m := &Members{backend: b, launch: l, others: make([]*rank, l.World-1), conns: make([]net.Conn, l.World-1)}
	if err := m.accept(listener.(*net.TCPListener), token); err != nil {
		m.hangUp()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("gather the group: %w", err)
	}
	for _, r := range m.others {
		r.stopped = onStop
	}
	return m, nil
}

// meet hands rank 0's word to every other process of a launched group. All must
// call it; when it returns, all were there. When ctx ends before, the meeting is
// left behind.
func meet(ctx context.Context, b Backend, l Launch, word string) (string, error) {
	type met struct {
		word string
		err  error
	}
	done := make(chan met, 1)
	go func() {
		w, err := b.Meet(train.Meeting{
			Addr: l.MasterAddr, Port: l.MasterPort, Name: fmt.Sprintf("synshard/%d", l.Attempt),
			Rank: l.Rank, World: l.World, Hosted: l.Hosted, Timeout: l.timeout(),
		}, word)
		done <- met{w, err}
	}()
	select {
	case m := <-done:
		return m.word, m.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (m *Members) accept(listener *net.TCPListener, token string) error {
	until := time.Now().Add(m.launch.timeout())
	if err := listener.SetDeadline(until); err != nil {
		return err
	}
	for present := 1; present < m.launch.World; {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("%d of %d processes came: %w: %w", present, m.launch.World, train.ErrPeerLost, err)
		}
		var h hello
		conn.SetDeadline(until)
		d := gob.NewDecoder(conn)
		if err := d.Decode(&h); err != nil || h.Token != token {
			conn.Close() // someone else's
			continue
		}
		conn.SetDeadline(time.Time{})
		switch {
		case h.Torch != m.backend.Version():
			err = fmt.Errorf("rank %d has libtorch %s, rank 0 %s", h.Rank, h.Torch, m.backend.Version())
		case h.Rank < 1 || h.Rank >= m.launch.World || m.conns[h.Rank-1] != nil:
			err = fmt.Errorf("two processes say that they are rank %d, or it is out of range", h.Rank)
		}
		if err != nil {
			conn.Close()
			return err
		}
		r := newRank(h.Rank, fmt.Sprintf("rank %d at %v", h.Rank, conn.RemoteAddr()), conn, conn)
		r.answer = d // it may have read on
		m.others[h.Rank-1], m.conns[h.Rank-1] = r, conn
		present++
	}
	return nil
}

// NewEngine is NewProcs' with the gathered processes: cfg's batch is that of
// all together. The others find their devices themselves.
func (m *Members) NewEngine(network *model.Network, cfg train.EngineConfig) (*Procs, error) {
	n := m.launch.World
	if cfg.Batch%(n*max(cfg.Accumulate, 1)) != 0 {
		return nil, fmt.Errorf("new engine: batch %d cannot be worked through by %d processes in %d microbatches", cfg.Batch, n, max(cfg.Accumulate, 1))
	}
	port, err := freePort("")
	if err != nil {
		return nil, fmt.Errorf("new engine: %w", err)
	}
	hosts := m.hosts()
	p := &Procs{others: m.others, abort: func() {}, end: m.closeEngines}
	err = p.open(m.backend, network, cfg, func(i int) (train.Group, string) {
		return train.Group{World: n, MasterAddr: hosts[0], Host: hosts[i], MasterPort: port, Timeout: m.launch.Timeout}, cfg.Device
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// hosts is each rank's own address, as the others reach it: what its connection
// with rank 0 shows, but for those that came over rank 0's loopback where
// others come from afar.
func (m *Members) hosts() []string {
	host := func(a net.Addr) string { return a.(*net.TCPAddr).IP.String() }
	all := []string{host(m.conns[0].LocalAddr())}
	for _, c := range m.conns {
		if local := c.LocalAddr().(*net.TCPAddr); !local.IP.IsLoopback() {
			all[0] = local.IP.String()
		}
	}
	for _, c := range m.conns {
		if c.RemoteAddr().(*net.TCPAddr).IP.IsLoopback() {
			all = append(all, all[0])
		} else {
			all = append(all, host(c.RemoteAddr()))
		}
	}
	return all
}

// closeEngines has the others close their engines, and waits for those that
// are not stuck.
func (m *Members) closeEngines() {
	m.each(func(r *rank) { r.ask(request{Kind: askClose}) })
}

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

// Release ends the other processes' Serve with an exit code. Those that cannot be
// told find the connection at an end. The engine is closed before it.
func (m *Members) Release(code int) {
	m.each(func(r *rank) {
		<-r.free // for good: nothing is asked after it
		r.send.Encode(request{Kind: askEnd, Code: code})
	})
	m.hangUp()
}

func (m *Members) hangUp() {
	for _, c := range m.conns {
		if c != nil {
			c.Close()
		}
	}
}

// Follow is the life of a process of a launched group that is not rank 0; it
// gives the code that rank 0 ends with. ctx ends the wait for the others; from
// then on it is rank 0 that ends this process. Without rank 0 the error is
// train.ErrPeerLost.
func Follow(ctx context.Context, b Backend, l Launch, o Serving) (code int, err error) {
	word, err := meet(ctx, b, l, "")
	if err != nil {
		return 0, err
	}
	port, token, ok := strings.Cut(word, " ")
	if _, err := strconv.Atoi(port); err != nil || !ok {
		return 0, errors.New("meet the group: rank 0 sent no port: is it of this version?")
	}
	dialer := net.Dialer{Timeout: l.timeout(), KeepAliveConfig: keepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(l.MasterAddr, port))
	if err != nil {
		return 0, fmt.Errorf("join the group: %w: %w", train.ErrPeerLost, err)
	}
	defer conn.Close()
	if err := gob.NewEncoder(conn).Encode(hello{Token: token, Rank: l.Rank, Torch: b.Version()}); err != nil {
		return 0, fmt.Errorf("join the group: %w: %w", train.ErrPeerLost, err)
	}
	return Serve(b, conn, conn, o)
}
