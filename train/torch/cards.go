package torch

/*
#include <stdlib.h>
#include "synshard_torch.h"

static int ss_card(const ss_api *a, int32_t device, char *id, size_t n, char *e, size_t l) { return a->card(device, id, n, e, l); }
static int ss_profile(const ss_api *a, int32_t device, int32_t on, char *e, size_t l) { return a->profile(device, on, e, l); }
static int ss_card_capability(const ss_api *a, int32_t device, int32_t *c, char *e, size_t l) { return a->card_capability(device, c, e, l); }
static int ss_card_memory(const ss_api *a, int32_t device, int64_t *f, int64_t *t, char *e, size_t l) { return a->card_memory(device, f, t, e, l); }
*/
import "C"

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/synshard/synshard/train"
)

// card gives what tells the card of a device, cuda or cuda:N, from every other
// there is.
func (s *Shim) card(device string) (string, error) {
	n, err := number(device)
	if err != nil {
		return "", err
	}
	var mem arena
	defer mem.free()
	const length = 64
	id, _ := array[C.char](&mem, length)
	err = call("tell cards apart", func(t *C.char, l C.size_t) C.int { return C.ss_card(s.api, C.int32_t(n), id, length, t, l) })
	return C.GoString(id), err
}

// number is the N of cuda:N; 0 of cuda.
func number(device string) (int, error) {
	_, digits, numbered := strings.Cut(device, ":")
	if !numbered {
		return 0, nil
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("device %s: want cuda or cuda:N", device)
	}
	return n, nil
}

// CardMemory gives the bytes of a card's memory, and how many nobody holds.
// device is cuda or cuda:N.
func (s *Shim) CardMemory(device string) (free, total int64, err error) {
	n, err := number(device)
	if err != nil {
		return 0, 0, err
	}
	var f, all C.int64_t
	err = call("measure the card's memory", func(t *C.char, l C.size_t) C.int { return C.ss_card_memory(s.api, C.int32_t(n), &f, &all, t, l) })
	return int64(f), int64(all), err
}

// bf16Capability is the compute capability of the first cards with units for bf16,
// Ampere's: 8.0. Turing and Volta have them for fp16 only.
const bf16Capability = 80

// HasBF16 says whether a card has units for bf16. device is cuda or cuda:N.
func (s *Shim) HasBF16(device string) (bool, error) {
	n, err := number(device)
	if err != nil {
		return false, err
	}
	var c C.int32_t
	err = call("tell what "+device+" computes in", func(t *C.char, l C.size_t) C.int { return C.ss_card_capability(s.api, C.int32_t(n), &c, t, l) })
	return c >= bf16Capability, err
}

// Profile tells a profiler that waits to be told that what the engine's card does
// from here on is to be recorded, or no longer. On the CPU it is train.ErrNoDevice.
func (e *Engine) Profile(on bool) error {
	if !OnCUDA(e.cfg.Device) {
		return fmt.Errorf("profile: %w: %s is no card", train.ErrNoDevice, e.cfg.Device)
	}
	n, err := number(e.cfg.Device)
	if err != nil {
		return err
	}
	return e.call("profile", func(t *C.char, l C.size_t) C.int { return C.ss_profile(e.shim.api, C.int32_t(n), flag(on), t, l) })
}

// checkCard is ownCard where a group trains on GPUs.
func (s *Shim) checkCard(device string, g train.Group) error {
	if !strings.HasPrefix(device, "cuda") {
		return nil
	}
	card, err := s.card(device)
	if err != nil {
		return err
	}
	return ownCard(g, card)
}

// ownCard wants each process of a group to have a card of its own, as NCCL does,
// whose own word for it comes late and does not say which two. The processes
// leave each other their cards in the group's store.
func ownCard(g train.Group, card string) error {
	key := func(rank int) string { return fmt.Sprintf("card/%d", rank) }
	if _, err := g.Store.Do(train.StoreCall{Op: train.StoreSet, Key: key(g.Rank), Value: []byte(card)}); err != nil {
		return fmt.Errorf("tell the group this process's card: %w: %w", train.ErrPeerLost, err)
	}
	for rank := range g.World {
		if rank == g.Rank {
			continue
		}
		a, err := g.Store.Do(train.StoreCall{Op: train.StoreGet, Key: key(rank), Timeout: g.Timeout})
		if err != nil {
			return fmt.Errorf("learn rank %d's card: %w: %w", rank, train.ErrPeerLost, err)
		}
		if string(a.Value) == card {
			return fmt.Errorf("%w: ranks %d and %d are both on the card %s, and each needs one of its own: start fewer processes, or give each another --device or CUDA_VISIBLE_DEVICES",
				train.ErrNoDevice, min(rank, g.Rank), max(rank, g.Rank), card)
		}
	}
	return nil
}
