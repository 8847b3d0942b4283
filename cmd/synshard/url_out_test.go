package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/storagetest"
)

// sameObjects wants a prefix of a bucket to be a directory in every byte, but for the lock
// that stays in a directory, and the bucket to hold nothing that was begun and not ended.
func sameObjects(t *testing.T, s *storagetest.Server, prefix, dir string) {
	t.Helper()
	sums := func(dir string) map[string]string {
		all := map[string]string{}
		check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(dir, path)
			b, rerr := os.ReadFile(path)
			all[rel] = fmt.Sprintf("%x", sha256.Sum256(b))
			if rel == shard.LockName && len(b) == 0 {
				delete(all, rel)
			}
			return errors.Join(err, rerr)
		}))
		return all
	}
	if diff := cmp.Diff(sums(dir), sums(filepath.Join(s.Dir, prefix))); diff != "" {
		t.Errorf("%s: other objects (-want +got):\n%s", prefix, diff)
	}
	begun, err := filepath.Glob(filepath.Join(s.Dir, ".sgwtmp", "multipart", "*", "*"))
	check(t, err)
	if len(begun) > 0 {
		t.Errorf("uploads that were not ended: %v", begun)
	}
}

// drawnArchives draws ImageNet's archives, and gives the arguments that name them; one image
// is none.
func drawnArchives(t *testing.T, perSynset int) (dir string, args []string) {
	t.Helper()
	dir = t.TempDir()
	runVerb(t, 0, "sample", "--out", dir, "--train-per-synset", fmt.Sprint(perSynset), "--val-per-synset", "2", "--test-images", "1", "--progress", "off")
	for _, a := range [][2]string{{"--train", "*img_train.tar"}, {"--devkit", "*devkit*"}, {"--val", "*img_val.tar"}} {
		found, err := filepath.Glob(filepath.Join(dir, a[1]))
		check(t, err)
		if len(found) != 1 {
			t.Fatalf("%s: %v", a[1], found)
		}
		args = append(args, a[0], found[0])
	}
	return dir, args
}

// smallSources makes folders of a few small images in three classes, and gives the arguments
// that name them.
func smallSources(t *testing.T) (dir string, args []string) {
	t.Helper()
	dir = t.TempDir()
	random := rand.New(rand.NewPCG(4, 4))
	words := t.TempDir() // a WordNet of one synset, which every call reads
	check(t, os.WriteFile(filepath.Join(words, "data.noun"), []byte("01440764 05 n 01 tench 0 000 | a fish\n"), 0o666))
	t.Setenv("SYNSHARD_WORDNET", words)
	for _, split := range []string{"train", "val"} {
		for i, class := range []string{"n01440764", "n01443537", "n01484850"} {
			in := filepath.Join(dir, split, class)
			check(t, os.MkdirAll(in, 0o777))
			for k := range 2 {
				check(t, os.WriteFile(filepath.Join(in, fmt.Sprintf("%s_%s_%d.JPEG", class, split, k)), colourImage(t, random, i%2, "").Bytes, 0o666))
			}
		}
		args = append(args, "--"+split, filepath.Join(dir, split))
	}
	return dir, args
}

// TestIngestIntoBucket makes a dataset in a bucket behind faults: by one call, by jobs and
// a join, from the bucket itself, and adds to it. All is the bytes that a directory gets.
func TestIngestIntoBucket(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{Refuse: 0.005, Lose: 0.005, Cut: 0.005, Seed: 5})
	sources, args := smallSources(t)
	work, cache := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(work, name) }
	ingest := func(code int, out string, more ...string) (stdout, stderr string) {
		t.Helper()
		line := append([]string{"ingest", "--out", out, "--progress", "off"}, more...)
		if strings.Contains(out, "://") {
			line = append(line, "--cache-dir", cache)
		}
		return runVerb(t, code, line...)
	}
	args = slices.Clip(args) // calls at one time append to it
	url := func(name string) string { return s.Via(proxy, name) }
	bad := at("bad")
	check(t, os.MkdirAll(filepath.Join(bad, "train", "n01443537"), 0o777))
	check(t, os.WriteFile(filepath.Join(bad, "train", "n01443537", "none.JPEG"), []byte("no image"), 0o666))

	ingest(0, at("local"), args...)
	if _, err := os.Stat(filepath.Join(s.Dir, "dry")); err == nil {
		t.Error("there is something before anything was written")
	}
	ingest(0, url("dry"), append(args, "--dry-run")...)
	if _, err := os.Stat(filepath.Join(s.Dir, "dry")); err == nil {
		t.Error("--dry-run wrote something")
	}
	ingest(0, url("one"), args...)
	sameObjects(t, s, "one", at("local"))
	if stdout, _ := ingest(0, url("one"), args...); !strings.Contains(stdout, "nothing to do") {
		t.Error(stdout)
	}
	sameObjects(t, s, "one", at("local"))
	if _, stderr := ingest(exitFailure, url("one"), append(args, "--shrink", "32")...); !strings.Contains(stderr, "shrink") {
		t.Error(stderr)
	}
	// Made otherwise, and anew.
	ingest(0, at("small"), append(args, "--shrink", "32")...)
	ingest(0, url("one"), append(args, "--shrink", "32", "--overwrite")...)
	sameObjects(t, s, "one", at("small"))

	// Jobs that share a prefix, at one time, and their join.
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { ingest(0, url("jobs"), append(args, "--job", fmt.Sprintf("%d/3", i))...) })
	}
	wg.Wait()
	ingest(0, url("jobs"), "--join")
	sameObjects(t, s, "jobs", at("local"))
	if stdout, _ := ingest(0, url("jobs"), "--join"); !strings.Contains(stdout, "nothing to do") {
		t.Error(stdout)
	}

	// A split is added; refused images are kept; shards are cut.
	for _, out := range []string{at("grown"), url("grown")} {
		ingest(0, out, args[:2]...)
		ingest(0, out, args...)
	}
	sameObjects(t, s, "grown", at("grown"))
	for _, out := range []string{at("refused"), url("refused")} {
		ingest(exitRefused, out, "--folder", bad, "--shard-bytes", "1")
	}
	sameObjects(t, s, "refused", at("refused"))

	// From the bucket into the bucket.
	put(t, s, "sources", sources)
	for i := range args {
		args[i] = strings.Replace(args[i], sources, s.URL("sources"), 1)
	}
	ingest(0, at("from"), append(args, "--cache-dir", cache)...)
	ingest(0, url("both"), args...)
	sameObjects(t, s, "both", at("from"))
	if left, err := filepath.Glob(filepath.Join(cache, "*", "*", "*.arrow")); err != nil || len(left) > 0 {
		t.Errorf("left here: %v, %v", left, err)
	}
	if _, made := proxy.Count(); made < 3 {
		t.Errorf("%d faults", made)
	}
}

// drawBoxes makes a directory of a box for one training image of each class of a dataset.
func drawBoxes(t *testing.T, set, dir string) {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o777))
	data, err := shard.Open(set)
	check(t, err)
	defer data.Close()
	split, err := data.Split("train")
	check(t, err)
	drawn := map[string]bool{}
	for i := range split.Len() {
		row := split.Row(i)
		if drawn[row.Synset] {
			continue
		}
		drawn[row.Synset] = true
		box := "<annotation><object><name>" + row.Synset + "</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
		check(t, os.WriteFile(filepath.Join(dir, imagenet.Stem(row.Path)+".xml"), []byte(box), 0o666))
	}
}

// TestAmendBucket adds to a dataset in a bucket behind faults: classes that its list has and
// it has no images of, and boxes, which lie in the bucket, too. It becomes what a directory does.
func TestAmendBucket(t *testing.T) {
	s := storagetest.Start(t)
	proxy := storagetest.Before(t, s, storagetest.Faults{Refuse: 0.005, Lose: 0.005, Cut: 0.005, Seed: 7})
	sources, _ := smallSources(t)
	work, more := t.TempDir(), t.TempDir()
	const class = "n01443537"
	check(t, os.Rename(filepath.Join(sources, "train", class), filepath.Join(more, class)))
	list := filepath.Join(work, "classes.txt")
	check(t, os.WriteFile(list, []byte("n01440764\n"+class+"\nn01484850\n"), 0o666))
	local, url, boxes := filepath.Join(work, "local"), s.Via(proxy, "set"), filepath.Join(work, "boxes")
	ingest := func(wrote bool, args ...string) {
		t.Helper()
		for _, out := range []string{local, url} {
			line := append([]string{"ingest", "--out", out, "--progress", "off"}, args...)
			if out == url {
				line = append(line, "--cache-dir", filepath.Join(work, "cache"))
				for i, a := range line {
					if a == boxes {
						line[i] = s.URL("boxes")
					}
				}
			}
			if stdout, _ := runVerb(t, 0, line...); strings.Contains(stdout, "nothing to do") == wrote {
				t.Error(stdout)
			}
		}
		sameObjects(t, s, "set", local)
	}
	ingest(true, "--classes", list, "--train", filepath.Join(sources, "train"))
	ingest(true, "--classes", list, "--train", more)
	ingest(false, "--classes", list, "--train", more)
	drawBoxes(t, local, boxes)
	put(t, s, "boxes", boxes)
	ingest(true, "--boxes", boxes)
	ingest(false, "--boxes", boxes)
	ingest(true, "--classes", list, "--val", filepath.Join(sources, "val"))
}

// TestKilledIntoBucket kills calls that write into a bucket at random moments, the next
// with nothing that was kept here, and lets two write at once.
func TestKilledIntoBucket(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	s := storagetest.Start(t)
	_, args := drawnArchives(t, 12)
	work := t.TempDir()
	local := filepath.Join(work, "local")
	runVerb(t, 0, append([]string{"ingest", "--out", local, "--progress", "off"}, args...)...)
	exe, err := os.Executable()
	check(t, err)
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	verb := func(more ...string) *exec.Cmd {
		c := exec.Command(exe)
		c.Args = append([]string{"synshard"}, more...)
		c.Args = append(c.Args, "--progress", "off", "--cache-dir", filepath.Join(work, fmt.Sprint("cache", random.Int())))
		return c
	}
	// killed runs a call until it was killed a few times, and then to its end; like "" is
	// nothing to be compared with yet.
	killed := func(prefix, like string, line ...string) {
		t.Helper()
		kills := 0
		for try := range 30 {
			c := verb(line...)
			var talk strings.Builder
			c.Stderr = &talk
			check(t, c.Start())
			if try < 4 {
				time.Sleep(time.Duration(10+random.IntN(150)) * time.Millisecond)
				c.Process.Kill()
			}
			if err := c.Wait(); err == nil {
				break
			} else if c.ProcessState.Exited() {
				t.Fatalf("%v: %v: %s", line[:1], err, &talk)
			}
			kills++
		}
		t.Logf("%s: %d kills", prefix, kills)
		if like != "" {
			sameObjects(t, s, prefix, like)
		}
	}
	line := append([]string{"ingest", "--out", s.URL("set")}, args...)
	killed("set", local, line...)
	// One job of an array, beside one that nothing disturbs; then the join.
	line[2] = s.URL("jobs")
	runVerb(t, 0, append(slices.Clone(line), "--job", "1/2", "--progress", "off", "--cache-dir", filepath.Join(work, "cache"))...)
	killed("jobs", "", append(slices.Clone(line), "--job", "0/2")...)
	killed("jobs", local, "ingest", "--join", "--out", s.URL("jobs"))
	// Boxes, added to a dataset that is whole.
	boxes, boxed := filepath.Join(work, "boxes"), filepath.Join(work, "boxed")
	drawBoxes(t, local, boxes)
	check(t, os.CopyFS(boxed, os.DirFS(local)))
	runVerb(t, 0, "ingest", "--boxes", boxes, "--out", boxed, "--progress", "off")
	killed("set", boxed, "ingest", "--boxes", boxes, "--out", s.URL("set"))
	for _, to := range [][]string{{"webdataset", "--shard-bytes", "1048576"}, {"folder"}} {
		like := filepath.Join(work, to[0])
		runVerb(t, 0, append([]string{"export", local, "--out", like, "--progress", "off", "--to"}, to...)...)
		killed(to[0], like, append([]string{"export", local, "--out", s.URL(to[0]), "--to"}, to...)...)
	}
	// While another writes, a call is refused; of two at once none harms the other.
	var other app
	other.remote.ctx = t.Context()
	to, err := other.openDir(s.URL("two"))
	check(t, err)
	defer other.closeURLs()
	lock, err := to.TryLock(shard.LockName)
	check(t, err)
	line[2] = s.URL("two")
	for _, more := range [][]string{nil, {"--job", "0/2"}} {
		c := verb(append(slices.Clone(line), more...)...)
		c.Run()
		if code := c.ProcessState.ExitCode(); code != exitLocked {
			t.Errorf("%v: exit code %d, want %d", more, code, exitLocked)
		}
	}
	check(t, lock.Unlock())
	two := []*exec.Cmd{verb(line...), verb(line...)}
	codes := map[int]int{}
	for _, c := range two {
		check(t, c.Start())
	}
	for _, c := range two {
		c.Wait()
		codes[c.ProcessState.ExitCode()]++
	}
	if codes[0] < 1 || codes[0]+codes[exitLocked] != 2 {
		t.Errorf("exit codes %v", codes)
	}
	sameObjects(t, s, "two", local)
}
