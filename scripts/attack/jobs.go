//go:build linux

package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// job is a command that writes, as killing, failing and signalling know it.
type job struct {
	name    string
	args    []string
	prepare func(s *scene, dir string) error // what lies in the directory before; nil: nothing
	needs   string                           // "torch" or "ort"
	varied  [][]string                       // flags that may differ from call to call
	codes   []int                            // of an end that is right; 0 where none is said
	// same is what of a file's bytes is promised to be the same each time, if any is; nil: all.
	same func(name string, b []byte) ([]byte, bool)
	// whole are names that are absent, or what they will be, at every moment.
	whole []string

	// The run that nothing disturbed.
	learning sync.Mutex
	want     tree
	code     int
	stdout   string
	points   int
	took     time.Duration
}

// jobs are all that write.
func jobs() []*job {
	var all []*job
	add := func(j *job) { all = append(all, j) }
	ingest := func(name string, args ...string) {
		add(&job{name: "ingest-" + name, args: append([]string{"ingest"}, append(args, "--out", "d")...), codes: []int{0, 3}})
	}
	add(&job{name: "ingest-ilsvrc", args: append(archiveArgs[:len(archiveArgs):len(archiveArgs)], "d")})
	ingest("folder", "@/tree")
	ingest("zip", "@/tree.zip")
	ingest("list", "--list", "@/list.csv")
	ingest("parquet", "@/hf")
	ingest("webdataset", "@/webdataset")
	ingest("tars", "@/classes")
	ingest("export-folder", "@/folder")
	ingest("export-tar", "@/tar")
	ingest("gzip", "--train", "@/train.tar.gz", "--devkit", "@/archives/ILSVRC2012_devkit_t12.tar.gz")
	ingest("resize", "@/tree", "--shrink", "8", "--shard-bytes", "2000")
	add(&job{name: "ingest-varied", args: append(archiveArgs[:len(archiveArgs):len(archiveArgs)], "d"), varied: [][]string{{"-j", "1"}, {"-j", "3"}, {"--memory", "1MiB"}, {"--memory", "64MiB", "-j", "2"}}})
	ingest("fraction", "@/tree.zip", "--as-split", "train", "--layout", "classes", "--val-fraction", "0.4")
	add(&job{name: "ingest-job", args: append(archiveArgs[:len(archiveArgs):len(archiveArgs)], "d", "--job", "0/2"), same: ofJob})
	add(&job{name: "ingest-join", prepare: copied("jobs", "d"), args: []string{"ingest", "--join", "--out", "d"}})
	add(&job{name: "ingest-add-split", same: ofManifest, prepare: copied("trained", "d"), args: append(archiveArgs[:len(archiveArgs):len(archiveArgs)], "d")})
	add(&job{name: "ingest-overwrite", prepare: copied("other", "d"), args: append(append(archiveArgs[:len(archiveArgs):len(archiveArgs)], "d"), "--overwrite")})
	add(&job{name: "verify-repair", prepare: unindexed, args: []string{"verify", "d", "--repair"}})
	for _, to := range [][]string{{"folder"}, {"webdataset", "--shard-bytes", "1048576"}, {"hf", "--shard-bytes", "1048576"}, {"tar"}} {
		add(&job{name: "export-" + to[0], args: append([]string{"export", "@/dataset", "--out", "e", "--to"}, to...), same: ofExport})
	}
	add(&job{name: "export-job", args: []string{"export", "@/dataset", "--to", "webdataset", "--job", "1/3", "--out", "e"}, same: ofExport})
	infer := func(name string, out string, args ...string) {
		add(&job{name: "infer-" + name, needs: "ort", args: append([]string{"infer", "@/model.onnx", "--threads", "1", "--out", out}, args...), whole: []string{out}})
	}
	for _, form := range []string{"arrow", "parquet", "ndjson", "csv"} {
		infer(form, "p."+form, "@/many.tar")
	}
	infer("dataset", "p.arrow", "@/dataset", "--embedding", "--logits", "--probabilities", "all")
	infer("job", "p.arrow", "@/many.tar", "--job", "1/3")
	add(&job{name: "infer-varied", needs: "ort", args: []string{"infer", "@/model.onnx", "@/many.tar", "--out", "p.arrow"}, whole: []string{"p.arrow"},
		varied: [][]string{{"--threads", "1"}, {"--threads", "2", "-j", "3"}, {"--memory", "8MiB"}, {"--memory", "1GiB", "-j", "1"}}})
	add(&job{name: "infer-overwrite", needs: "ort", prepare: copied("pred.arrow", "p.arrow"), args: []string{"infer", "@/other.onnx", "@/dataset", "--overwrite", "--out", "p.arrow"}})
	all = append(all, resultJobs()...)
	add(&job{name: "train", needs: "torch", args: trainArgs, same: ofRun})
	add(&job{name: "train-varied", needs: "torch", args: trainArgs, same: ofRun, varied: [][]string{{"-j", "1"}, {"-j", "3"}, {"--memory", "16MiB"}, {"--memory", "1GiB"}}})
	for _, to := range []string{"onnx", "safetensors"} {
		add(&job{name: "model-url-" + to, args: []string{"model", "import", "url@jobs/model." + to, "--cache-dir", "cache", "--out", "w.safetensors"}, whole: []string{"w.safetensors"}})
	}
	infer("url", "p.arrow", "url@jobs/dataset", "--cache-dir", "cache")
	add(&job{name: "export-url", args: []string{"export", "url@jobs/dataset", "--to", "folder", "--cache-dir", "cache", "--out", "e"}, same: ofExport})
	ingest("url", "url@jobs/tree.zip")
	all = append(all, bucketJobs()...)
	all = append(all, setupJobs()...)
	add(&job{name: "train-procs", needs: "torch", args: append(trainArgs[:len(trainArgs):len(trainArgs)], "--procs", "2"), same: ofRun})
	return all
}

// resultJobs write one result, or a few, of what is there: nothing half done is kept between calls.
func resultJobs() (all []*job) {
	add := func(j *job) { all = append(all, j) }
	for _, form := range []string{"arrow", "parquet", "ndjson"} {
		add(&job{name: "merge-" + form, needs: "ort", args: []string{"merge", "@/job-1.arrow", "@/job-0.arrow", "--out", "m." + form}, whole: []string{"m." + form}})
	}
	add(&job{name: "eval-arrow", needs: "ort", args: []string{"eval", "@/pred.arrow", "--arrow", "tables"}})
	add(&job{name: "eval-compare", needs: "ort", args: []string{"eval", "--compare", "@/pred.arrow", "@/others/p.arrow", "--resamples", "100", "--arrow", "tables"}})
	add(&job{name: "report-run", needs: "torch", args: []string{"report", "@/run", "@/pred.arrow", "--data", "@/dataset", "--out", "r.html"}, whole: []string{"r.html"}})
	add(&job{name: "report-compare", needs: "ort", args: []string{"report", "--compare", "@/pred.arrow", "@/others/p.arrow", "--out", "r.html"}, whole: []string{"r.html"}})
	add(&job{name: "model-import", args: []string{"model", "import", "@/model.onnx", "--out", "w.safetensors"}, whole: []string{"w.safetensors"}})
	for _, form := range []string{"pth", "safetensors", "onnx"} {
		add(&job{name: "model-export-" + form, args: []string{"model", "export", "@/model.safetensors", "--out", "w." + form}, whole: []string{"w." + form}})
	}
	add(&job{name: "model-quantize", needs: "ort", args: []string{"model", "quantize", "@/model.onnx", "@/dataset", "--images", "8", "--max-drop", "100", "--threads", "1", "--out", "q.onnx"}, whole: []string{"q.onnx"}})
	add(&job{name: "model-describe", args: []string{"model", "describe", "inception_v3", "--out", "n.svg"}, whole: []string{"n.svg"}})
	add(&job{name: "man", args: []string{"man", "--out", "m"}})
	add(&job{name: "sample", args: []string{"sample", "--out", "a", "--train-per-synset", "1", "--val-per-synset", "1", "--test-images", "1"}})
	return all
}

// bucketJobs write into buckets.
func bucketJobs() (all []*job) {
	add := func(j *job) {
		j.args = append(j.args, "--cache-dir", "kept")
		all = append(all, j)
	}
	add(&job{name: "infer-bucket", needs: "s3 ort", args: []string{"infer", "@/model.onnx", "@/dataset", "--threads", "1", "--out", "s3@p.arrow"}, whole: []string{"p.arrow"}})
	add(&job{name: "merge-bucket", needs: "s3 ort", args: []string{"merge", "@/job-1.arrow", "@/job-0.arrow", "--out", "s3@m.parquet"}, whole: []string{"m.parquet"}})
	for _, form := range []string{"ndjson", "csv"} { // with a file beside it
		add(&job{name: "infer-bucket-" + form, needs: "s3 ort", args: []string{"infer", "@/model.onnx", "@/dataset", "--threads", "1", "--out", "s3@p." + form}, whole: []string{"p." + form}})
	}
	add(&job{name: "eval-bucket", needs: "s3 ort", args: []string{"eval", "@/pred.arrow", "--arrow", "s3@tables"}})
	add(&job{name: "report-bucket", needs: "s3 ort", args: []string{"report", "@/pred.arrow", "--out", "s3@r.html"}, whole: []string{"r.html"}})
	add(&job{name: "ingest-bucket", needs: "s3", args: append(archiveArgs[:len(archiveArgs):len(archiveArgs)], "s3@d")})
	add(&job{name: "ingest-bucket-job", needs: "s3", args: append(archiveArgs[:len(archiveArgs):len(archiveArgs)], "s3@d", "--job", "1/2"), same: ofJob})
	add(&job{name: "ingest-bucket-join", needs: "s3", prepare: copied("jobs", "d"), args: []string{"ingest", "--join", "--out", "s3@d"}})
	for _, to := range []string{"folder", "webdataset", "hf", "tar"} {
		add(&job{name: "export-bucket-" + to, needs: "s3", args: []string{"export", "@/dataset", "--to", to, "--out", "s3@e"}, same: ofExport})
	}
	add(&job{name: "model-bucket", needs: "s3", args: []string{"model", "export", "@/model.safetensors", "--out", "s3@w.onnx"}, whole: []string{"w.onnx"}})
	args := slices.Clone(trainArgs)
	args[slices.Index(args, "r")] = "s3@r"
	add(&job{name: "train-bucket", needs: "s3 torch", args: args, same: ofRun})
	return all
}

// trainArgs fit the smallest network there is, with a checkpoint a step.
var trainArgs = []string{"train", "@/dataset", "--out", "r", "--recipe", "demo", "--model", "resnet50", "--width", "0.0625", "--epochs", "2", "--batch", "8",
	"--aux-weight", "0", "--ema", "0.9", "--set", "eval.size=32", "--set", "eval.resize=32", "--checkpoint-every", "1ms", "--threads", "1", "--tensorboard"}

// copied puts a thing of the scene into the directory.
func copied(from, to string) func(*scene, string) error {
	return func(s *scene, dir string) error { return copyTree(s.in(from), filepath.Join(dir, to)) }
}

// unindexed is a dataset whose indexes and manifest are gone.
func unindexed(s *scene, dir string) error {
	if err := copyTree(s.in("dataset"), filepath.Join(dir, "d")); err != nil {
		return err
	}
	for _, name := range []string{"dataset.json", "train/index.arrow", "val/index.arrow"} {
		if err := os.Remove(filepath.Join(dir, "d", name)); err != nil {
			return err
		}
	}
	return nil
}

// ofJob is a job's shards, and that it has its records: of them encoding/gob makes other bytes of the same, where a process
// has read some before.
func ofJob(name string, b []byte) ([]byte, bool) {
	if ext := filepath.Ext(name); ext == ".unit" || ext == ".done" {
		return nil, true
	}
	return b, true
}

// ofExport is what an export hands on: not what it remembers of its files.
func ofExport(name string, b []byte) ([]byte, bool) {
	return b, filepath.Base(name) != ".synshard-export.json"
}

// ofRun is what of a run's files does not depend on when and how often it was interrupted: all of weights and models, of
// checkpoints and the log what holds no time.
func ofRun(name string, b []byte) ([]byte, bool) {
	switch base := filepath.Base(name); {
	case base == "log.ndjson":
		return ofLog(b), true
	case base == "curves.png", strings.HasPrefix(base, "events.out."), strings.HasSuffix(base, ".damaged"):
		return nil, false
	case strings.HasPrefix(base, "step-"), base == "best.safetensors": // in a bucket a copy of one
		return ofCheckpoint(b), true
	}
	return b, true
}

// ofLog is a log without times, and without the lines that say that a run began or went on.
func ofLog(b []byte) []byte {
	var kept []byte
	for line := range strings.Lines(string(b)) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			kept = append(kept, line...)
		} else if fields["kind"] != "run" {
			kept = append(append(kept, timeless(fields)...), '\n')
		}
	}
	return kept
}

// timed are the fields of a run's records that hold times, or sums over such.
var timed = []string{"crc32c", "time", "images_per_s", "data_wait_ms", "seconds"}

// timeless is JSON without the fields that hold times.
func timeless(v any) []byte {
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range timed {
				delete(v, name)
			}
			for _, inner := range v {
				strip(inner)
			}
		case []any:
			for _, inner := range v {
				strip(inner)
			}
		}
	}
	strip(v)
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was JSON
	}
	return b
}

// ofCheckpoint is a checkpoint's tensors, and its position without times.
func ofCheckpoint(b []byte) []byte {
	if len(b) < 8 || binary.LittleEndian.Uint64(b) > uint64(len(b)-8) {
		return b
	}
	n := 8 + binary.LittleEndian.Uint64(b)
	var head map[string]any
	if err := json.Unmarshal(b[8:n], &head); err != nil {
		return b
	}
	meta, _ := head["__metadata__"].(map[string]any)
	text, _ := meta["synshard.train"].(string)
	var position map[string]any
	if err := json.Unmarshal([]byte(text), &position); err != nil {
		return b
	}
	meta["synshard.train"] = string(timeless(position))
	delete(meta, "synshard.crc32c") // over the times, too
	return append(timeless(head), b[n:]...)
}

// learn runs the job undisturbed, which says what is right.
func (j *job) learn(s *scene) error {
	j.learning.Lock()
	defer j.learning.Unlock()
	if j.want != nil {
		return nil
	}
	dir, err := j.ready(s)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := j.call(s, dir, 0)
	r.decide = func(int, func() call) verdict { return verdict{} }
	o, err := r.do()
	if err != nil {
		return err
	}
	if !j.ended(o) {
		return finding("undisturbed: %v", o)
	}
	j.points, j.took, j.code, j.stdout = o.points, o.took, o.code, withoutTimes(o.stdout)
	j.want, err = readTree(dir, j.same)
	return err
}

// call is the job's command in a directory, with the nth of the flags that may differ.
func (j *job) call(s *scene, dir string, nth int) run {
	args := j.args
	if len(j.varied) > 0 {
		args = slices.Concat(args, j.varied[nth%len(j.varied)])
	}
	return s.command(dir, args...)
}

// ready makes a directory with what the job finds.
func (j *job) ready(s *scene) (string, error) {
	dir, err := s.dir()
	if err == nil && j.prepare != nil {
		err = j.prepare(s, dir)
	}
	return dir, err
}

// ended says whether an outcome is the job's right end.
func (j *job) ended(o outcome) bool {
	if o.signal != 0 || o.late || o.fat {
		return false
	}
	for _, c := range append(j.codes, 0) {
		if o.code == c {
			return true
		}
	}
	return false
}

// judge holds what lies in dir to the undisturbed run.
func (j *job) judge(dir string) error {
	got, err := readTree(dir, j.same)
	if err != nil {
		return err
	}
	if d := j.want.differences(got); d != "" {
		return finding("%s", d)
	}
	return nil
}

// judgeWhole wants names that are absent or whole, in the middle of the work.
func (j *job) judgeWhole(dir string) error {
	for _, name := range j.whole {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && ": "+string(b) != j.want[name] {
			return finding("%s has its name and %d of its %d bytes", name, len(b), len(j.want[name])-2)
		}
	}
	return nil
}
