package source

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// specimens are small containers of every kind.
func specimens(t testing.TB) map[string][]byte {
	out := map[string][]byte{}
	for _, pattern := range []string{"archives/*.zip", "archives/*.tar.*", "columns/*.parquet", "columns/*.arrow", "columns/*.feather"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if name := filepath.Base(f); len(b) < 100<<10 {
				out[name] = b
				if tt, ok := t.(*testing.T); ok && strings.HasSuffix(name, ".tar.gz") && strings.HasPrefix(name, "sparse") {
					out[strings.TrimSuffix(name, ".gz")] = gunzip(tt, f)
				}
			}
		}
	}
	out["l.csv"] = []byte("path,label\n\"a/1.jpg\",\"tench, Tinca tinca\"\nb/2.jpg,goldfish\n")
	out["l.jsonl"] = []byte(`{"path": "a/1.jpg", "label": 0}` + "\n" + `{"label": "1", "path": "b/2.jpg", "more": [1, 2]}`)
	return out
}

// use opens a container and reads all that is in it; errors are welcome.
func use(ctx context.Context, path string) error {
	s, err := Open(ctx, []string{path}, Options{Deep: true, OnSkip: func(Skip) {}})
	if err != nil {
		return err
	}
	defer s.Close()
	for i, info := range s.Infos() {
		if info.Sequential {
			err = s.Walk(ctx, i, func(_ Entry, r io.Reader) error {
				_, err := io.Copy(io.Discard, r)
				return err
			})
		}
	}
	if err == nil {
		err = s.Each(ctx, s.Entries(), func(Entry, []byte, error) error { return nil })
	}
	for i, e := range s.Entries() {
		if i%7 == 0 {
			s.Read(e, nil)
		}
	}
	return err
}

// TestDamage opens damaged containers: nothing may panic, hang, or take memory
// out of proportion. What the seed gives is the same in every run.
func TestDamage(t *testing.T) {
	each := 12
	if os.Getenv("SYNSHARD_TEST_DAMAGE") != "" {
		each = 1000
	}
	dir := t.TempDir()
	var slowest time.Duration
	all := specimens(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		rng, whole := rand.New(rand.NewPCG(1, 2)), all[name]
		p := filepath.Join(dir, name)
		failed := 0
		for range each {
			b := damage(rng, whole)
			if err := os.WriteFile(p, b, 0o666); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			if use(t.Context(), p) != nil {
				failed++
			}
			slowest = max(slowest, time.Since(start))
			runtime.ReadMemStats(&after)
			if most := uint64(2<<30 + 200*len(b)); after.TotalAlloc-before.TotalAlloc > most {
				t.Errorf("%s: %d MB allocated for %d bytes", name, (after.TotalAlloc-before.TotalAlloc)>>20, len(b))
				os.WriteFile(filepath.Join(os.TempDir(), "damaged-"+name), b, 0o666)
			}
		}
		if each >= 1000 {
			t.Logf("%s: %d of %d damages seen", name, failed, each)
		}
	}
	if slowest > 20*time.Second {
		t.Errorf("the slowest took %v", slowest)
	}
}

// damage changes a few bytes, sets a number to something great, cuts, doubles
// or takes out a run.
func damage(rng *rand.Rand, whole []byte) []byte {
	b := bytes.Clone(whole)
	for range 1 + rng.IntN(4) {
		at := rng.IntN(len(b))
		switch rng.IntN(6) {
		case 0, 1:
			b[at] ^= 1 << rng.IntN(8)
		case 2:
			b[at] = byte(rng.Uint32())
		case 3:
			for i := at; i < min(at+4, len(b)); i++ {
				b[i] = 0xff
			}
		case 4:
			b = b[:max(at, 1)]
		case 5:
			to := min(at+1+rng.IntN(64), len(b))
			b = append(b[:to:to], b[at:]...)
		}
	}
	return b
}

func FuzzOpen(f *testing.F) {
	for _, b := range specimens(f) {
		f.Add(b)
	}
	p := filepath.Join(f.TempDir(), "fuzzed")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(p, b, 0o666); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		use(ctx, p)
	})
}
