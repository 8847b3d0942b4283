package loader

import "sync/atomic"

// failure is the first, in order, of what failed: who has the turns below it carries
// on, so that which it is does not depend on who was faster.
type failure struct {
	first atomic.Pointer[failed]
}

type failed struct {
	turn int64
	err  error
}

// at notes that a turn failed.
func (f *failure) at(turn int64, err error) {
	is := &failed{turn, err}
	for was := f.first.Load(); was == nil || turn < was.turn; was = f.first.Load() {
		if f.first.CompareAndSwap(was, is) {
			return
		}
	}
}

// before gives the error of the first turn that failed, of those below turn.
func (f *failure) before(turn int64) error {
	if was := f.first.Load(); was != nil && was.turn < turn {
		return was.err
	}
	return nil
}
