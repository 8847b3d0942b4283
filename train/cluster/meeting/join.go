package meeting

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// errRefused is rank 0's answer to a process that holds the secret and does not
// fit, which trying again does not mend.
var errRefused = errors.New("rank 0 refuses this process")

// Join comes to rank 0 as one of the others. It tries until rank 0 is there and
// has proved itself, or Wait is over; a name that stays unknown, and a refusal, end
// it sooner.
func (p Place) Join(ctx context.Context, rank int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Wait)
	defer cancel()
	host := p.Addr
	if p.Local {
		host = "127.0.0.1"
	}
	at := net.JoinHostPort(host, strconv.Itoa(p.Port))
	self, began := rand.Text(), time.Now()
	wait := p.waiting()
	var cause error
	for {
		conn, err := p.try(ctx, at, hello{Rank: rank, Self: self, About: p.About})
		if err == nil {
			return conn, nil
		}
		cause = telling(ctx, cause, err)
		if errors.Is(err, errRefused) || unknown(err, began) {
			return nil, fmt.Errorf("meet rank 0 at %s: %w", at, err)
		}
		wait.tell("waiting for rank 0 at %s: %v", at, cause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, fmt.Errorf("meet rank 0 at %s within %v: %w", at, p.Wait, cause)
			}
			return nil, ctx.Err()
		}
	}
}

// telling is the error to tell: that time is up says less than what went wrong before. A connection has ctx's deadline,
// and may end by it a moment before ctx does.
func telling(ctx context.Context, before, err error) error {
	if end, ok := ctx.Deadline(); before != nil && (ctx.Err() != nil || ok && !time.Now().Before(end)) {
		return before
	}
	return err
}

// Reach waits until something listens at the place, which need not be rank 0.
func (p Place) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.Wait)
	defer cancel()
	at := net.JoinHostPort(p.Addr, strconv.Itoa(p.Port))
	began, wait := time.Now(), p.waiting()
	var cause error
	for {
		dialer := net.Dialer{Timeout: proofTime}
		conn, err := dialer.DialContext(ctx, "tcp", at)
		cause = telling(ctx, cause, err)
		switch {
		case err == nil:
			return conn.Close()
		case unknown(err, began), ctx.Err() != nil:
			return fmt.Errorf("%s: %w", at, cause)
		}
		wait.tell("waiting for the launcher's store at %s: %v", at, cause)
		time.Sleep(pause)
	}
}

// try is one attempt.
func (p Place) try(ctx context.Context, at string, h hello) (_ net.Conn, err error) {
	secret, err := p.Secret()
	if err != nil {
		return nil, cmp.Or(p.named(ctx), err)
	}
	config, err := identity(secret)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	conn.SetDeadline(time.Now().Add(proofTime))
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, proof(err)
	}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if _, err := secure.Write(append(line, '\n')); err != nil {
		return nil, proof(err)
	}
	answer, err := readLine(secure)
	switch {
	case err != nil:
		return nil, proof(err)
	case answer != "ok":
		return nil, fmt.Errorf("%w: %s", errRefused, answer)
	}
	conn.SetDeadline(time.Time{})
	return secure, nil
}

// named wants rank 0's machine to have an address: where it has none, rank 0 has
// ended, and nobody shares a secret.
func (p Place) named(ctx context.Context) error {
	if p.Local {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	_, err := net.DefaultResolver.LookupNetIP(ctx, "ip", p.Addr)
	return err
}

// proof says in one way what kept two sides from believing each other.
func proof(err error) error {
	return fmt.Errorf("what listens there did not prove that it belongs to this group: %w", err)
}
