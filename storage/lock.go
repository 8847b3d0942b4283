package storage

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synshard/synshard/internal/durable"
)

var ( // as tests shorten them
	// lockBeat is how often who holds a lock says so, and lockDead how long it may say
	// nothing, by the store's clock, before it is taken for dead.
	lockBeat = 20 * time.Second
	lockDead = 90 * time.Second
)

// ErrLost ends what is under way when another writer has taken the lock.
var ErrLost = fmt.Errorf("another writer has taken the lock: %w", durable.ErrLocked)

// ErrWeak says that a store does not hold to conditions.
var ErrWeak = errors.New("the store does not hold to conditional writes, so that two writers who begin at the same moment are not kept apart")

// Lock is held by one writer of a place: an object that says who, and is written again
// while the writer lives. A store has no locks that end with a process, so that after
// one was killed another waits until it is silent for long enough, unless it ran on
// this machine.
type Lock struct {
	p     *Place
	name  string
	text  []byte
	lost  func()
	stop  context.CancelFunc
	ended sync.WaitGroup
	known atomic.Pointer[time.Time] // when it was last known to be held
	// Weak says that the store does not hold to conditions: two writers who begin at
	// the same moment may both go on.
	Weak bool
}

type holder struct {
	Host  string `json:"host"`
	PID   int    `json:"pid"`
	Nonce string `json:"nonce"`
}

// TryLock takes the lock that is the object name; where another writer holds it the
// error is durable.ErrLocked. Host and pid say who takes it; alive says of a pid on
// this host whether its process lives. lost is called where another writer has taken
// the lock meanwhile.
func (p *Place) TryLock(ctx context.Context, name, host string, pid int, alive func(pid int) bool, lost func()) (*Lock, error) {
	text, err := json.Marshal(holder{host, pid, rand.Text()})
	if err != nil {
		return nil, err
	}
	l := &Lock{p: p, name: name, text: text, lost: lost}
	for try := 0; ; try++ {
		l.knows(time.Now())
		err := p.WriteNew(ctx, name, text)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrExists) || try > 2 {
			return nil, err
		}
		dead, who, err := p.dead(ctx, name, host, alive)
		if err != nil {
			return nil, err
		}
		if !dead {
			return nil, fmt.Errorf("%s: %s: %w", p.shown(name), who, durable.ErrLocked)
		}
		if err := p.Remove(ctx, name); err != nil {
			return nil, err
		}
	}
	// A store that makes an object which must not be there, although it is, holds to no
	// conditions.
	switch err := p.WriteNew(ctx, name, append([]byte(" "), text...)); {
	case err == nil:
		l.Weak = true
		if err := p.Write(ctx, name, text); err != nil {
			return nil, err
		}
	case !errors.Is(err, ErrExists):
		return nil, err
	}
	if err := p.Remove(ctx, name+clockMark); err != nil {
		return nil, err
	}
	if mine, err := l.mine(ctx); err != nil || !mine {
		return nil, errors.Join(err, fmt.Errorf("%s: another took it at the same moment: %w", p.shown(name), durable.ErrLocked))
	}
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	every := lockBeat
	l.ended.Go(func() { l.hold(beat, every) })
	return l, nil
}

// AwaitLock is TryLock that, where the lock's holder is on another host and may be dead,
// waits until that is known: until it says something, which is durable.ErrLocked, or has
// said nothing for too long. onWait is told once, with that error.
func (p *Place) AwaitLock(ctx context.Context, name string, who Holder, lost func(), onWait func(error)) (*Lock, error) {
	var seen time.Time // when the holder last said something
	for {
		l, err := p.TryLock(ctx, name, who.Host, who.PID, who.Alive, lost)
		if !errors.Is(err, durable.ErrLocked) {
			return l, err
		}
		h, info, herr := p.holder(ctx, name)
		switch {
		case errors.Is(herr, fs.ErrNotExist):
			continue
		case herr != nil:
			return nil, herr
		case h.Host == who.Host, !seen.IsZero() && !info.Modified.Equal(seen):
			return nil, err
		case seen.IsZero():
			seen = info.Modified
			onWait(err)
		}
		select {
		case <-time.After(lockBeat / 4):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// holder says who holds a lock.
func (p *Place) holder(ctx context.Context, name string) (h holder, info Info, err error) {
	o, err := p.OpenObject(ctx, name)
	if err != nil {
		return h, info, err
	}
	b := make([]byte, min(o.Size(), 4096))
	if _, err := o.ReadAt(b, 0); err != nil {
		return h, info, err
	}
	if json.Unmarshal(b, &h) != nil {
		h = holder{} // nobody's lock, which is waited for as that of another machine is
	}
	return h, o.info, nil
}

// dead says whether who holds a lock is dead, and who it is.
func (p *Place) dead(ctx context.Context, name, host string, alive func(pid int) bool) (dead bool, who string, err error) {
	h, info, err := p.holder(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, "", nil
	}
	if err != nil {
		return false, "", err
	}
	if h.Host == host {
		return !alive(h.PID), fmt.Sprintf("process %d", h.PID), nil
	}
	now, err := p.clock(ctx, name)
	return now.Sub(info.Modified) > lockDead, fmt.Sprintf("process %d on %s", h.PID, h.Host), err
}

// clockMark ends the name of the object by which one who waits for a lock asks the store
// for its time.
const clockMark = "-clock"

// clock is the store's time. Who is killed meanwhile leaves the object, which goes when
// the lock is taken.
func (p *Place) clock(ctx context.Context, name string) (time.Time, error) {
	for {
		if err := p.Write(ctx, name+clockMark, []byte("what time it is")); err != nil {
			return time.Time{}, err
		}
		info, err := p.Stat(ctx, name+clockMark)
		if errors.Is(err, fs.ErrNotExist) { // another, who asked too, has removed it
			continue
		}
		return info.Modified, errors.Join(err, p.Remove(ctx, name+clockMark))
	}
}

func (l *Lock) mine(ctx context.Context) (bool, error) {
	b, err := l.p.ReadFile(ctx, l.name, 4096)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrChanged) {
		return false, nil
	}
	return string(b) == string(l.text), err
}

// hold says again and again that the lock is held.
func (l *Lock) hold(ctx context.Context, every time.Duration) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		mine, err := l.mine(ctx)
		if err == nil && !mine {
			l.lost()
			return
		}
		now := time.Now()
		if err == nil && l.p.Write(ctx, l.name, l.text) == nil {
			l.knows(now)
		} // What fails now is tried again in a while; who holds it too long without a word loses it.
	}
}

func (l *Lock) knows(at time.Time) { l.known.Store(&at) }

// Held wants the lock to be held still, else the error is ErrLost. Nobody takes it before
// it was silent for lockDead, so that what was known a while ago will do; of a process that
// stood still it is asked anew.
func (l *Lock) Held(ctx context.Context) error {
	at, now := *l.known.Load(), time.Now()
	// A machine that sleeps stops one clock, and who sets the time the other.
	if max(now.Sub(at), now.Round(0).Sub(at.Round(0))) < lockDead/2 {
		return nil
	}
	return l.ask(ctx)
}

// ask asks the store whether the lock is held.
func (l *Lock) ask(ctx context.Context) error {
	mine, err := l.mine(ctx)
	if err == nil && !mine {
		l.lost()
		err = fmt.Errorf("%s: %w", l.p, ErrLost)
	}
	return err
}

// Write makes an object below the lock's place as its holder: never over what another
// holder wrote, however late the write comes. It takes the place of a state that was there
// while the lock was held, and of no other: that is a condition of the write. A store that
// holds to none (Weak) cannot promise it.
func (l *Lock) Write(ctx context.Context, name string, r io.ReadSeeker, size int64) error {
	for try := 0; ; try++ {
		was, err := l.p.Stat(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err = l.WriteOver(ctx, name, was.ID, r, size); !errors.Is(err, ErrChanged) || try == 4 {
			return err
		}
		// By another holder; or by one who shares the lock, who came first.
		if err := l.ask(ctx); err != nil {
			return err
		}
	}
}

// WriteOver is Write where it is known what is there: the state of an object as it was
// listed while the lock was held, or "". Another state is ErrChanged.
func (l *Lock) WriteOver(ctx context.Context, name, id string, r io.ReadSeeker, size int64) error {
	if err := l.Held(ctx); err != nil {
		return err
	}
	if l.Weak {
		return l.p.WriteFrom(ctx, name, r, size)
	}
	return l.p.WriteOver(ctx, name, id, r, size)
}

// Unlock lets the lock go.
func (l *Lock) Unlock() error {
	l.stop()
	l.ended.Wait()
	ctx, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	if mine, err := l.mine(ctx); err != nil || !mine {
		return err
	}
	return l.p.Remove(ctx, l.name)
}
