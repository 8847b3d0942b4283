package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/shard"
)

// TestSoak runs the road in one process over and over, and holds goroutines, open files and memory to what they were
// after the first rounds. SYNSHARD_TEST_SOAK says for how long; with the race detector, for an hour:
//
//	SYNSHARD_TEST_SOAK=1h go test -race ./cmd/synshard -run TestSoak -timeout 2h -v
func TestSoak(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("counts what /proc shows")
	}
	r := newRoad(t)
	end := time.Now().Add(r.howLong())
	settle := 1 // rounds in which caches, pools and arenas fill
	if r.howLong() > 0 {
		settle = 25
	}
	var first, last held
	var rounds int
	for ; rounds < settle+2 || time.Now().Before(end); rounds++ {
		r.round(rounds)
		last = holds(t)
		if rounds == settle {
			first = last
		}
		if rounds >= settle {
			last.notMore(t, first, rounds)
		}
		if rounds%25 == 0 {
			t.Logf("round %d: %+v", rounds, last)
		}
	}
	t.Logf("%d rounds: %+v after round %d, %+v after the last", rounds, first, settle, last)
}

// road is what a round goes over.
type road struct {
	t                             *testing.T
	dir, tree, model, ort, frozen string
}

func newRoad(t *testing.T) *road {
	frozen, err := filepath.Abs("../../shard/testdata/v1")
	check(t, err)
	r := &road{t: t, dir: t.TempDir(), frozen: frozen, ort: needORT(t)}
	t.Setenv("SYNSHARD_PROGRESS", "off")
	r.tree, r.model = filepath.Join(r.dir, "tree"), filepath.Join(r.dir, "model.onnx")
	runVerb(t, 0, "export", frozen, "--to", "folder", "--out", r.tree)
	set, err := shard.Open(frozen)
	check(t, err)
	defer set.Close()
	spec := model.Spec{Model: "resnet50", Width: 0.0625, InputSize: 32, Resize: 32, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}}
	for _, c := range set.Classes() {
		spec.Classes = append(spec.Classes, c.Synset)
	}
	net, err := spec.Network(false)
	check(t, err)
	var b bytes.Buffer
	check(t, onnx.Write(&b, net, net.Init(1), spec))
	check(t, os.WriteFile(r.model, b.Bytes(), 0o666))
	return r
}

func (r *road) howLong() time.Duration {
	text := os.Getenv("SYNSHARD_TEST_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	check(r.t, err)
	return d
}

// round is every stage but training, and an end that is an error.
func (r *road) round(n int) {
	t := r.t
	out := filepath.Join(r.dir, "round"+strconv.Itoa(n))
	at := func(name string) string { return filepath.Join(out, name) }
	check(t, os.MkdirAll(out, 0o777))
	defer os.RemoveAll(out)
	infer := []string{"infer", r.model, at("dataset"), "--split", "train", "--ort-lib", r.ort, "--threads", "2", "--out"}
	runVerb(t, 0, "ingest", r.tree, "--out", at("dataset"))
	runVerb(t, 0, "verify", at("dataset"))
	runVerb(t, 0, "bench", "loader", at("dataset"), "--seconds", "0.05", "--size", "32")
	for _, to := range []string{"folder", "webdataset", "hf", "tar"} {
		runVerb(t, 0, "export", at("dataset"), "--to", to, "--out", at(to))
	}
	for _, job := range []string{"0", "1"} {
		runVerb(t, 0, append(infer, at(job+".arrow"), "--job", job+"/2")...)
	}
	for _, form := range []string{"arrow", "parquet", "ndjson", "csv"} {
		runVerb(t, 0, append(infer, at("p."+form))...)
		runVerb(t, 0, "eval", at("p."+form), "--no-wordnet")
	}
	runVerb(t, 0, "merge", at("1.arrow"), at("0.arrow"), "--out", at("merged.arrow"))
	check(t, os.Truncate(at("dataset/classes.arrow"), 100))
	runVerb(t, exitCorrupt, "verify", at("dataset"))
	runVerb(t, exitCorrupt, append(infer, at("none.arrow"))...)
}

// held is what a process holds.
type held struct{ Goroutines, Files, MiB int }

func holds(t *testing.T) held {
	// What ends in the background has a moment.
	var h held
	for range 50 {
		debug.FreeOSMemory()
		h = held{Goroutines: runtime.NumGoroutine(), Files: len(readDir(t, "/proc/self/fd"))}
		if h.Goroutines < 10 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	b, err := os.ReadFile("/proc/self/statm")
	check(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	check(t, err)
	h.MiB = pages * os.Getpagesize() >> 20
	return h
}

func readDir(t *testing.T, dir string) []os.DirEntry {
	entries, err := os.ReadDir(dir)
	check(t, err)
	return entries
}

// notMore allows half as much memory again, in which heaps and the race detector's shadows breathe, and 3 MiB a round:
// cobra keeps the flags of every command line for the life of the process, which has one but in tests. Of the rest it
// allows nothing but what comes and goes.
func (h held) notMore(t *testing.T, than held, round int) {
	t.Helper()
	if h.Goroutines > than.Goroutines+2 || h.Files > than.Files+2 || h.MiB > than.MiB*3/2+64+3*round {
		t.Fatalf("after round %d: %+v, and %+v before", round, h, than)
	}
}
