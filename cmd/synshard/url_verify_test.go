package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/storagetest"
)

// TestVerifyBucket damages a dataset here and the same one in a bucket behind faults:
// verify finds the same of both, and a repair makes the same bytes.
func TestVerifyBucket(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{Refuse: 0.01, Lose: 0.01, Cut: 0.01, Seed: 6})
	whole, in, random := filepath.Join(t.TempDir(), "whole"), t.TempDir(), rand.New(rand.NewPCG(1, 1))
	for i, class := range []string{"a", "b"} {
		check(t, os.Mkdir(filepath.Join(in, class), 0o777))
		for k := range 4 {
			check(t, os.WriteFile(filepath.Join(in, class, fmt.Sprint(k, ".jpg")), colourImage(t, random, i, "").Bytes, 0o666))
		}
		check(t, os.WriteFile(filepath.Join(in, class, "none.jpg"), []byte("no image"), 0o666))
	}
	runVerb(t, exitRefused, "ingest", in, "--out", whole, "--val-fraction", "0.2", "--progress", "off")
	words := t.TempDir() // a WordNet of one synset
	check(t, os.WriteFile(filepath.Join(words, "data.noun"), []byte("01440764 05 n 01 tench 0 000 | a fish\n"), 0o666))
	first := shard.ShardName("train", "b", 0)
	change := func(name string, f func([]byte) []byte) func(dir string) {
		return func(dir string) {
			path := filepath.Join(dir, filepath.FromSlash(name))
			b, err := os.ReadFile(path)
			check(t, err)
			check(t, os.WriteFile(path, f(b), 0o666))
		}
	}
	flip := func(at func(n int) int) func([]byte) []byte {
		return func(b []byte) []byte { b[at(len(b))] ^= 4; return b }
	}
	half, front := func(n int) int { return n / 2 }, func(int) int { return 40 }
	rest := func(name, text string) func(dir string) {
		return func(dir string) {
			path := filepath.Join(dir, filepath.FromSlash(name))
			check(t, os.MkdirAll(filepath.Dir(path), 0o777))
			check(t, os.WriteFile(path, []byte(text), 0o666))
		}
	}
	t.Run("of", func(t *testing.T) { // which waits for all
		for name, damage := range map[string]func(dir string){
			"sound":      func(string) {},
			"an image":   change(first, flip(half)),
			"a schema":   change(first, flip(front)),
			"cut":        change(first, func(b []byte) []byte { return b[:len(b)-9] }),
			"a shard":    func(dir string) { check(t, os.Remove(filepath.Join(dir, filepath.FromSlash(first)))) },
			"an index":   change("train/"+shard.IndexName, flip(half)),
			"a manifest": change(shard.ManifestName, flip(half)),
			"others":     func(dir string) { rest("note", "x")(dir); rest("more/part-00000.arrow", "x")(dir) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dir, key := filepath.Join(t.TempDir(), "set"), "set-"+strings.ReplaceAll(name, " ", "-")
				check(t, os.CopyFS(dir, os.DirFS(whole)))
				damage(dir)
				put(t, s, key, dir)
				url := s.Via(proxy, key)
				calls := [][]string{nil, {"--repair"}}
				if name == "an image" || name == "cut" {
					calls = [][]string{{"--fast"}, {"--duplicates"}, nil, {"--repair"}}
				}
				for _, flags := range calls {
					try := func(at string) (code int, out string) {
						var stdout, stderr strings.Builder
						line := append([]string{"verify", at, "--progress", "off", "--wordnet", words}, flags...)
						if at == url {
							line = append(line, "--cache-dir", t.TempDir())
						}
						code = run(line, strings.NewReader(""), &stdout, &stderr)
						if name == "sound" && code != 0 {
							t.Error(stderr.String())
						}
						return code, strings.ReplaceAll(stdout.String(), at, "SET")
					}
					code, out := try(dir)
					gotCode, got := try(url)
					got = strings.ReplaceAll(got, "s3://images/"+key, "SET")
					if gotCode != code || got != out {
						t.Errorf("%v: exit %d and %q, want %d and %q", flags, gotCode, got, code, out)
					}
				}
				sums := func(dir string) map[string]string { return filetest.Sums(t, dir, shard.LockName) }
				if diff := cmp.Diff(sums(dir), sums(filepath.Join(s.Dir, key))); diff != "" {
					t.Errorf("other files (-want +got):\n%s", diff)
				}
			})
		}
	})
	if _, made := proxy.Count(); made < 3 {
		t.Errorf("%d faults", made)
	}
	// What a web server has cannot be listed.
	if _, stderr := runVerb(t, exitUsage, "verify", "https://example.com/set"); !strings.Contains(stderr, "does not list") {
		t.Error(stderr)
	}
}
