package ingest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/shard"

	"github.com/synshard/synshard/storage/files"
)

// arrays are sources for jobs, drawn into a directory: what is listed, what is
// read front to back and what is not known before, with images that are refused and
// files that are left out.
func arrays(t *testing.T) map[string]Options {
	t.Helper()
	dir, o := drawn(t)
	o.ShardBytes = 60_000 // several shards a class, several pieces a split
	whole := o

	good := oneImage(t, o)
	class := func(name string, more ...string) string {
		inner := filepath.Join(dir, "inner.tar")
		pack(t, inner, append([]string{name + "_1.JPEG", good, name + "_2.JPEG", "no image", name + "/readme.txt", "text"}, more...)...)
		return read(t, inner)
	}
	pack(t, filepath.Join(dir, "bad.tar"), tench+".tar", class(tench), goldfish+".tar", class(goldfish, "half.JPEG", good[:len(good)/2]), shark+".tar", class(shark))

	pack(t, filepath.Join(dir, "one.tar"), tench+"/a.JPEG", good, tench+"/notes.doc", "text", goldfish+"/a.JPEG", good)
	pack(t, filepath.Join(dir, "two.tar"), shark+"/a.JPEG", good, shark+"/b.avif", "image")
	streams := of(gzipped(t, filepath.Join(dir, "one.tar")), gzipped(t, filepath.Join(dir, "two.tar")))
	unlisted := of()
	for _, s := range streams.Sources {
		unlisted.Sources = append(unlisted.Sources, Source{Path: s.Path, Split: "train"})
	}
	unlisted.Classes = list(t, tench, goldfish, shark)

	var flat [2][]string
	for i := range 9 {
		flat[i%2] = append(flat[i%2], fmt.Sprintf("%02d.jpg", i), good, fmt.Sprintf("%02d.cls", i), fmt.Sprint(i%3))
	}
	pack(t, filepath.Join(dir, "web0.tar"), flat[0]...)
	pack(t, filepath.Join(dir, "web1.tar"), flat[1]...)
	pieces := of(gzipped(t, filepath.Join(dir, "web0.tar")), gzipped(t, filepath.Join(dir, "web1.tar")))
	pieces.Layout = "numbers"
	pieces.ShardBytes = int64(2 * len(good))

	tree := with(three("in/"), texts{"in/" + tench + "/b.JPEG": "image", "in/" + tench + "/c.heic": "image", "in/" + shark + "/d.JPEG": "image", "in/" + shark + "/e.JPEG": "image"}).folder(t, filepath.Join(dir, "tree"))
	held := of(filepath.Join(tree, "in"))
	held.ValFraction = 0.5
	return map[string]Options{"ILSVRC2012": whole, "refused": as("train", filepath.Join(dir, "bad.tar")), "streams": streams, "unlisted streams": unlisted, "pieces of streams": pieces, "fraction held out": held}
}

// runJobs does all jobs of an array at a time, and joins them.
func runJobs(t testing.TB, o Options, n int) Summary {
	t.Helper()
	var all errgroup.Group
	for i := range n {
		o := o
		o.Job, o.Jobs = i, n
		all.Go(func() error { _, err := ingest(t.Context(), o); return err })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	s, err := Join(t.Context(), o.Out)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestJobs wants the bytes, and the summary, of one call from any number of jobs
// at a time, and nothing to do afterwards.
func TestJobs(t *testing.T) {
	for name, o := range arrays(t) {
		t.Run(name, func(t *testing.T) {
			o.Out = files.Local(filepath.Join(t.TempDir(), "one"))
			one := run(t, o)
			want := tree(t, o.Out.String())
			for _, n := range []int{1, 3, 7} {
				o := o
				o.Out = files.Local(filepath.Join(t.TempDir(), fmt.Sprint(n)))
				joined := runJobs(t, o, n)
				if diff := cmp.Diff(want, tree(t, o.Out.String())); diff != "" {
					t.Errorf("%d jobs (-one call +jobs):\n%s", n, diff)
				}
				if diff := cmp.Diff(one, joined, cmpopts.IgnoreFields(Summary{}, "Out"), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%d jobs: summary (-one call +joined):\n%s", n, diff)
				}
				o.Job, o.Jobs = n-1, n
				again, err := Join(t.Context(), o.Out)
				if s := run(t, o); err != nil || !again.Already || !s.Already {
					t.Errorf("%d jobs, once more: %v, %+v, %+v", n, err, again, s)
				}
				if diff := cmp.Diff(want, tree(t, o.Out.String())); diff != "" {
					t.Errorf("%d jobs, once more:\n%s", n, diff)
				}
			}
		})
	}
}

// TestPart shares out weights: every thing is in one part, in order.
func TestPart(t *testing.T) {
	for _, weights := range [][]int64{nil, {5}, {1, 1, 1, 1}, {1, 100, 1, 1}, {1 << 62, 1, 1 << 61}, {3, 1, 4, 1, 5, 9, 2, 6}} {
		for _, n := range []int{1, 2, 3, 100, 1 << 20} {
			at := 0
			for i := range min(n, 1000) {
				if first, last := rangeOf(weights, i, n); first < last {
					if first != at {
						t.Errorf("%v: part %d of %d begins with %d, want %d", weights, i, n, first, at)
					}
					at = last
				}
			}
			if n <= 1000 && at != len(weights) {
				t.Errorf("%v by %d: %d are in a part", weights, n, at)
			}
		}
	}
}

// small are sources of two splits, in a directory of their own.
func small(t *testing.T) (string, Options) {
	t.Helper()
	dir := t.TempDir()
	with(three("in/train/"), three("in/val/"), texts{"in/train/" + shark + "/b.JPEG": "image"}).folder(t, dir)
	o := of(filepath.Join(dir, "in", "train"), filepath.Join(dir, "in", "val"))
	o.Sources[0].Split, o.Sources[1].Split = "train", "val"
	o.Out = files.Local(filepath.Join(dir, "dataset"))
	return dir, o
}

// alone does one job.
func alone(t *testing.T, o Options, i, n int) {
	t.Helper()
	o.Job, o.Jobs = i, n
	run(t, o)
}

// TestJoinRefuses joins what is no whole: the error names the jobs.
func TestJoinRefuses(t *testing.T) {
	dir, o := small(t)
	joins := func(t *testing.T, out string, words ...string) error {
		t.Helper()
		_, err := Join(t.Context(), files.Local(out))
		if err == nil {
			t.Fatalf("joined, want %q", words)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v, want %q in it", err, w)
			}
		}
		if _, err := os.Stat(filepath.Join(out, shard.ManifestName)); err == nil {
			t.Error("there is a manifest")
		}
		return err
	}
	fresh := func(t *testing.T) Options {
		o := o
		o.Out = files.Local(filepath.Join(t.TempDir(), "out"))
		return o
	}
	state := func(o Options, name string) string { return filepath.Join(o.Out.String(), ".ingest", name) }
	done := func(i, n int) string { return fmt.Sprintf("job-%05d-of-%05d.done", i, n) }

	t.Run("nothing", func(t *testing.T) {
		joins(t, filepath.Join(dir, "none"), "none has begun")
		if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
			t.Error("the directory was made")
		}
	})
	t.Run("missing", func(t *testing.T) {
		o := fresh(t)
		alone(t, o, 2, 4)
		joins(t, o.Out.String(), "job 0/4, 1/4, 3/4 is not done")
		alone(t, o, 0, 4)
		alone(t, o, 1, 4)
		joins(t, o.Out.String(), "job 3/4 is not done")
		alone(t, o, 3, 4)
		if _, err := Join(t.Context(), o.Out); err != nil {
			t.Error(err)
		}
	})
	t.Run("of another number", func(t *testing.T) {
		o := fresh(t)
		alone(t, o, 0, 2)
		four := o
		four.Job, four.Jobs = 1, 4
		differs(t, four, "begun by jobs of 2", "one of 4")
		alone(t, o, 1, 2)
		other := fresh(t)
		alone(t, other, 1, 4)
		for _, name := range []string{done(1, 4)} {
			if err := os.Rename(state(other, name), state(o, name)); err != nil {
				t.Fatal(err)
			}
		}
		each(t, state(other, "array-*"), func(b []byte) []byte {
			matches, _ := filepath.Glob(state(other, "array-*"))
			if err := os.WriteFile(state(o, filepath.Base(matches[0])), b, 0o666); err != nil {
				t.Fatal(err)
			}
			return b
		})
		joins(t, o.Out.String(), "0/4, 2/4, 3/4 is not done", "job 1/4 is of another array than job 0/2: it is of 4 jobs and not of 2")
	})
	// What another array's job left is found out, even where it began so much at the
	// same time that it did not see the first.
	for name, change := range map[string]struct {
		with func(o *Options)
		say  string
	}{
		"options": {func(o *Options) { o.OnBad = Skip }, "on-bad was quarantine and is now skip"},
		"sources": {func(o *Options) { o.Sources = o.Sources[:1] }, "val is missing now"},
		"classes": {func(o *Options) { o.Classes = list(t, shark, goldfish, tench) }, "the order of the classes is another one"},
	} {
		t.Run("of other "+name, func(t *testing.T) {
			first, other := fresh(t), fresh(t)
			change.with(&other)
			alone(t, first, 0, 2)
			alone(t, other, 1, 2)
			late := other
			late.Out, late.Job, late.Jobs = first.Out, 1, 2
			differs(t, late, change.say)
			for _, pattern := range []string{"array-*", "job-*.done"} {
				matches, _ := filepath.Glob(state(other, pattern))
				for _, m := range matches {
					if err := os.Rename(m, state(first, filepath.Base(m))); err != nil {
						t.Fatal(err)
					}
				}
			}
			joins(t, first.Out.String(), "job 1/2 is of another array than job 0/2", change.say)
		})
	}
	t.Run("touched between", func(t *testing.T) {
		o := fresh(t)
		alone(t, o, 0, 2)
		later(t, filepath.Join(o.path("train"), shark, "b.JPEG"))
		alone(t, o, 1, 2)
		joins(t, o.Out.String(), "job 1/2 is of another array than job 0/2", "touched between the jobs")
		alone(t, o, 0, 2)
		if _, err := Join(t.Context(), o.Out); err != nil {
			t.Error(err)
		}
	})
	damage := map[string]func(t *testing.T, o Options){
		"job file": func(t *testing.T, o Options) {
			each(t, state(o, done(1, 2)), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"array": func(t *testing.T, o Options) {
			each(t, state(o, "array-*"), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"record": func(t *testing.T, o Options) {
			each(t, state(o, "train-*.unit"), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"record gone": func(t *testing.T, o Options) {
			each(t, state(o, "val-*.unit"), func([]byte) []byte { return nil })
		},
		"shard cut": func(t *testing.T, o Options) {
			each(t, filepath.Join(o.Out.String(), "val/part-*.arrow"), func(b []byte) []byte { return b[:len(b)-1] })
		},
		"shard changed": func(t *testing.T, o Options) {
			each(t, filepath.Join(o.Out.String(), "val/part-*.arrow"), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"classes": func(t *testing.T, o Options) {
			each(t, filepath.Join(o.Out.String(), shard.ClassesName), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
	}
	for name, f := range damage {
		t.Run("damaged "+name, func(t *testing.T) {
			o := fresh(t)
			alone(t, o, 0, 2)
			alone(t, o, 1, 2)
			f(t, o)
			if err := joins(t, o.Out.String(), "again"); !errors.Is(err, shard.ErrCorrupt) {
				t.Errorf("%v is no damage", err)
			}
			alone(t, o, 0, 2)
			alone(t, o, 1, 2)
			if _, err := Join(t.Context(), o.Out); err != nil {
				t.Errorf("after the jobs ran again: %v", err)
			}
		})
	}
	t.Run("doubled", func(t *testing.T) {
		o := fresh(t)
		alone(t, o, 0, 2)
		alone(t, o, 1, 2)
		j := newJob(&Plan{o: o})
		jobs, err := j.state.Jobs()
		if err != nil {
			t.Fatal(err)
		}
		array, err := j.state.Array(jobs[0])
		if err != nil {
			t.Fatal(err)
		}
		jobs[1].Done = append(jobs[1].Done, jobs[0].Done[0])
		if err := j.state.FinishJob(jobs[1], array); err != nil {
			t.Fatal(err)
		}
		joins(t, o.Out.String(), "is of job 0/2 and of job 1/2")
		jobs[1].Done = jobs[1].Done[1 : len(jobs[1].Done)-1]
		if err := j.state.FinishJob(jobs[1], array); err != nil {
			t.Fatal(err)
		}
		joins(t, o.Out.String(), "units of the sources")
	})
}

// TestJobAlone: a call without --job finishes what jobs began, one with it does not
// touch a dataset, and what cannot be shared out is refused.
func TestJobAlone(t *testing.T) {
	dir, o := small(t)
	run(t, o)
	want := tree(t, o.Out.String())
	half := o
	half.Out = files.Local(filepath.Join(dir, "half"))
	alone(t, half, 1, 3)
	run(t, half)
	if diff := cmp.Diff(want, tree(t, half.Out.String())); diff != "" {
		t.Errorf("finished by one call:\n%s", diff)
	}

	add := o
	add.Sources = add.Sources[:1]
	add.Out = files.Local(filepath.Join(dir, "train alone"))
	run(t, add)
	more := o
	more.Out = add.Out
	for name, c := range map[string]struct {
		o      Options
		option string
	}{
		"a split more":   {more, "job"},
		"a pipe":         {Options{Sources: of("-").Sources, Classes: list(t, tench), Out: files.Local(add.Out.String() + " pipe")}, "job"},
		"made anew":      {Options{Sources: o.Sources, Out: o.Out, Overwrite: true}, "overwrite"},
		"boxes alone":    {Options{Boxes: []string{dir}, Out: o.Out}, "job"},
		"no such number": {Options{Sources: o.Sources, Job: 3, Out: o.Out}, "job"},
	} {
		if c.o.Job == 0 {
			c.o.Jobs = 2
		} else {
			c.o.Jobs = 3
		}
		_, err := ingest(t.Context(), c.o)
		var option *OptionError
		if !errors.As(err, &option) || option.Option != c.option {
			t.Errorf("%s: %v", name, err)
		}
	}

	locked := o
	locked.Out = files.Local(filepath.Join(dir, "locked"))
	alone(t, locked, 0, 2)
	lock, err := durable.TryLock(filepath.Join(locked.Out.String(), ".ingest", "job-00000-of-00002.lock"))
	if err != nil {
		t.Fatal(err)
	}
	locked.Job, locked.Jobs = 0, 2
	if _, err := ingest(t.Context(), locked); !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), "job 0/2") {
		t.Errorf("the job at work elsewhere: %v", err)
	}
	lock.Unlock()
	shared, err := durable.TryShare(filepath.Join(locked.Out.String(), ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Unlock()
	if _, err := Join(t.Context(), locked.Out); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("joined while a job is at work: %v", err)
	}
}

// TestJobsKilled kills jobs, and the join, at any moment.
func TestJobsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes its time under the race detector")
	}
	dir, o := drawn(t)
	run(t, o)
	want := tree(t, o.Out.String())
	out := filepath.Join(dir, "killed")
	kills := map[string]int{}
	do := func(job string, wait, more time.Duration) {
		for ; !endsWithin(t, wait, "INGEST_TEST_CHILD="+dir, "INGEST_TEST_OUT="+out, "INGEST_TEST_JOB="+job); wait += more {
			if kills[job]++; kills[job] > 200 {
				t.Fatalf("%s: it never gets done", job)
			}
		}
	}
	var all errgroup.Group
	jobs := []string{"0/3", "1/3", "2/3"}
	for _, job := range jobs {
		kills[job] = 0
	}
	for _, job := range jobs[:1] {
		do(job, 20*time.Millisecond, 30*time.Millisecond)
	}
	for _, job := range jobs[1:] {
		all.Go(func() error {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "INGEST_TEST_CHILD="+dir, "INGEST_TEST_OUT="+out, "INGEST_TEST_JOB="+job)
			return c.Run()
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	do("join", 5*time.Millisecond, 3*time.Millisecond)
	if slices.Min([]int{kills["0/3"], kills["join"]}) == 0 {
		t.Fatalf("%v: something was done before it could be killed: this proves nothing", kills)
	}
	t.Log(kills)
	if diff := cmp.Diff(want, tree(t, out)); diff != "" {
		t.Errorf("killed jobs made other files:\n%s", diff)
	}
}
