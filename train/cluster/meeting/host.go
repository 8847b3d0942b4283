package meeting

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Place is where a group meets.
type Place struct {
	Addr  string        // rank 0's machine: a name or an address
	Port  int           // 0: any that is free
	Local bool          // all processes are on this machine: nothing but its loopback is listened on or dialled
	World int           // how many processes there are, rank 0 with them
	About string        // what all must have alike, such as a version
	Wait  time.Duration // how long to wait for the others
	// Secret is what all processes of the group know; it is asked for anew at each
	// try, as it may come into being meanwhile.
	Secret func() ([]byte, error)
	// OnWait is told in seconds, and then ever more seldom, what is being waited for.
	// It may be nil.
	OnWait func(string)
}

const (
	// proofTime is how long a connection has to prove itself.
	proofTime = 10 * time.Second
	// unproved is how many connections may be about to prove themselves; the
	// oldest makes room for another.
	unproved = 64
	// patience is after how long OnWait is told; again after twice that, and so on.
	patience = 5 * time.Second
	// nameTime is how long a name may be unknown: a name server may learn of a
	// machine a little after it is up.
	nameTime = 10 * time.Second
	// pause is the time between two tries.
	pause = 250 * time.Millisecond
)

// keepAlive finds a machine that is gone without a word in some ten seconds.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 4 * time.Second, Interval: 2 * time.Second, Count: 3}

// hello is what a process says of itself once it has proved to be of the group.
type hello struct {
	Rank  int
	Self  string // the same each time that a process comes
	About string
}

const helloLength = 1024

// guest is a process that has come.
type guest struct {
	self string
	conn net.Conn
}

// Host is rank 0's end of a meeting.
type Host struct {
	place    Place
	listener net.Listener
	config   *tls.Config

	mu      sync.Mutex
	pending []net.Conn // not proved, oldest first
	guests  []guest    // by rank - 1
	refused error      // of the group, but not fit for it
	arrived chan struct{}
}

// Listen opens rank 0's end: on loopback alone where all are on one machine, else
// on the address that Addr is, if it is one of this machine's that others can
// reach, or on all.
func (p Place) Listen(ctx context.Context) (*Host, error) {
	secret, err := p.Secret()
	if err != nil {
		return nil, err
	}
	config, err := identity(secret)
	if err != nil {
		return nil, err
	}
	l, err := p.listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("listen for the group at %s: %w", net.JoinHostPort(p.Addr, strconv.Itoa(p.Port)), err)
	}
	return &Host{place: p, listener: l, config: config, guests: make([]guest, p.World-1), arrived: make(chan struct{}, 1)}, nil
}

func (p Place) listen(ctx context.Context) (net.Listener, error) {
	c := net.ListenConfig{KeepAliveConfig: keepAlive}
	port := strconv.Itoa(p.Port)
	if p.Local {
		return c.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	}
	addrs, err := p.resolve(ctx)
	if err != nil { // where rank 0 itself does not know the name nobody will come
		return nil, err
	}
	for _, a := range addrs {
		if a.IsLoopback() { // such names stand for the machine on it alone
			continue
		}
		if l, err := c.Listen(ctx, "tcp", net.JoinHostPort(a.Unmap().String(), port)); err == nil {
			return l, nil
		}
	}
	return c.Listen(ctx, "tcp", net.JoinHostPort("", port))
}

// waiting tells OnWait.
type waiting struct {
	onWait func(string)
	next   time.Time
	pause  time.Duration
}

func (p Place) waiting() *waiting { return &waiting{p.OnWait, time.Now().Add(patience), patience} }

func (w *waiting) tell(format string, args ...any) {
	if now := time.Now(); w.onWait != nil && !now.Before(w.next.Add(-pause)) {
		w.pause *= 2
		w.next = now.Add(w.pause)
		w.onWait(fmt.Sprintf(format, args...))
	}
}

// resolve looks Addr up, again and again while it may yet become known.
func (p Place) resolve(ctx context.Context) (addrs []netip.Addr, err error) {
	for began := time.Now(); ; {
		try, cancel := context.WithTimeout(ctx, proofTime)
		addrs, err = net.DefaultResolver.LookupNetIP(try, "ip", p.Addr)
		cancel()
		if err == nil || unknown(err, began) || ctx.Err() != nil {
			return addrs, cmp.Or(ctx.Err(), err)
		}
		time.Sleep(pause)
	}
}

// unknown says whether a name has been looked up in vain for long enough.
func unknown(err error, began time.Time) bool {
	var name *net.DNSError
	if !errors.As(err, &name) {
		return false
	}
	if name.IsNotFound {
		return time.Since(began) > nameTime
	}
	return time.Since(began) > 3*nameTime // the name server itself fails
}

// Port is what it listens at.
func (h *Host) Port() int { return h.listener.Addr().(*net.TCPAddr).Port }

// Close ends the listening.
func (h *Host) Close() error { return h.listener.Close() }

// Gather waits until every other process has come, and gives their connections,
// that of rank i at i-1. With an error it gives those that have come, nil for the
// others, for the caller to tell and to close.
func (h *Host) Gather(ctx context.Context) ([]net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, h.place.Wait)
	defer cancel()
	var proving sync.WaitGroup
	defer proving.Wait()
	defer h.dropPending()
	defer h.listener.Close()
	proving.Go(func() { h.accept(ctx, &proving) })
	wait := h.place.waiting()
	tell := time.NewTicker(patience)
	defer tell.Stop()
	for {
		guests, missing, err := h.present()
		if err != nil || len(missing) == 0 {
			return guests, err
		}
		select {
		case <-h.arrived:
		case <-tell.C:
			wait.tell("waiting at %s for %s of %d processes", h.at(), ranks(missing), h.place.World)
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("%s of %d processes did not come to %s within %v", ranks(missing), h.place.World, h.at(), h.place.Wait)
			}
			return guests, cmp.Or(err, ctx.Err())
		}
	}
}

func (h *Host) at() string {
	host := h.place.Addr
	if h.place.Local {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(h.Port()))
}

// ranks names some ranks.
func ranks(missing []int) string {
	const most = 8
	var names []string
	for _, r := range missing[:min(len(missing), most)] {
		names = append(names, strconv.Itoa(r))
	}
	text := "rank " + strings.Join(names, ", ")
	if len(missing) > most {
		text += fmt.Sprintf(" and %d more", len(missing)-most)
	}
	return text
}

// present is who has come, and who has not.
func (h *Host) present() (guests []net.Conn, missing []int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, g := range h.guests {
		guests = append(guests, g.conn)
		if g.conn == nil {
			missing = append(missing, i+1)
		}
	}
	return guests, missing, h.refused
}

// accept takes connections until the listener is closed; each proves itself beside
// the others.
func (h *Host) accept(ctx context.Context, proving *sync.WaitGroup) {
	for {
		conn, err := h.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptor is left, or the connection is gone again
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			continue
		}
		h.mu.Lock()
		h.pending = append(h.pending, conn)
		if len(h.pending) > unproved {
			h.pending[0].Close()
			h.pending = h.pending[1:]
		}
		h.mu.Unlock()
		proving.Go(func() { h.meet(ctx, conn) })
	}
}

// dropPending closes what has not proved itself.
func (h *Host) dropPending() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.pending {
		c.Close()
	}
	h.pending = nil
}

// meet has a connection prove itself, and seats it.
func (h *Host) meet(ctx context.Context, conn net.Conn) {
	conn.SetDeadline(time.Now().Add(proofTime))
	secure := tls.Server(conn, h.config)
	var said hello
	err := secure.HandshakeContext(ctx)
	if err == nil {
		said, err = readHello(secure)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = slices.DeleteFunc(h.pending, func(c net.Conn) bool { return c == conn })
	if err != nil {
		conn.Close() // a stranger's, or one that broke off: who belongs here comes again
		return
	}
	answer := "ok"
	if err := h.seat(said, secure); err != nil {
		h.refused, answer = err, err.Error()
	}
	if _, err := io.WriteString(secure, answer+"\n"); err != nil && answer == "ok" {
		h.guests[said.Rank-1] = guest{}
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	if answer != "ok" {
		conn.Close()
	}
	select {
	case h.arrived <- struct{}{}:
	default:
	}
}

// seat gives a process of the group its place. One that comes again takes its own.
func (h *Host) seat(said hello, conn net.Conn) error {
	switch {
	case said.Rank < 1 || said.Rank >= h.place.World:
		return fmt.Errorf("a process says that it is rank %d of %d", said.Rank, h.place.World)
	case said.About != h.place.About:
		return fmt.Errorf("rank %d has %s, rank 0 %s", said.Rank, said.About, h.place.About)
	}
	if before := h.guests[said.Rank-1]; before.conn != nil {
		if before.self != said.Self {
			return fmt.Errorf("two processes say that they are rank %d, at %v and %v", said.Rank, before.conn.RemoteAddr(), conn.RemoteAddr())
		}
		before.conn.Close()
	}
	h.guests[said.Rank-1] = guest{said.Self, conn}
	return nil
}

// readHello reads a line of JSON to its end, and nothing beyond.
func readHello(r io.Reader) (h hello, err error) {
	line, err := readLine(r)
	if err != nil {
		return h, err
	}
	return h, json.Unmarshal([]byte(line), &h)
}

// readLine reads up to a newline, a byte at a time so that nothing after it is
// taken.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < helloLength; {
		if _, err := io.ReadFull(r, one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
	return "", errors.New("a line without an end")
}
