package storage

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

var (
	errShort  = errors.New("the answer ended early")
	errSilent = errors.New("the answer stopped")
)

// transient is an error that may be none another time.
type transient struct{ error }

func (t transient) Unwrap() error { return t.error }

// Passing says whether an error is one that was waited for to pass, and did not.
func Passing(err error) bool {
	var t transient
	return errors.As(err, &t)
}

// temporary marks an error as one that may be none another time, unless it is told
// by what it is that it will not.
func temporary(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrChanged) || lasting(err) {
		return err
	}
	return transient{err}
}

// lasting is an error of a connection that waiting does not mend: a name that nobody has, a
// certificate of somebody else, too few files that may be open.
func lasting(err error) bool {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &name) && name.IsNotFound || errors.As(err, &certificate) || errors.Is(err, syscall.EMFILE)
}

// retryable says whether what was answered by this status may be answered otherwise
// another time.
func retryable(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented
}

// broken says whether an error is of a connection.
func broken(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPIPE) || errors.Is(err, errSilent) || errors.Is(err, context.DeadlineExceeded)
}

// cause is an error, or the reason for which its context ended.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && errors.Is(c, errSilent) {
		return temporary(errSilent)
	}
	return err
}

// heard calls f, which ends where nothing is heard from the store for too long: since
// it began, or since it last called word.
func (p *Place) heard(ctx context.Context, f func(ctx context.Context, word func()) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	silent := time.AfterFunc(p.o.Idle, func() { stop(errSilent) })
	defer silent.Stop()
	err := f(ctx, func() { silent.Reset(p.o.Idle) })
	if err != nil {
		err = cause(ctx, err)
	}
	return err
}

// again calls f until it succeeds, fails for good, or has failed for as long as the
// place's patience lasts.
func (p *Place) again(ctx context.Context, f func(context.Context) error) error {
	return p.progress(ctx, func(ctx context.Context) (bool, error) { return false, f(ctx) })
}

// progress is again for f that says whether it came further: patience begins anew
// then.
func (p *Place) progress(ctx context.Context, f func(context.Context) (bool, error)) error {
	wait := &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 10 * time.Second}
	wait.Reset()
	for {
		came, began := false, time.Now()
		_, err := backoff.Retry(ctx, func() (struct{}, error) {
			further, err := f(ctx)
			var t transient
			switch {
			case err == nil:
				return struct{}{}, nil
			case ctx.Err() != nil:
				return struct{}{}, backoff.Permanent(ctx.Err())
			case !errors.As(err, &t):
				return struct{}{}, backoff.Permanent(err)
			}
			p.traffic.Retries.Add(1)
			if came = further; came {
				return struct{}{}, backoff.Permanent(err)
			}
			p.waiting(ctx, began, err)
			return struct{}{}, err
		}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(p.o.Patience))
		if !came {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
