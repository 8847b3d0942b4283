package cluster

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/synshard/synshard/train"
)

// beat is how often each end of a link says that it is there.
const beat = time.Second

// Least is the shortest time after which a silent process may be given up.
const Least = 3 * beat

// message is what goes over a link, either way.
type message struct {
	Kind   messageKind
	Ask    *request // of rank 0
	Answer *reply
	Code   int    // of isEnd: how rank 0 ends
	Call   uint64 // which call of the store's it is, or answers
	Store  train.StoreCall
	Stored train.StoreAnswer
	Error  string // of isStored
}

type messageKind int

const (
	isBeat messageKind = iota
	isAsk
	isAnswer
	isStop   // this process was asked to stop
	isEnd    // the process is to end, whatever it does; there is no answer
	isAbort  // what the process exchanges with others comes to nothing
	isStore  // a call of the group's store, which rank 0 has
	isStored // its answer
)

// errSilent is an end that the other's bytes no longer reach.
var errSilent = errors.New("no sign of life")

// link is what rank 0 and another process say to each other: questions and answers
// about steps, beside them calls of the group's store, that either is there, and
// that either is to stop. It ends once, for good.
type link struct {
	sending sync.Mutex
	out     *gob.Encoder
	in      *gob.Decoder
	heard   atomic.Bool // anything, since the last beat
	hangUp  func()      // ends both streams, and with them what waits for them

	once sync.Once
	gone chan struct{} // closed when the link has ended
	err  error         // why; to be read when gone is closed
}

// newLink makes a link of two streams. hangUp is called when it ends.
func newLink(in io.Reader, out io.Writer, hangUp func()) *link {
	l := &link{out: gob.NewEncoder(out), hangUp: hangUp, gone: make(chan struct{})}
	l.in = gob.NewDecoder(listener{in, &l.heard})
	return l
}

// listener notes when anything arrives: a long message is a sign of life too.
type listener struct {
	io.Reader
	heard *atomic.Bool
}

func (r listener) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.heard.Store(true)
	}
	return n, err
}

// end ends the link for a reason.
func (l *link) end(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.gone)
		l.hangUp()
	})
}

// send says something. An error has ended the link.
func (l *link) send(m message) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	if err := l.out.Encode(m); err != nil {
		l.end(err)
		return err
	}
	return nil
}

// run reads until the link ends, handing on all but beats; receive must not wait.
// Silence of the other end for longer than allowed, asked at each beat, ends it;
// 0 allows any.
func (l *link) run(allowed func() time.Duration, receive func(message)) {
	go l.beat(allowed)
	for {
		var m message
		if err := l.in.Decode(&m); err != nil {
			l.end(err)
			return
		}
		if m.Kind != isBeat {
			receive(m)
		}
	}
}

// beat counts silence in its own beats, not by the clock: while this process is
// itself stopped, or its machine asleep, there are none.
func (l *link) beat(allowed func() time.Duration) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for quiet := time.Duration(0); ; {
		select {
		case <-l.gone:
			return
		case <-tick.C:
		}
		quiet += beat
		if l.heard.Swap(false) {
			quiet = 0
		}
		if limit := allowed(); limit > 0 && quiet > limit {
			l.end(fmt.Errorf("%w for %v", errSilent, limit))
			return
		}
		if l.sending.TryLock() { // else something is on its way, which is a sign of life too
			go func() {
				defer l.sending.Unlock()
				if err := l.out.Encode(message{}); err != nil {
					l.end(err)
				}
			}()
		}
	}
}
