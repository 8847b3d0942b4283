package torch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// TestOwnCard: two ranks on one card are told so, both of them, before NCCL is
// asked; a rank that does not come is lost.
func TestOwnCard(t *testing.T) {
	ask := func(cards ...string) []error {
		store, errs := fileStore(t.TempDir()), make([]error, len(cards))
		done := make(chan struct{})
		for rank, card := range cards {
			go func() {
				errs[rank] = ownCard(train.Group{Rank: rank, World: len(cards), Store: store, Timeout: 10 * time.Second}, card)
				done <- struct{}{}
			}()
		}
		for range cards {
			<-done
		}
		return errs
	}
	for rank, err := range ask("a", "b", "c") {
		if err != nil {
			t.Errorf("three cards, rank %d: %v", rank, err)
		}
	}
	for rank, err := range ask("a", "b", "a") {
		told := errors.Is(err, train.ErrNoDevice) && strings.Contains(err.Error(), "ranks 0 and 2 are both on the card a")
		if told != (rank != 1) {
			t.Errorf("ranks 0 and 2 on one card, rank %d: %v", rank, err)
		}
	}
	alone := train.Group{World: 2, Store: fileStore(t.TempDir()), Timeout: 10 * time.Millisecond}
	if err := ownCard(alone, "a"); !errors.Is(err, train.ErrPeerLost) {
		t.Errorf("a rank that does not come: %v", err)
	}
}

// TestOneCard: two ranks that would share a card are refused before they meet.
func TestOneCard(t *testing.T) {
	s := shim(t)
	if n, err := s.CUDADevices(); err != nil || n == 0 {
		t.Skipf("needs a CUDA device (%d, error %v)", n, err)
	}
	store, net, errs := fileStore(t.TempDir()), traintest.Narrow(t), make(chan error)
	for rank := range 2 {
		go func() {
			cfg := traintest.GroupConfig()
			cfg.Device, cfg.Batch = "cuda:0", 2
			cfg.Group = train.Group{Rank: rank, World: 2, Host: "127.0.0.1", Store: store, Timeout: time.Minute}
			_, err := s.New(net, cfg)
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, train.ErrNoDevice) || !strings.Contains(err.Error(), "ranks 0 and 1 are both on the card") {
			t.Errorf("two ranks on one card: %v", err)
		}
	}
}
