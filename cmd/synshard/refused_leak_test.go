package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/internal/raced"
)

// TestRefusalsLeaveNothingOpen: an input that ingest or infer refuses, wherever on the way, leaves no goroutine and no
// open file behind.
func TestRefusalsLeaveNothingOpen(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("counts what /proc shows")
	}
	r := newRoad(t)
	at := func(name string) string { return filepath.Join(r.dir, name) }
	damaged(t, r)
	infer := func(args ...string) []string {
		return append([]string{"infer", "--ort-lib", r.ort, "--threads", "2", "--out", at("p.arrow")}, args...)
	}
	for name, args := range map[string][]string{
		"a source that is missing":     {"ingest", r.tree, at("none"), "--out", at("d")},
		"a FIFO":                       {"ingest", at("fifo"), "--out", at("d")},
		"a zip cut short":              {"ingest", at("cut.zip"), "--out", at("d")},
		"a tar cut short":              {"ingest", at("cut.tar"), "--out", at("d")},
		"a compressed tar cut short":   {"ingest", at("cut.tar.gz"), "--out", at("d")},
		"a file of rows cut short":     {"ingest", at("cut.parquet"), "--out", at("d")},
		"a good source and a bad one":  {"ingest", "--train", r.tree, "--val", at("cut.tar"), "--out", at("d")},
		"a list of what is not there":  {"ingest", "--list", at("list.csv"), "--out", at("d")},
		"a folder of no images":        {"ingest", at("empty"), "--out", at("d")},
		"classes that are others":      {"ingest", r.tree, "--classes", at("classes.txt"), "--out", at("d")},
		"a development kit that is no": {"ingest", r.tree, "--devkit", at("cut.tar"), "--out", at("d")},
		"images that are none":         {"ingest", at("broken"), "--on-bad", "fail", "--out", at("d")},
		"a place that is a file":       {"ingest", r.tree, "--out", at("list.csv")},
		"no dataset to amend":          {"ingest", r.tree, "--out", at("cutset")},
		"a model that is missing":      infer(at("none.onnx"), r.frozen),
		"a model cut short":            infer(at("cut.onnx"), r.frozen),
		"a dataset cut short":          infer(r.model, at("cutset")),
		"images cut short":             infer(r.model, at("cut.tar")),
		"a split that is not there":    infer(r.model, r.frozen, "--split", "nosuch"),
		"images that are not there":    infer(r.model, at("none.jpg")),
		"predictions of another kind":  infer(r.model, r.frozen, "--split", "train", "--out", at("list.csv")),
		"a job of none":                infer(r.model, r.frozen, "--job", "3/2"),
	} {
		refused := func() {
			check(t, os.RemoveAll(at("d"))) // or what one began would refuse the next
			var out, errs bytes.Buffer
			if code := run(args, strings.NewReader(""), &out, &errs); code == 0 {
				t.Errorf("%s: exit 0\n%s", name, &out)
			}
		}
		refused() // what is made once and kept
		if raced.Enabled {
			continue // it watches one call of each; what stays open is counted without it
		}
		before := holds(t)
		for range 2 {
			refused()
		}
		after := holds(t)
		more := func() bool { return after.Goroutines > before.Goroutines || after.Files > before.Files }
		for end := time.Now().Add(10 * time.Second); more() && time.Now().Before(end); after = holds(t) { // some are ending
			time.Sleep(10 * time.Millisecond)
		}
		if more() {
			t.Errorf("%s: %+v, and %+v after two more", name, before, after)
		}
	}
}

// damaged makes what is refused.
func damaged(t *testing.T, r *road) {
	at := func(name string) string { return filepath.Join(r.dir, name) }
	half := func(from, to string) {
		b, err := os.ReadFile(from)
		check(t, err)
		check(t, os.WriteFile(at(to), b[:len(b)/2], 0o666))
	}
	for _, to := range []string{"tar", "hf"} {
		runVerb(t, 0, "export", r.frozen, "--to", to, "--out", at(to))
	}
	files, err := filepath.Glob(at("hf/data/*.parquet"))
	check(t, err)
	if len(files) == 0 {
		t.Fatal("no file of rows was made")
	}
	half(files[0], "cut.parquet")
	half(at("tar/train.tar"), "cut.tar")
	half("../../source/testdata/archives/infozip.zip", "cut.zip")
	half("../../source/testdata/archives/two.tar.gz", "cut.tar.gz")
	half(r.model, "cut.onnx")
	check(t, os.CopyFS(at("cutset"), os.DirFS(r.frozen)))
	check(t, os.Truncate(at("cutset/classes.arrow"), 100))
	check(t, unix.Mkfifo(at("fifo"), 0o666))
	check(t, os.MkdirAll(at("broken/n01440764"), 0o777))
	check(t, os.Mkdir(at("empty"), 0o777))
	check(t, os.WriteFile(at("broken/n01440764/a.JPEG"), slices.Repeat([]byte("no image "), 9), 0o666))
	check(t, os.WriteFile(at("list.csv"), []byte("path,label\nnone.jpg,n01440764\n"), 0o666))
	check(t, os.WriteFile(at("classes.txt"), []byte("n00000001\nn00000002\n"), 0o666))
}
