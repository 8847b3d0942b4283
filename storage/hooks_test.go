package storage

import "time"

// Beat sets how often holders of locks say so, and how long they may say nothing, until
// the function it gives is called.
func Beat(beat, dead time.Duration) (reset func()) {
	wasBeat, wasDead := lockBeat, lockDead
	lockBeat, lockDead = beat, dead
	return func() { lockBeat, lockDead = wasBeat, wasDead }
}

// Await sets how long answers are waited for that nobody needs any more, until the function it gives is called.
func Await(d time.Duration) (reset func()) {
	was := answerAwaited
	answerAwaited = d
	return func() { answerAwaited = was }
}

// WaitLong sets for how long a store is asked again before that is told, until the function it gives is called.
func WaitLong(d time.Duration) (reset func()) {
	was := waitedLong
	waitedLong = d
	return func() { waitedLong = was }
}

// Silence has a holder say no more that it lives, as one that is killed.
func Silence(l *Lock) {
	l.stop()
	l.ended.Wait()
}

// Other is the ID of a state in which an object is not.
func Other(id string) string { return other(id) }

// Used is how many bytes are read ahead at this moment.
func (a *Ahead) Used() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}
