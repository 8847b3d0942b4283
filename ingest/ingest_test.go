package ingest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/sample"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/source/classlist"

	"github.com/synshard/synshard/storage/files"
)

// TestMain lets a test run this binary as a process that ingests and can be
// killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("INGEST_TEST_CHILD"); dir != "" {
		o := archives(dir)
		if file := map[string]string{"zip": "kaggle.zip", "stream": "train.tar.gz", "webdataset": "web.tar", "folder": "folder"}[os.Getenv("INGEST_TEST_SOURCE")]; file != "" {
			o = of(filepath.Join(dir, file))
		}
		o.Out, o.Workers = files.Local(os.Getenv("INGEST_TEST_OUT")), 2
		o.OnRead = func(int64, int) { time.Sleep(5 * time.Millisecond) } // so that there is time to be killed
		if os.Getenv("INGEST_TEST_SOURCE") == "many" {
			o = Options{Sources: o.Sources[:1], Out: o.Out, Check: CheckHeader}
		}
		if err := child(o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child ingests, does one job of an array, or joins them.
func child(o Options) error {
	job := os.Getenv("INGEST_TEST_JOB")
	if job == "join" {
		_, err := Join(context.Background(), o.Out)
		return err
	}
	if job != "" {
		if _, err := fmt.Sscanf(job, "%d/%d", &o.Job, &o.Jobs); err != nil {
			return err
		}
	}
	_, err := ingest(context.Background(), o)
	return err
}

// of gives options that read paths.
func of(paths ...string) Options {
	var o Options
	for _, p := range paths {
		o.Sources = append(o.Sources, Source{Path: p})
	}
	return o
}

// as gives options that read a path as a split.
func as(split, path string) Options { return Options{Sources: []Source{{Path: path, Split: split}}} }

// archives gives options that read ILSVRC2012's archives: train, val, test.
func archives(dir string) Options {
	return Options{Devkit: filepath.Join(dir, sample.Devkit), Sources: []Source{
		{Path: filepath.Join(dir, sample.TrainTar), Split: "train"},
		{Path: filepath.Join(dir, sample.ValTar), Split: "val"},
		{Path: filepath.Join(dir, sample.TestTar), Split: "test"},
	}}
}

// path is that of a split's source.
func (o *Options) path(split string) string {
	for _, s := range o.Sources {
		if s.Split == split {
			return s.Path
		}
	}
	return ""
}

// ingest makes a plan and runs it.
func ingest(ctx context.Context, o Options) (Summary, error) {
	p, err := MakePlan(ctx, o)
	if err != nil {
		return Summary{}, err
	}
	defer p.Close()
	return Run(ctx, p)
}

// list is a class list.
func list(t testing.TB, names ...string) *classlist.List {
	t.Helper()
	l, err := classlist.New(names, nil, "the test's list")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// archived are a small set in ImageNet's packing, by the names of its archives. It is drawn once: that is most of what a
// test would otherwise do.
var archived = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "archived")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	paths, err := sample.Write(context.Background(), dir, sample.Options{TrainPerSynset: 3, ValPerSynset: 2, Test: 3, Seed: 1})
	all := map[string][]byte{}
	for _, path := range paths {
		b, failed := os.ReadFile(path)
		all[filepath.Base(path)], err = b, errors.Join(err, failed)
	}
	return all, err
})

// drawn gives a directory of its own with that set, and options that read it.
func drawn(t testing.TB) (string, Options) {
	t.Helper()
	all, err := archived()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range all {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	o := archives(dir)
	o.Out = files.Local(filepath.Join(dir, "dataset"))
	return dir, o
}

// tree gives the sha256 of every file below a directory.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	return filetest.Sums(t, dir, shard.LockName)
}

func run(t testing.TB, o Options) Summary {
	t.Helper()
	s, err := ingest(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantRun runs, and wants that to end so: images, classes, what was rejected or
// skipped, and whether there was nothing to do.
func wantRun(t testing.TB, o Options, want Summary) {
	t.Helper()
	got := run(t, o)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Summary{}, "Out", "Bytes", "Splits", "Inner", "Notes"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

// TestLabels follows every validation image from the ground truth's
// ILSVRC2012_ID through the kit to its synset and class index, by another way
// than ingest's, where the ids are in another order than the synsets.
func TestLabels(t *testing.T) {
	_, o := drawn(t)
	sum := run(t, o)
	want := Summary{Splits: map[string]int64{"train": 24, "val": 16, "test": 3}, Classes: 8}
	if diff := cmp.Diff(want, Summary{Splits: sum.Splits, Classes: sum.Classes, Rejected: sum.Rejected}); diff != "" {
		t.Fatalf("summary (-want +got):\n%s", diff)
	}
	kit, err := imagenet.ReadKit(t.Context(), o.Devkit)
	if err != nil {
		t.Fatal(err)
	}
	synset := map[int]string{}
	var ids, leaves []string
	for _, s := range kit.Synsets {
		synset[s.ID] = s.WNID
		if s.NumChildren == 0 {
			leaves = append(leaves, s.WNID)
		}
	}
	for i := range leaves {
		ids = append(ids, synset[i+1])
	}
	if slices.IsSorted(ids) {
		t.Fatal("the kit's ids are in the order of the synsets: this proves nothing")
	}
	slices.Sort(leaves)
	val := shardtest.OpenSplit(t, o.Out.String(), "val")
	for i := range val.Len() {
		row := val.Row(i)
		id := kit.Truth[i]
		want := shard.Row{Path: fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i+1), ILSVRC2012ID: int32(id), Synset: synset[id], Label: int64(slices.Index(leaves, synset[id]))}
		got := shard.Row{Path: row.Path, ILSVRC2012ID: row.ILSVRC2012ID, Synset: row.Synset, Label: row.Label}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("row %d (-want +got):\n%s", i, diff)
		}
	}
	test := shardtest.OpenSplit(t, o.Out.String(), "test")
	for i := range test.Len() {
		r := test.Row(i)
		if diff := cmp.Diff(shard.Row{Path: r.Path, Label: -1}, shard.Row{Path: r.Path, Label: r.Label, Synset: r.Synset}); diff != "" {
			t.Errorf("test image (-want +got):\n%s", diff)
		}
	}
}

// TestSameBytes expects the same files from any number of workers, stopped half way and
// continued too, and from a second call nothing.
func TestSameBytes(t *testing.T) {
	dir, o := drawn(t)
	o.Workers, o.ShardBytes = 1, 100_000 // several shards a synset
	run(t, o)
	want := tree(t, o.Out.String())
	if len(want) < 3+8*2 {
		t.Fatalf("%d files", len(want))
	}
	wantRun(t, o, Summary{Images: 43, Classes: 8, Already: true})
	o.Workers, o.Out = 4, files.Local(filepath.Join(dir, "again"))
	run(t, o)
	if diff := cmp.Diff(want, tree(t, o.Out.String())); diff != "" {
		t.Errorf("four workers made other files:\n%s", diff)
	}

	o.Out = files.Local(filepath.Join(dir, "stopped"))
	ctx, cancel := context.WithCancel(t.Context())
	var read atomic.Int64
	cut := o
	cut.OnRead = func(int64, int) {
		if read.Add(1) == 14 {
			cancel()
		}
	}
	if _, err := ingest(ctx, cut); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	run(t, o)
	if diff := cmp.Diff(want, tree(t, o.Out.String())); diff != "" {
		t.Errorf("four workers that were stopped and went on made other files:\n%s", diff)
	}
}

// TestKilled kills a process in the middle, again and again, for every kind of
// source, and expects the bytes of an uninterrupted run.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes its time under the race detector")
	}
	dir, o := drawn(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.WriteString(z, read(t, o.path("train"))); err != nil || z.Close() != nil {
		t.Fatal("cannot compress")
	}
	put(t, dir, "train.tar.gz", packed.String())
	run(t, o)
	train := shardtest.OpenSplit(t, o.Out.String(), "train")
	var web []string
	for i := range train.Len() {
		r := train.Row(i)
		b, err := train.Read(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, "folder/"+r.Synset+"/"+r.Path, string(b), "kaggle/ILSVRC/Data/CLS-LOC/train/"+r.Synset+"/"+r.Path, string(b))
		web = append(web, imagenet.Stem(r.Path)+".jpg", string(b), imagenet.Stem(r.Path)+".cls", r.Synset)
	}
	pack(t, filepath.Join(dir, "web.tar"), web...)
	zipped(t, filepath.Join(dir, "kaggle"), filepath.Join(dir, "kaggle.zip"))
	for source, o := range map[string]Options{
		"archives":   o,
		"zip":        of(filepath.Join(dir, "kaggle.zip")),
		"stream":     of(filepath.Join(dir, "train.tar.gz")),
		"webdataset": of(filepath.Join(dir, "web.tar")),
		"folder":     of(filepath.Join(dir, "folder")),
	} {
		o.Out = files.Local(filepath.Join(dir, "whole "+source))
		run(t, o)
		killed(t, dir, source, tree(t, o.Out.String()))
	}
}

// endsWithin starts this binary as a process that ingests, with these variables, and
// kills it after wait; it tells whether the process was done by then. One that has
// something to say ends the test.
func endsWithin(t *testing.T, wait time.Duration, env ...string) bool {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(wait, func() { c.Process.Kill() })
	err := c.Wait()
	timer.Stop()
	if err != nil && said.Len() > 0 {
		t.Fatalf("%v: %s", env, &said)
	}
	return err == nil
}

func killed(t *testing.T, dir, source string, want map[string]string) {
	out := filepath.Join(dir, "killed "+source)
	kills := 0
	for wait := 20 * time.Millisecond; ; wait += 40 * time.Millisecond {
		if endsWithin(t, wait, "INGEST_TEST_CHILD="+dir, "INGEST_TEST_OUT="+out, "INGEST_TEST_SOURCE="+source) {
			break
		}
		if kills++; kills > 200 {
			t.Fatalf("%s: it never gets done", source)
		}
	}
	if kills == 0 {
		t.Fatalf("%s: it was done before it could be killed: this proves nothing", source)
	}
	t.Logf("%s: %d kills", source, kills)
	if diff := cmp.Diff(want, tree(t, out)); diff != "" {
		t.Errorf("%s: interrupted work made other files:\n%s", source, diff)
	}
}

func TestLocked(t *testing.T) {
	_, o := drawn(t)
	if err := os.MkdirAll(o.Out.String(), 0o777); err != nil {
		t.Fatal(err)
	}
	lock, err := durable.TryLock(filepath.Join(o.Out.String(), ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, err := ingest(t.Context(), o); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("two at a time: %v", err)
	}
}

// TestOtherwise refuses to go on with other options or sources.
func TestOtherwise(t *testing.T) {
	_, o := drawn(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.Workers, o.OnRead = 1, func(int64, int) { cancel() }
	if _, err := ingest(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Out.String(), "dataset.json")); err == nil {
		t.Fatal("there is a manifest of a dataset that is not whole")
	}
	o.OnRead = nil
	other := o
	other.ShardBytes = 12345
	if _, err := ingest(t.Context(), other); err == nil || !strings.Contains(err.Error(), "shard-bytes") {
		t.Errorf("other options, unfinished: %v", err)
	}
	run(t, o)
	if _, err := ingest(t.Context(), other); err == nil || !strings.Contains(err.Error(), "shard-bytes") {
		t.Errorf("other options, finished: %v", err)
	}
	other = o
	if other.Out = files.Local(t.TempDir()); os.WriteFile(filepath.Join(other.Out.String(), "thesis.txt"), nil, 0o666) != nil {
		t.Fatal("cannot write")
	}
	if _, err := ingest(t.Context(), other); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("a directory with other things in it: %v", err)
	}
}

// pack writes a tar.
func pack(t testing.TB, path string, files ...string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), os.WriteFile(path, b.Bytes(), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// oneImage gives a drawn image's bytes.
func oneImage(t testing.TB, o Options) string {
	t.Helper()
	f, err := os.Open(o.path("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := tar.NewReader(f)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestBadImages keeps what is refused, with the reason, and counts it.
func TestBadImages(t *testing.T) {
	dir, o := drawn(t)
	good := oneImage(t, o)
	inner := filepath.Join(dir, "inner.tar")
	pack(t, inner, "a.JPEG", good, "b.JPEG", "no image at all", "c.JPEG", good[:len(good)/2], "d.JPEG", "")
	b, err := os.ReadFile(inner)
	if err != nil {
		t.Fatal(err)
	}
	outer := filepath.Join(dir, "outer.tar")
	pack(t, outer, "n02084071.tar", string(b))
	o = as("train", outer)
	o.Out = files.Local(filepath.Join(dir, "bad"))
	s := run(t, o)
	if diff := cmp.Diff([]int64{1, 3}, []int64{int64(s.Images), int64(s.Rejected)}); diff != "" {
		t.Fatalf("images, rejected (-want +got):\n%s", diff)
	}
	text, err := os.ReadFile(filepath.Join(o.Out.String(), "rejected.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var r shard.Rejection
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join(o.Out.String(), r.File))
		if err != nil {
			t.Fatal(err)
		}
		held := shard.Rejection{SHA256: fmt.Sprintf("%x", sha256.Sum256(kept)), Bytes: int64(len(kept))}
		if diff := cmp.Diff(shard.Rejection{SHA256: r.SHA256, Bytes: r.Bytes}, held); diff != "" {
			t.Errorf("%s is kept as other bytes (-written down +kept):\n%s", r.Path, diff)
		}
		reasons[r.Path] = r.Reason
	}
	for name, want := range map[string]string{"b.JPEG": "known format", "c.JPEG": "truncated", "d.JPEG": "known format"} {
		if !strings.Contains(reasons[name], want) {
			t.Errorf("%s was refused for %q, want %q", name, reasons[name], want)
		}
	}
	o.Out, o.OnBad = files.Local(filepath.Join(dir, "skip")), Skip
	if s := run(t, o); s.Rejected != 3 {
		t.Errorf("skipped: %+v", s)
	}
	if _, err := os.Stat(filepath.Join(o.Out.String(), "rejected")); err == nil {
		t.Error("skipped images are kept")
	}
	o.Out, o.OnBad = files.Local(filepath.Join(dir, "fail")), Fail
	if _, err := ingest(t.Context(), o); err == nil || !strings.Contains(err.Error(), "b.JPEG") {
		t.Errorf("failing: %v", err)
	}
}

// TestRefusedImageIsFound holds that an image which is refused is named as it lies in its source,
// where a class of two archives is read by one worker and a name is in both classes.
func TestRefusedImageIsFound(t *testing.T) {
	dir := t.TempDir()
	a := texts{"cat/a.JPEG": "image", "dog/b.JPEG": "image"}.tar(t, dir+"/a.tar")
	b := texts{"cat/b.JPEG": "no image", "dog/c.JPEG": "image"}.tar(t, dir+"/b.tar")
	o := Options{Out: files.Local(dir + "/fail"), Sources: []Source{{Path: a}, {Path: b}}, OnBad: Fail}
	if _, err := ingest(t.Context(), o); err == nil || !strings.Contains(err.Error(), b+": cat/b.JPEG: ") {
		t.Errorf("failing: %v", err)
	}
	o.Out, o.OnBad = files.Local(dir+"/kept"), Quarantine
	run(t, o)
	list, err := os.ReadFile(dir + "/kept/rejected.ndjson")
	if err != nil || !strings.Contains(string(list), `"source":"b.tar"`) {
		t.Errorf("%v, %s", err, list)
	}
}

// TestBrokenArchives expects an error that names file and reason, and nothing
// under a final name.
func TestBrokenArchives(t *testing.T) {
	dir, o := drawn(t)
	for _, c := range []struct {
		name string
		set  func(*Options, string)
		from string
		cut  func([]byte) []byte
		want string
	}{
		{"train cut", func(o *Options, p string) { o.Sources[0].Path = p }, o.path("train"), func(b []byte) []byte { return b[:len(b)*2/3] }, "truncated"},
		{"train cut in a header", func(o *Options, p string) { o.Sources[0].Path = p }, o.path("train"), func(b []byte) []byte { return b[:700] }, "truncated"},
		{"val cut", func(o *Options, p string) { o.Sources[1].Path = p }, o.path("val"), func(b []byte) []byte { return b[:len(b)/2] }, "truncated"},
		{"train is no tar", func(o *Options, p string) { o.Sources[0].Path = p }, o.path("train"), func(b []byte) []byte { return bytes.Repeat([]byte("x"), 2000) }, "cut"},
		{"kit cut", func(o *Options, p string) { o.Devkit = p }, o.Devkit, func(b []byte) []byte { return b[:len(b)/2] }, "unexpected EOF"},
		{"kit without meta.mat", func(o *Options, p string) { o.Devkit = p }, o.path("test"), func(b []byte) []byte { return b }, "meta.mat"},
		{"val for train", func(o *Options, p string) { o.Sources[0].Path = p }, o.path("val"), func(b []byte) []byte { return b }, "--val"},
	} {
		b, err := os.ReadFile(c.from)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "cut")
		if err := os.WriteFile(path, c.cut(b), 0o666); err != nil {
			t.Fatal(err)
		}
		broken := o
		broken.Sources = slices.Clone(o.Sources)
		broken.Out = files.Local(filepath.Join(dir, "out-"+strings.ReplaceAll(c.name, " ", "-")))
		c.set(&broken, path)
		_, err = ingest(t.Context(), broken)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := os.Stat(filepath.Join(broken.Out.String(), "dataset.json")); err == nil {
			t.Errorf("%s: there is a manifest", c.name)
		}
	}
}

func TestFolder(t *testing.T) {
	dir, o := drawn(t)
	good := oneImage(t, o)
	put(t, dir, "images/cats/1.jpg", good, "images/cats/more/2.jpg", good, "images/dogs/3.jpg", good)
	o = of(filepath.Join(dir, "images"))
	o.Layout, o.Out = "top", files.Local(filepath.Join(dir, "folder"))
	run(t, o)
	wantRows(t, o.Out.String(), "train", "cats 0 1.jpg 0", "cats 0 more/2.jpg 0", "dogs 1 3.jpg 0")
}
