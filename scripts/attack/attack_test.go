//go:build linux

package main

import (
	"io"
	"os"
	"regexp"
	"sync"
	"testing"

	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/internal/raced"
)

// TestShort is the short form: a trial of each kind of attack, two at a time. What a night of them found is in
// docs/RELIABILITY.md.
func TestShort(t *testing.T) {
	raced.Skip(t, "what is attacked are processes of a binary of its own")
	o := options{seed: 1, trials: 1, trial: -1, workers: 2, only: regexp.MustCompile("^(kill/([^t]|train$)|hostile/|fail/(ingest-zip|export-hf|infer-csv|model-quantize|train)$|(signal|limit)/(ingest-ilsvrc|infer-arrow|export-tar)$|" +
		"damage/(dataset-(verify|repair|export-hf|infer)|predictions-eval|jobs|model-infer|run-infer|export-again|setup-again-index|source-(ilsvrc|zip))|special/(dataset-(verify|infer)|model-infer|source-folder|jobs-merge)$)")}
	o.except = regexp.MustCompile("-varied$|^kill/(man$|setup-[tw]|infer-bucket-|ingest-bucket-|export-bucket-[^f])")
	if testing.Short() {
		o.only = regexp.MustCompile("^(kill|damage)/.*(zip|webdataset|verify|merge|safetensors)")
	}
	found := &finds{t: t}
	tallies, err := campaign(t.Context(), stage(t), o, found)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range tallies {
		switch {
		case a.Skipped != "" && os.Getenv("SYNSHARD_TEST_NATIVE") != "":
			t.Errorf("%s was not tried: %s", a.Attack, a.Skipped)
		case a.Silent+a.Faults > 0 || a.Skipped == "" && a.Trials != 1:
			t.Errorf("%s: %d trials, %d silent, %d faults", a.Attack, a.Trials, a.Silent, a.Faults)
		}
	}
}

// stage is the one scene of all tests.
func stage(t *testing.T) *scene {
	t.Helper()
	s, err := staging()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var staging = sync.OnceValues(func() (*scene, error) {
	binary, err := build("", place)
	if err != nil {
		return nil, err
	}
	return newScene(binary, place)
})

// place is where it is.
var place string

func TestMain(m *testing.M) {
	code := func() int {
		err := nativetest.Export()
		if err != nil {
			panic(err)
		}
		if place, err = workplace(""); err != nil {
			panic(err)
		}
		defer os.RemoveAll(place)
		defer os.RemoveAll(beside(place))
		return m.Run()
	}()
	os.Exit(code)
}

// finds logs what a campaign tells.
type finds struct{ t *testing.T }

var _ io.Writer = (*finds)(nil)

func (f *finds) Write(b []byte) (int, error) {
	f.t.Logf("%s", b)
	return len(b), nil
}

// TestKillAtEveryPoint ends one verb before each of its changes in turn, which random trials do not promise to do.
func TestKillAtEveryPoint(t *testing.T) {
	raced.Skip(t, "what is killed are processes of a binary of its own")
	s := stage(t)
	for _, j := range jobs() {
		if j.name != "model-export-safetensors" {
			continue
		}
		if err := j.learn(s); err != nil {
			t.Fatal(err)
		}
		if j.points < 5 {
			t.Fatalf("%s: %d changes were seen", j.name, j.points)
		}
		for n := range j.points {
			killedAt(t, s, j, n+1)
		}
	}
}

func killedAt(t *testing.T, s *scene, j *job, n int) {
	t.Helper()
	dir, err := j.ready(s)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	run := s.command(dir, j.args...)
	run.decide = func(i int, _ func() call) verdict { return verdict{kill: i == n} }
	if o, err := run.do(); err != nil || o.code == 0 && n < j.points {
		t.Fatalf("%s, change %d of %d: %v, %v", j.name, n, j.points, o, err)
	}
	if err := j.judgeWhole(dir); err != nil {
		t.Errorf("%s, killed before change %d: %v", j.name, n, err)
	}
	if err := j.finish(s, dir, j.name); err != nil {
		t.Error(err)
	}
}

// TestJudges: what is to see a difference sees one.
func TestJudges(t *testing.T) {
	want := tree{"a": ": one", "b": "/", "c": "-> a"}
	for what, got := range map[string]tree{
		"missing":     {"a": ": one", "b": "/"},
		"differs":     {"a": ": two", "b": "/", "c": "-> a"},
		"is too much": {"a": ": one", "b": "/", "c": "-> a", ".a.tmp-0": ": "},
	} {
		if d := want.differences(got); !regexp.MustCompile(what).MatchString(d) {
			t.Errorf("%s: %q", what, d)
		}
	}
	if d := want.differences(want); d != "" {
		t.Errorf("the same differs: %s", d)
	}
	for name, pattern := range map[string]string{"d/train/synset=n01/part-0.arrow": "d/**", "d": "d", "job-0.arrow": "job-*", "e/x": "e/*"} {
		if !match(pattern, name) {
			t.Errorf("%s does not match %s", name, pattern)
		}
	}
	if match("e/*", "e/x/y") || match("d", "d/x") {
		t.Error("a pattern matches too much")
	}
}
