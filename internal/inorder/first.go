// Package inorder works on several things at a time, of which the first in order to fail is
// the one that is told: a call over the same data ends alike every time, whatever was faster.
package inorder

import "sync/atomic"

// First is the first, in order, of what failed. Who looks whether an earlier one has before each
// turn, and carries on with those below it, ends with the same one every time. The zero value
// is ready.
type First struct {
	at atomic.Pointer[failure]
}

type failure struct {
	turn int64
	err  error
}

// Failed notes that a turn failed.
func (f *First) Failed(turn int64, err error) {
	is := &failure{turn, err}
	for was := f.at.Load(); was == nil || turn < was.turn; was = f.at.Load() {
		if f.at.CompareAndSwap(was, is) {
			return
		}
	}
}

// Before gives the error of the first turn that failed, if it is below turn.
func (f *First) Before(turn int64) error {
	if was := f.at.Load(); was != nil && was.turn < turn {
		return was.err
	}
	return nil
}
