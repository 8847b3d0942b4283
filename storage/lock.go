package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
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
	if err := l.take(ctx, host, alive); err != nil {
		return nil, err
	}
	if err := l.settle(ctx); err != nil {
		_ = l.release() // what cannot be removed is silent, and is taken over
		return nil, err
	}
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	every, most := lockBeat, lockDead/4
	l.ended.Go(func() { l.hold(beat, every, most) })
	return l, nil
}

// take writes the lock where there is none, or in the place of a dead one: of the very
// state that was found dead, so that of two who found it one alone takes it.
func (l *Lock) take(ctx context.Context, host string, alive func(pid int) bool) error {
	id := "" // of the state that is replaced
	for try := 0; ; try++ {
		l.knows(time.Now())
		err := l.p.WriteOver(ctx, l.name, id, bytes.NewReader(l.text), int64(len(l.text)))
		switch {
		case err == nil:
			return nil
		case id != "" && errors.Is(err, errors.ErrUnsupported): // a store that cannot have it so, which is Weak
			if err := l.p.Remove(ctx, l.name); err != nil {
				return err
			}
			id = ""
			continue
		case !errors.Is(err, ErrChanged), try > 2:
			return err
		}
		there, err := l.p.judge(ctx, l.name, host, alive)
		if err != nil {
			return err
		}
		if !there.dead {
			return there.locked
		}
		id = there.ID
	}
}

// settle looks whether the lock that was written is held.
func (l *Lock) settle(ctx context.Context) (err error) {
	if l.Weak, err = l.weak(ctx); err == nil && l.Weak {
		err = l.p.Write(ctx, l.name, l.text)
	}
	if err == nil {
		err = l.p.Remove(ctx, l.name+clockMark)
	}
	if err == nil {
		_, err = l.mine(ctx)
	}
	if errors.Is(err, ErrLost) {
		err = fmt.Errorf("%s: another took it at the same moment: %w", l.p.shown(l.name), durable.ErrLocked)
	}
	return err
}

// weak says whether the store holds to no conditions: it makes an object which must not be
// there, although it is, or which must be in another state than it is in.
func (l *Lock) weak(ctx context.Context) (bool, error) {
	probe := append([]byte(" "), l.text...)
	err := l.p.WriteNew(ctx, l.name, probe)
	if errors.Is(err, ErrExists) {
		id, merr := l.mine(ctx)
		if merr != nil || id == "" {
			return id == "", merr
		}
		err = l.p.WriteOver(ctx, l.name, other(id), bytes.NewReader(probe), int64(len(probe)))
	}
	switch {
	case err == nil, errors.Is(err, errors.ErrUnsupported):
		return true, nil
	case errors.Is(err, ErrChanged):
		return false, nil
	}
	return false, err
}

// other is the ID of another state, of the same form.
func other(id string) string {
	for i, c := range slices.Backward([]byte(id)) {
		var two string
		switch {
		case c >= '0' && c <= '9':
			two = "01"
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			two = "ab"
		default:
			continue
		}
		if c == two[0] {
			two = two[1:]
		}
		return id[:i] + two[:1] + id[i+1:]
	}
	return id
}

// AwaitLock is TryLock that, where the lock's holder is on another host and may be dead,
// waits until that is known: until it says something, which is durable.ErrLocked, or has
// said nothing for too long. onWait is told of each holder that is waited for, with that
// error.
func (p *Place) AwaitLock(ctx context.Context, name string, who Holder, lost func(), onWait func(error)) (*Lock, error) {
	for {
		l, err := p.TryLock(ctx, name, who.Host, who.PID, who.Alive, lost)
		if !errors.Is(err, durable.ErrLocked) {
			return l, err
		}
		if err := p.awaitDead(ctx, name, who, onWait); err != nil {
			return nil, err
		}
	}
}

// awaitDead wants a lock to be nobody's who lives; else the error is durable.ErrLocked.
// Where that cannot be told yet, it waits.
func (p *Place) awaitDead(ctx context.Context, name string, who Holder, onWait func(error)) error {
	var seen time.Time // when the holder last said something
	for {
		there, err := p.judge(ctx, name, who.Host, who.Alive)
		switch {
		case err != nil || there.dead:
			return err
		case there.Host == who.Host, !seen.IsZero() && !there.Modified.Equal(seen):
			return there.locked
		case seen.IsZero():
			seen = there.Modified
			onWait(there.locked)
		}
		select {
		case <-time.After(lockBeat / 4):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// judged is a lock as it was found; the zero value of all but dead: there is none.
type judged struct {
	holder
	Info
	dead   bool
	locked error // that it is held
}

// judge says who holds a lock, and whether that one is dead.
func (p *Place) judge(ctx context.Context, name, host string, alive func(pid int) bool) (j judged, err error) {
	var b []byte
	b, j.Info, err = p.readLock(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return judged{dead: true}, nil
	}
	if err != nil {
		return j, err
	}
	if json.Unmarshal(b, &j.holder) != nil {
		j.holder = holder{} // nobody's lock, which is waited for as that of another machine is
	}
	who := fmt.Sprintf("process %d", j.PID)
	here := j.Host == host
	if !here {
		who += " on " + j.Host
	}
	if j.dead = here && !alive(j.PID); !j.dead { // the number may be another process's by now
		now, err := p.clock(ctx, name)
		if err != nil {
			return j, err
		}
		j.dead = now.Sub(j.Modified) > lockDead
	}
	j.locked = fmt.Errorf("%s: %s: %w", p.shown(name), who, durable.ErrLocked)
	return j, nil
}

// readLock reads an object that may be written anew at any moment.
func (p *Place) readLock(ctx context.Context, name string) ([]byte, Info, error) {
	for try := 0; ; try++ {
		o, err := p.OpenRead(ctx, name)
		if err != nil {
			return nil, Info{}, err
		}
		b := make([]byte, min(o.Size(), 4096))
		if _, err = o.ReadAt(b, 0); err == nil || !errors.Is(err, ErrChanged) || try == 4 {
			return b, o.info, err
		}
	}
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

// mine gives the state of the lock that its holder wrote; ErrLost: there is none.
func (l *Lock) mine(ctx context.Context) (id string, err error) {
	b, info, err := l.p.readLock(ctx, l.name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(bytes.TrimSpace(b), l.text) {
		return "", fmt.Errorf("%s: %w", l.p, ErrLost)
	}
	return info.ID, err
}

// beat says that the lock is held, in the place of what its holder said before.
func (l *Lock) beat(ctx context.Context) error {
	for try := 0; ; try++ {
		id, err := l.mine(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		if l.Weak {
			err = l.p.Write(ctx, l.name, l.text)
		} else {
			err = l.p.WriteOver(ctx, l.name, id, bytes.NewReader(l.text), int64(len(l.text)))
		}
		if err == nil {
			l.knows(now)
		}
		if !errors.Is(err, ErrChanged) || try == 2 {
			return err
		}
	}
}

// hold says again and again that the lock is held. What fails for as long as most is tried
// again in a while; who holds it too long without a word loses it.
func (l *Lock) hold(ctx context.Context, every, most time.Duration) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		once, done := context.WithTimeout(ctx, most)
		err := l.beat(once)
		done()
		if errors.Is(err, ErrLost) {
			l.lost()
			return
		}
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
	_, err := l.mine(ctx)
	if errors.Is(err, ErrLost) {
		l.lost()
	}
	return err
}

// Unlock lets the lock go.
func (l *Lock) Unlock() error {
	l.stop()
	l.ended.Wait()
	if err := l.release(); !errors.Is(err, ErrLost) {
		return err
	}
	return nil
}

// release removes the lock, which its holder writes first, since stores remove without a
// condition: nobody takes it for dead meanwhile.
func (l *Lock) release() error {
	ctx, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	if err := l.beat(ctx); err != nil {
		return err
	}
	return l.p.Remove(ctx, l.name)
}
