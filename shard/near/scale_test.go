package near

import (
	"context"
	"flag"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

var scale = flag.Int("images", 50_000, "images whose hashes TestScale groups")

// TestScale groups hashes of many images that have nothing in common but for one in a hundred,
// which is a copy: each copy is found, and nothing else. With -images 1300000 and -v it says
// how long ImageNet takes, and how much memory.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("compares many hashes")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	hashes := make([]Hashes, *scale)
	copies := 0
	for i := range hashes {
		h := &hashes[i]
		if i%100 == 99 {
			copies++
			*h = hashes[i-1-rng.IntN(98)]
			for range 5 {
				h.Whole.Low ^= 1 << rng.IntN(64)
			}
			for range 40 {
				h.Whole.High[rng.IntN(4)] ^= 1 << rng.IntN(64)
			}
			h.Inner.Low = rng.Uint64()
			continue
		}
		for _, one := range []*Hash{&h.Whole, &h.Inner} {
			one.Low = rng.Uint64()
			for k := range one.High {
				one.High[k] = rng.Uint64()
			}
		}
	}
	began := time.Now()
	of, err := alike(context.Background(), hashes, groupsOptions{distance: DefaultDistance, first: len(hashes), workers: runtime.NumCPU()})
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	found := 0
	for i, root := range of {
		if int(root) != i {
			found++
		}
	}
	t.Logf("%d images in %.1f s by %d workers, %d MB of the heap in use at most", *scale, time.Since(began).Seconds(), runtime.NumCPU(), m.HeapSys>>20)
	if found != copies {
		t.Errorf("%d of %d copies", found, copies)
	}
}
