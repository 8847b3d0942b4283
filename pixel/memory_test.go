package pixel

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// bounded gives the decoders of this test a bound.
func bounded(t *testing.T, most int64) {
	SetMemory(most)
	t.Cleanup(func() {
		if used := budget.used.Load(); used != 0 {
			t.Errorf("%d bytes are held at the end", used)
		}
		budget.most.Store(0)
	})
}

func drawn(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestMemoryRefuses: an image that alone takes more than there is.
func TestMemoryRefuses(t *testing.T) {
	bounded(t, 1<<20)
	d := NewDecoder()
	defer d.Close()
	for i, want := range []bool{true, false, true} { // 11 bytes a pixel
		size := []int{300, 400, 300}[i]
		_, err := d.Decode(drawn(t, size, size))
		switch {
		case want && err != nil:
			t.Error(err)
		case !want && (!errors.Is(err, ErrTooLarge) || !OfImage(err) || !strings.Contains(err.Error(), "PNG of 400 x 400 takes 1 MiB to decode, more than the 1 MiB")):
			t.Errorf("%d pixels: %v", size, err)
		}
	}
	d.Beside = 4
	if err := d.Check(drawn(t, 300, 300)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("with what the caller takes: %v", err)
	}
}

// TestMemoryShared has many decoders decode under a bound of two images: never
// is more held, and nobody waits for ever.
func TestMemoryShared(t *testing.T) {
	large, small := drawn(t, 300, 300), drawn(t, 20, 20)
	bounded(t, 2*11*300*300)
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			d := NewDecoder()
			defer d.Close()
			rng := rand.New(rand.NewPCG(1, uint64(k)))
			dst := make([]byte, 8*8*3)
			for i := range 20 {
				b := large
				if rng.IntN(2) == 0 {
					b = small
				}
				var err error
				switch i % 4 {
				case 0:
					_, err = d.Decode(b)
					if used := budget.used.Load(); used > budget.most.Load() || used <= 0 {
						t.Errorf("%d bytes held of %d", used, budget.most.Load())
					}
					d.Release()
				case 1:
					err = d.Check(b)
				case 2:
					err = d.Eval(dst, b, Eval{Size: 8, Resize: 8, Interpolation: "bilinear"})
				case 3:
					err = d.Train(dst, b, Train{Size: 8, AreaMin: 0.1, AreaMax: 1, AspectMin: 0.5, AspectMax: 2, Interpolation: "bilinear"}, rng)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestMemoryOrder: who waits is not passed by those that come later and would
// fit.
func TestMemoryOrder(t *testing.T) {
	var m memory
	m.most.Store(10)
	m.take(6)
	served := make(chan int64, 3)
	ask := func(n int64) {
		before := m.waiting.Load()
		go func() { m.take(n); served <- n }()
		for m.waiting.Load() == before {
			time.Sleep(time.Millisecond)
		}
	}
	ask(8)
	ask(1) // would fit beside the 6
	select {
	case n := <-served:
		t.Fatalf("%d was served out of turn", n)
	case <-time.After(20 * time.Millisecond):
	}
	m.give(6)
	if a, b := <-served, <-served; a+b != 9 {
		t.Errorf("served %d and %d", a, b)
	}
	m.give(9)
	if used := m.used.Load(); used != 0 {
		t.Errorf("%d bytes held", used)
	}
}

func BenchmarkMemory(b *testing.B) {
	var m memory
	m.most.Store(1 << 30)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			m.take(100)
			m.give(100)
		}
	})
}

// TestKeep: what is held beside decoding is of the same bytes, and comes back.
func TestKeep(t *testing.T) {
	bounded(t, 4<<20)
	release, err := Keep(2 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Keep(2 << 20); !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), "2.0 MiB, where all pixels together and the decoding of images have 4.0 MiB, 2.0 of them taken") {
		t.Errorf("nothing left to decode in: %v", err)
	}
	d := NewDecoder()
	defer d.Close()
	large := drawn(t, 500, 500) // 2.6 MiB
	if _, err := d.Decode(large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beside what is kept: %v", err)
	}
	release()
	release() // once
	if _, err := d.Decode(large); err != nil {
		t.Error(err)
	}
}
