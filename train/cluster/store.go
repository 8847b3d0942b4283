package cluster

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/synshard/synshard/train"
)

// store is the group's, in rank 0. What waits in it ends when the group does.
type store struct {
	mu      sync.Mutex
	values  map[string][]byte
	changed chan struct{} // closed, and another put in its place, at every change
	closed  chan struct{}
	once    sync.Once
}

func newStore() *store {
	return &store{values: map[string][]byte{}, changed: make(chan struct{}), closed: make(chan struct{})}
}

func (s *store) close() { s.once.Do(func() { close(s.closed) }) }

// Do implements train.Store.
func (s *store) Do(c train.StoreCall) (train.StoreAnswer, error) {
	if c.Op == train.StoreGet {
		return s.get(c.Key, c.Timeout)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, there := s.values[c.Key]
	switch c.Op {
	case train.StoreSet:
		s.put(c.Key, c.Value)
		return train.StoreAnswer{}, nil
	case train.StoreAdd:
		n := int64(0)
		if there {
			var err error
			if n, err = strconv.ParseInt(string(before), 10, 64); err != nil {
				return train.StoreAnswer{}, fmt.Errorf("store of the group: %q is not a counter", c.Key)
			}
		}
		n += c.Number
		s.put(c.Key, strconv.AppendInt(nil, n, 10))
		return train.StoreAnswer{Number: n}, nil
	case train.StoreCheck, train.StoreDelete:
		var a train.StoreAnswer
		if there {
			a.Number = 1
		}
		if c.Op == train.StoreDelete {
			delete(s.values, c.Key)
		}
		return a, nil
	case train.StoreCount:
		return train.StoreAnswer{Number: int64(len(s.values))}, nil
	}
	return train.StoreAnswer{}, fmt.Errorf("store of the group: operation %d is unknown", c.Op)
}

func (s *store) put(key string, value []byte) {
	s.values[key] = value
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *store) get(key string, timeout time.Duration) (train.StoreAnswer, error) {
	late := time.NewTimer(timeout)
	defer late.Stop()
	for {
		s.mu.Lock()
		value, there := s.values[key]
		changed := s.changed
		s.mu.Unlock()
		if there {
			return train.StoreAnswer{Value: value}, nil
		}
		select {
		case <-changed:
		case <-late.C:
			return train.StoreAnswer{}, fmt.Errorf("store of the group: nobody set %q within %v", key, timeout)
		case <-s.closed:
			return train.StoreAnswer{}, errors.New("store of the group: the group is at an end")
		}
	}
}

// remoteStore is the group's store as another process has it: over its link.
type remoteStore struct {
	link    *link
	mu      sync.Mutex
	calls   uint64
	waiting map[uint64]chan message
}

func newRemoteStore(l *link) *remoteStore {
	return &remoteStore{link: l, waiting: map[uint64]chan message{}}
}

// Do implements train.Store.
func (s *remoteStore) Do(c train.StoreCall) (train.StoreAnswer, error) {
	answer := make(chan message, 1)
	s.mu.Lock()
	s.calls++
	call := s.calls
	s.waiting[call] = answer
	s.mu.Unlock()
	if err := s.link.send(message{Kind: isStore, Call: call, Store: c}); err != nil {
		return train.StoreAnswer{}, fmt.Errorf("store of the group: %w", err)
	}
	select {
	case m := <-answer:
		if m.Error != "" {
			return train.StoreAnswer{}, errors.New(m.Error)
		}
		return m.Stored, nil
	case <-s.link.gone:
		return train.StoreAnswer{}, fmt.Errorf("store of the group: %w", s.link.err)
	}
}

// answered hands an answer to who waits for it.
func (s *remoteStore) answered(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.waiting[m.Call]; c != nil {
		delete(s.waiting, m.Call)
		c <- m
	}
}
