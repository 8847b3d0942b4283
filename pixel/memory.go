package pixel

// #include "jpeg.h"
// #include "resample.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// budget is the memory that all decoders of the process take together.
var budget memory

// SetMemory bounds the bytes that all decoders of the process take together
// while they decode, by what the headers of the images say: one that does not
// fit beside those at work waits, and one that alone takes more is ErrTooLarge. What
// Keep holds is of the same bytes.
// 0, as at first, is no bound. It is called before anything is decoded.
func SetMemory(bytes int64) { budget.most.Store(bytes) }

// ErrMemory marks what the bound of SetMemory has no room for beside decoding.
var ErrMemory = errors.New("too little memory")

// leastDecoding is what Keep leaves for decoding at least.
const leastDecoding = 1 << 20

// Keep takes bytes out of the bound for what is held beside decoding, as batches of
// pixels are, until release is called; what decoding then has is what is left. Where
// that would be less than a MiB it takes nothing: ErrMemory. It does not wait for
// decoders at work.
func Keep(bytes int64) (release func(), err error) {
	budget.mu.Lock()
	defer budget.mu.Unlock()
	most, kept := budget.most.Load(), budget.kept.Load()
	if most > 0 && most-kept-leastDecoding < bytes {
		mib := func(n int64) float64 { return float64(n) / (1 << 20) }
		return nil, fmt.Errorf("%w: %.1f MiB, where all pixels together and the decoding of images have %.1f MiB, %.1f of them taken", ErrMemory, mib(bytes), mib(most), mib(kept))
	}
	budget.kept.Add(bytes)
	return sync.OnceFunc(func() { budget.kept.Add(-bytes); budget.give(0) }), nil
}

// KeepSpare is Keep for what is useful and no more: it takes nothing where decoding would be left
// less than half of the bound.
func KeepSpare(bytes int64) (release func(), ok bool) {
	budget.mu.Lock()
	defer budget.mu.Unlock()
	if most := budget.most.Load(); most > 0 && budget.kept.Load()+bytes > most/2 {
		return nil, false
	}
	budget.kept.Add(bytes)
	return sync.OnceFunc(func() { budget.kept.Add(-bytes); budget.give(0) }), true
}

// kept bounds what a decoder keeps from one image to the next, in bytes of
// cost; larger images leave nothing behind.
const kept = 32 << 20

// memory is a semaphore of bytes. Who comes first is served first, so that small
// images do not keep a large one waiting.
type memory struct {
	most    atomic.Int64 // 0: no bound
	kept    atomic.Int64 // of most, by what is not a decoder
	used    atomic.Int64
	waiting atomic.Int32
	mu      sync.Mutex // of those that wait
	first   uint64     // who is served next
	last    uint64
	freed   *sync.Cond
}

// room is what decoders have.
func (m *memory) room() int64 { return m.most.Load() - m.kept.Load() }

func (m *memory) try(n int64) bool {
	for {
		used := m.used.Load()
		if used+n > m.room() {
			return false
		}
		if m.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// take waits for n bytes, which are at most what there is.
func (m *memory) take(n int64) {
	if m.waiting.Load() == 0 && m.try(n) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.freed == nil {
		m.freed = sync.NewCond(&m.mu)
	}
	m.waiting.Add(1)
	turn := m.last
	m.last++
	for m.first != turn || !m.try(n) {
		m.freed.Wait()
	}
	m.first++
	m.waiting.Add(-1)
	m.freed.Broadcast()
}

func (m *memory) give(n int64) {
	m.used.Add(-n)
	if m.waiting.Load() == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.freed != nil {
		m.freed.Broadcast()
	}
}

// cost is the bytes that decoding an image takes at most, by its header: its
// pixels, and what its format's decoder holds beside them.
func cost(b []byte, info Info) int64 {
	each := int64(3) // the pixels
	switch info.Format {
	case "JPEG":
		each += 9 // coefficients of a progressive one: two bytes of up to four components
	case "PNG":
		own := int64(4)
		if len(info.Mode) > 3 && info.Mode[len(info.Mode)-3:] == ";16" {
			own = 8
		}
		if len(b) > 28 && b[28] != 0 { // interlaced: a pass is an image, too
			own *= 2
		}
		each += own + 4 // greys of 16 bits with transparency are copied
	case "GIF":
		each += 9
	case "BMP":
		each += 2
	case "WEBP":
		each += 13
	default: // TIFF: strips, 16 bits, a copy where it is turned
		each += 27
	}
	return each * int64(info.Width) * int64(info.Height)
}

// reserve waits until there is memory for an image, as much as beside bytes a
// pixel more than decoding takes, and lets go of the last one's.
func (d *Decoder) reserve(b []byte, info Info) error {
	d.Release()
	if budget.most.Load() == 0 {
		return nil
	}
	most := budget.room()
	n := cost(b, info) + d.Beside*int64(info.Width)*int64(info.Height)
	if n > most {
		return fmt.Errorf("%w: %s of %d x %d takes %d MiB to decode, more than the %d MiB there are for it", ErrTooLarge, info.Format, info.Width, info.Height, n>>20, most>>20)
	}
	budget.take(n)
	d.held = n
	d.garbage = info.Format != "JPEG"
	return nil
}

// Release lets go of the memory that the pixels of the last Decode have in the
// process's bound; they must not be used any more. What else decodes lets go by
// itself, and so do the next image and Close.
func (d *Decoder) Release() {
	n := d.held
	if n == 0 {
		return
	}
	if n > min(kept, budget.most.Load()/16) {
		C.px_jpeg_free(d.jpeg)
		C.px_scratch_free(&d.scratch)
		if d.jpeg = C.px_jpeg_new(); d.jpeg == nil {
			panic("pixel: no memory for a decoder")
		}
		d.whole, d.deep = nil, nil
		if d.garbage {
			runtime.GC() // or the next large image would stand beside what is left of this one
		}
	}
	d.held = 0
	budget.give(n)
}
