// Package recent keeps the values that were last asked for: Kept each in a place that is
// used again, Shared for many goroutines.
package recent

import "sync"

// Kept is as many values as it was made for, by their numbers. It is for one goroutine.
type Kept[T any] struct {
	now    int64
	places []place[T]
}

type place[T any] struct {
	number int // -1: of none
	used   int64
	value  T
}

// New gives room for n values, at least one.
func New[T any](n int) *Kept[T] {
	k := &Kept[T]{places: make([]place[T], max(n, 1))}
	for i := range k.places {
		k.places[i].number = -1
	}
	return k
}

// Get gives the value of a number, good until the next call. One that is not kept is made
// by fill in the place of the one asked for longest ago, whose memory it may use again;
// where fill fails the place is empty, and its error is given.
func (k *Kept[T]) Get(number int, fill func(*T) error) (*T, error) {
	k.now++
	oldest := &k.places[0]
	for i := range k.places {
		p := &k.places[i]
		if p.number == number {
			p.used = k.now
			return &p.value, nil
		}
		if p.used < oldest.used {
			oldest = p
		}
	}
	oldest.number, oldest.used = -1, 0
	if err := fill(&oldest.value); err != nil {
		return nil, err
	}
	oldest.number, oldest.used = number, k.now
	return &oldest.value, nil
}

// Shared is as many values as it was made for, by key: those that were put last. It is for
// many goroutines, which make values apart from it and do not change them afterwards.
type Shared[K comparable, V any] struct {
	most  int
	mu    sync.Mutex // of:
	of    map[K]V
	order []K // as they were put
}

// NewShared gives room for n values, at least one.
func NewShared[K comparable, V any](n int) *Shared[K, V] {
	return &Shared[K, V]{most: max(n, 1), of: map[K]V{}}
}

// Get gives the value of a key, if it is kept.
func (s *Shared[K, V]) Get(key K) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.of[key]
	return v, ok
}

// Put keeps a value, and forgets that which was put first where they are too many. A key
// that is kept keeps its value: another goroutine made it.
func (s *Shared[K, V]) Put(key K, value V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.of[key]; ok {
		return
	}
	if len(s.order) == s.most {
		delete(s.of, s.order[0])
		s.order = s.order[1:]
	}
	s.of[key], s.order = value, append(s.order, key)
}
