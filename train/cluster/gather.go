package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/cluster/meeting"
)

// meetingTime is how long the processes of a group wait for each other where
// nothing else is said.
const meetingTime = 5 * time.Minute

// stopTime is how long a process that is asked to stop goes on trying to reach
// rank 0, so as to say so.
const stopTime = 5 * time.Second

func (l Launch) timeout() time.Duration {
	if l.Timeout > 0 {
		return l.Timeout
	}
	return meetingTime
}

// Trust is how the processes of a launched group come to believe each other.
type Trust struct {
	Secret func() ([]byte, error) // what all of them know; asked for at each try
	OnWait func(string)           // told every few seconds what is waited for; may be nil
}

// place is where a launched group meets.
func (l Launch) place(b Backend, t Trust) meeting.Place {
	p := meeting.Place{
		Addr: l.MasterAddr, Port: l.MasterPort, Local: l.LocalWorld == l.World, World: l.World,
		About: "libtorch " + b.Version(), Wait: l.timeout(), Secret: t.Secret, OnWait: t.OnWait,
	}
	if l.Hosted { // the launcher listens at that port
		p.Port = 0
	}
	return p
}

// Gather waits, as rank 0, until all processes of the group have come. With an
// error the members are those that had, if any, for the caller to release.
func Gather(ctx context.Context, b Backend, l Launch, t Trust, terms Terms) (*Members, error) {
	p := l.place(b, t)
	host, err := p.Listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("gather the group: %w", err)
	}
	defer host.Close()
	if l.Hosted {
		if _, err := meet(ctx, b, l, t, strconv.Itoa(host.Port())); err != nil {
			return nil, err
		}
	}
	conns, err := host.Gather(ctx)
	m := &Members{ctx: ctx, terms: terms, backend: b, timeout: l.Timeout, device: func(given string, _ int) string { return given }}
	m.store.Store(newStore())
	for i, c := range conns {
		if c != nil {
			m.join(i+1, fmt.Sprintf("rank %d at %v", i+1, c.RemoteAddr()), c, c, func() { c.Close() })
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return m, ctx.Err()
	case err != nil:
		return m, fmt.Errorf("gather the group: %w: %w", train.ErrPeerLost, err)
	}
	m.hosts = hosts(conns)
	return m, nil
}

// meet hands the port that rank 0 listens at to every other process, through the
// launcher's store. When ctx ends before, it is left behind.
func meet(ctx context.Context, b Backend, l Launch, t Trust, word string) (string, error) {
	// libtorch would try and complain for minutes where nobody is to be found.
	p := meeting.Place{Addr: l.MasterAddr, Port: l.MasterPort, Wait: l.timeout(), OnWait: t.OnWait}
	if err := p.Reach(ctx); err != nil {
		return "", fmt.Errorf("meet the group at the launcher's store, %w", err)
	}
	type met struct {
		word string
		err  error
	}
	done := make(chan met, 1)
	go func() {
		w, err := b.Meet(train.Meeting{
			Addr: l.MasterAddr, Port: l.MasterPort, Name: fmt.Sprintf("synshard/%d", l.Attempt), Rank: l.Rank, Timeout: l.timeout(),
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

// hosts is each rank's own address, as the others reach it: what its connection
// with rank 0 shows, but for those that came over rank 0's loopback where
// others come from afar.
func hosts(conns []net.Conn) []string {
	host := func(a net.Addr) string { return a.(*net.TCPAddr).IP.String() }
	all := []string{host(conns[0].LocalAddr())}
	for _, c := range conns {
		if local := c.LocalAddr().(*net.TCPAddr); !local.IP.IsLoopback() {
			all[0] = local.IP.String()
		}
	}
	for _, c := range conns {
		if c.RemoteAddr().(*net.TCPAddr).IP.IsLoopback() {
			all = append(all, all[0])
		} else {
			all = append(all, host(c.RemoteAddr()))
		}
	}
	return all
}

// Follow is the life of a process of a launched group that is not rank 0; it
// gives the code that rank 0 ends with. A process that is asked to stop (o.Stop)
// before it has come to rank 0 tries for some seconds more, to say so; then it
// gives context.Canceled. From then on it is rank 0 that ends this process.
func Follow(ctx context.Context, b Backend, l Launch, t Trust, o Serving) (code int, err error) {
	joining, joined := context.WithCancel(ctx)
	go func() {
		select {
		case <-o.Stop:
			time.AfterFunc(stopTime, joined)
		case <-joining.Done():
		}
	}()
	conn, err := l.join(joining, b, t)
	joined()
	if err != nil {
		return 0, err
	}
	return serveLink(b, newLink(conn, conn, func() { conn.Close() }), o)
}

// join is coming to rank 0.
func (l Launch) join(ctx context.Context, b Backend, t Trust) (net.Conn, error) {
	p := l.place(b, t)
	if l.Hosted {
		word, err := meet(ctx, b, l, t, "")
		if err != nil {
			return nil, err
		}
		if p.Port, err = strconv.Atoi(word); err != nil || p.Port < 1 || p.Port > 65535 {
			return nil, errors.New("meet the group: rank 0 sent no port: is it of this version?")
		}
	}
	conn, err := p.Join(ctx, l.Rank)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%w: %w", train.ErrPeerLost, err)
	}
	return conn, nil
}
