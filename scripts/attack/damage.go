//go:build linux

package main

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/synshard/synshard/infer/prediction"
)

// mutation changes one of the files names of dir, and says which, a line each where there are two, and what it did; ok is false where it changed nothing. In others,
// where it is not "", lie sound files of the same names that are another's.
type mutation func(others string, r *rand.Rand, dir string, names []string) (name, told string, ok bool, err error)

// mutations are what happens to files: bits that turn, writes that were cut short or landed elsewhere, files that are
// gone, empty, or another's. The first stand for most of what disks do.
var mutations = []mutation{
	bytewise("a bit flipped", flip), bytewise("a bit flipped", flip), bytewise("a bit flipped", flip),
	bytewise("a byte set", func(r *rand.Rand, b []byte) ([]byte, int) {
		i := r.IntN(len(b))
		b[i] = byte(r.Uint32())
		return b, i
	}),
	bytewise("cut", func(r *rand.Rand, b []byte) ([]byte, int) { i := r.IntN(len(b)); return b[:i], i }),
	bytewise("bytes appended", func(r *rand.Rand, b []byte) ([]byte, int) { return append(b, noise(r, 1+r.IntN(64))...), len(b) }),
	bytewise("a block zeroed", func(r *rand.Rand, b []byte) ([]byte, int) {
		i := r.IntN(len(b))
		clear(b[i:min(i+1+r.IntN(512), len(b))])
		return b, i
	}),
	bytewise("bytes inserted", func(r *rand.Rand, b []byte) ([]byte, int) {
		i := r.IntN(len(b))
		return slices.Insert(b, i, noise(r, 1+r.IntN(16))...), i
	}),
	bytewise("bytes taken out", func(r *rand.Rand, b []byte) ([]byte, int) {
		i := r.IntN(len(b))
		return slices.Delete(b, i, min(i+1+r.IntN(64), len(b))), i
	}),
	bytewise("a block written twice", func(r *rand.Rand, b []byte) ([]byte, int) {
		from, to, n := r.IntN(len(b)), r.IntN(len(b)), 1+r.IntN(256)
		copy(b[to:], bytes.Clone(b[from:min(from+n, len(b))]))
		return b, to
	}),
	bytewise("emptied", func(_ *rand.Rand, b []byte) ([]byte, int) { return nil, 0 }),
	func(_ string, r *rand.Rand, dir string, names []string) (string, string, bool, error) {
		name := names[r.IntN(len(names))]
		return name, "removed", true, os.Remove(filepath.Join(dir, name))
	},
	swapped,
	foreign,
}

func flip(r *rand.Rand, b []byte) ([]byte, int) {
	i := r.IntN(len(b))
	b[i] ^= 1 << r.IntN(8)
	return b, i
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// bytewise is a mutation of a file's bytes that says where.
func bytewise(told string, change func(r *rand.Rand, b []byte) ([]byte, int)) mutation {
	return func(_ string, r *rand.Rand, dir string, names []string) (string, string, bool, error) {
		name := names[r.IntN(len(names))]
		path := filepath.Join(dir, name)
		old, err := os.ReadFile(path)
		if err != nil || len(old) == 0 {
			return name, "", false, err
		}
		b, at := change(r, bytes.Clone(old))
		if bytes.Equal(b, old) {
			return name, "", false, nil
		}
		return name, fmt.Sprintf("%s: %s at %d of %d", name, told, at, len(old)), true, os.WriteFile(path, b, 0o666)
	}
}

// swapped exchanges two files of one kind.
func swapped(_ string, r *rand.Rand, dir string, names []string) (string, string, bool, error) {
	a := names[r.IntN(len(names))]
	var others []string
	for _, n := range names {
		if n != a && filepath.Ext(n) == filepath.Ext(a) {
			others = append(others, n)
		}
	}
	if len(others) == 0 {
		return a, "", false, nil
	}
	b := others[r.IntN(len(others))]
	x, err := os.ReadFile(filepath.Join(dir, a))
	if err != nil {
		return a, "", false, err
	}
	y, err := os.ReadFile(filepath.Join(dir, b))
	if err != nil || bytes.Equal(x, y) {
		return a, "", false, err
	}
	if err := os.WriteFile(filepath.Join(dir, a), y, 0o666); err != nil {
		return a, "", false, err
	}
	return a + "\n" + b, fmt.Sprintf("%s and %s exchanged", a, b), true, os.WriteFile(filepath.Join(dir, b), x, 0o666)
}

// foreign puts a sound file of the same name from another dataset, or of another model, in place of one.
func foreign(others string, r *rand.Rand, dir string, names []string) (string, string, bool, error) {
	name := names[r.IntN(len(names))]
	if others == "" {
		return name, "", false, nil
	}
	b, err := os.ReadFile(filepath.Join(others, name))
	if err != nil {
		return name, "", false, nil // there is none of the name
	}
	old, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || bytes.Equal(b, old) {
		return name, "", false, err
	}
	return name, name + ": another's in its place", true, os.WriteFile(filepath.Join(dir, name), b, 0o666)
}

// exposure is a command and the files that it trusts.
type exposure struct {
	name    string
	prepare func(s *scene, dir string) error
	damaged []string // patterns of the files that may be damaged
	except  []string // of those that may not
	args    []string
	needs   string
	codes   []int
	same    func(name string, b []byte) ([]byte, bool)
	// sound: any damage must be told, whatever the command printed.
	sound bool
	// mends: what was damaged must be as it was where the command says done.
	mends bool
	// bound: the file says what else it belongs to, so that another's is damage.
	bound bool
	// unsummed: the format has no sums, so that other bytes are other data; only ending badly is a finding.
	unsummed bool

	// The run over sound files.
	learning sync.Mutex
	want     tree
	stdout   string
	code     int
}

// exposures are all that is tried.
func exposures() []*exposure {
	return slices.Concat(datasetExposures(), predictionExposures(), modelExposures(), runExposures(), sourceExposures(), setupExposures())
}

func datasetExposures() (all []*exposure) {
	dataset := func(e *exposure) {
		e.prepare, e.damaged, e.except, e.bound = copied("dataset", "d"), []string{"d/**"}, []string{"d/.lock"}, true
		all = append(all, e)
	}
	dataset(&exposure{name: "dataset-verify", args: []string{"verify", "d"}, sound: true})
	dataset(&exposure{name: "dataset-verify-fast", args: []string{"verify", "d", "--fast"}})
	dataset(&exposure{name: "dataset-repair", args: []string{"verify", "d", "--repair"}, mends: true, same: ofManifest})
	dataset(&exposure{name: "dataset-ls", args: []string{"ls", "d", "--json"}})
	dataset(&exposure{name: "dataset-classes", args: []string{"classes", "d", "--json"}})
	for _, to := range []string{"folder", "webdataset", "hf", "tar"} {
		dataset(&exposure{name: "dataset-export-" + to, args: []string{"export", "d", "--to", to, "--out", "e"}})
	}
	dataset(&exposure{name: "dataset-infer", needs: "ort", args: []string{"infer", "@/model.onnx", "d", "--threads", "1", "--out", "p.arrow"}})
	dataset(&exposure{name: "dataset-train", needs: "torch", args: inDir(trainArgs, "d"), same: ofRun})
	dataset(&exposure{name: "dataset-report", needs: "ort", args: []string{"report", "@/pred.arrow", "--data", "d", "--out", "r.html"}})
	for _, to := range []string{"folder", "tar"} {
		dataset(&exposure{name: "dataset-bucket-export-" + to, needs: "s3", args: []string{"export", "s3@d", "--to", to, "--cache-dir", "kept", "--out", "e"}})
	}
	dataset(&exposure{name: "dataset-bucket-infer", needs: "s3 ort", args: []string{"infer", "@/model.onnx", "s3@d", "--cache-dir", "kept", "--threads", "1", "--out", "p.arrow"}})
	dataset(&exposure{name: "dataset-bucket-ingest-again", needs: "s3", args: append(archiveArgs[:len(archiveArgs):len(archiveArgs)], "s3@d", "--cache-dir", "kept"), mends: true})
	dataset(&exposure{name: "dataset-ingest-again", args: append(archiveArgs[:len(archiveArgs):len(archiveArgs)], "d"), mends: true})
	return all
}

func predictionExposures() (all []*exposure) {
	for _, form := range []string{"arrow", "parquet", "ndjson", "csv"} {
		p := "p." + form
		predictions := func(e *exposure) {
			e.needs, e.damaged = cmp.Or(e.needs, "ort"), []string{p, p + ".meta.json"}
			e.prepare = func(s *scene, dir string) error {
				err := copyTree(s.in("pred."+form), filepath.Join(dir, p))
				if _, none := os.Stat(s.in("pred." + form + ".meta.json")); err == nil && none == nil {
					err = copyTree(s.in("pred."+form+".meta.json"), filepath.Join(dir, p+".meta.json"))
				}
				return err
			}
			all = append(all, e)
		}
		predictions(&exposure{name: "predictions-eval-" + form, args: []string{"eval", p, "--json"}})
		predictions(&exposure{name: "predictions-report-" + form, args: []string{"report", p, "--out", "r.html"}})
		predictions(&exposure{name: "predictions-bucket-eval-" + form, needs: "s3 ort", args: []string{"eval", "s3@" + p, "--json", "--cache-dir", "kept"}})
		predictions(&exposure{name: "predictions-infer-again-" + form, args: []string{"infer", "@/model.onnx", "@/dataset", "--threads", "1", "--out", p}, mends: true, bound: true})
		predictions(&exposure{name: "predictions-merge-again-" + form, args: []string{"merge", "@/job-0.arrow", "@/job-1.arrow", "--out", p}, mends: true, bound: true})
	}
	all = append(all, &exposure{name: "jobs-merge", needs: "ort", bound: true, prepare: copiedAll("job-0.arrow", "job-1.arrow"), damaged: []string{"job-*"}, args: []string{"merge", "job-0.arrow", "job-1.arrow", "--out", "m.arrow"}})
	return all
}

func modelExposures() (all []*exposure) {
	model := func(e *exposure, file string) {
		e.prepare, e.damaged = copiedAll(file), []string{file}
		all = append(all, e)
	}
	model(&exposure{name: "model-infer", needs: "ort", args: []string{"infer", "model.onnx", "@/dataset", "--threads", "1", "--out", "p.arrow"}}, "model.onnx")
	model(&exposure{name: "model-quantize", needs: "ort", args: []string{"model", "quantize", "model.onnx", "@/dataset", "--images", "8", "--max-drop", "100", "--threads", "1", "--out", "q.onnx"}}, "model.onnx")
	model(&exposure{name: "model-onnx-import", args: []string{"model", "import", "model.onnx", "--out", "w.safetensors"}}, "model.onnx")
	model(&exposure{name: "model-safetensors-export", args: []string{"model", "export", "model.safetensors", "--out", "w.onnx"}}, "model.safetensors")
	model(&exposure{name: "model-pth-import", args: []string{"model", "import", "full.pth", "--classes", "@/dataset", "--out", "w.safetensors"}}, "full.pth")
	model(&exposure{name: "model-train", needs: "torch", args: append(trainArgs[:len(trainArgs):len(trainArgs)], "--weights", "model.safetensors"), same: ofRun}, "model.safetensors")
	return all
}

func runExposures() (all []*exposure) {
	run := func(e *exposure, damaged ...string) {
		e.needs, e.prepare, e.damaged, e.except, e.same = "torch", copied("run", "r"), damaged, []string{"r/.lock"}, ofRun
		all = append(all, e)
	}
	run(&exposure{name: "run-train-again", args: trainArgs, mends: true}, "r/**")
	run(&exposure{name: "run-report", args: []string{"report", "r", "--out", "r.html"}}, "r/log.ndjson", "r/config.yaml", "r/checkpoints/*")
	run(&exposure{name: "run-eval-only", args: append(trainArgs[:len(trainArgs):len(trainArgs)], "--eval-only", "--json")}, "r/checkpoints/*")
	run(&exposure{name: "run-infer-torch", args: []string{"infer", "r/model.safetensors", "@/dataset", "--engine", "torch", "--threads", "1", "--out", "p.arrow"}}, "r/model.safetensors")
	run(&exposure{name: "run-infer", args: []string{"infer", "r/model.onnx", "@/dataset", "--threads", "1", "--out", "p.arrow"}}, "r/model.onnx")
	run(&exposure{name: "run-card", args: []string{"model", "card", "r/model.onnx", "--out", "README.md"}}, "r/model.onnx")
	for _, to := range []string{"folder", "webdataset", "hf", "tar"} {
		written := []string{"e/.lock", "e/README.md", "e/croissant.json"} // the last two by people: what they say is theirs
		all = append(all, &exposure{name: "export-again-" + to, prepare: copied(to, "e"), damaged: []string{"e/**"}, except: written,
			args: []string{"export", "@/dataset", "--to", to, "--out", "e"}, mends: true, same: ofExport})
	}
	return all
}

func sourceExposures() (all []*exposure) {
	source := func(name, from string, args ...string) {
		all = append(all, &exposure{name: "source-" + name, prepare: copied(from, from), damaged: []string{from, from + "/**"}, args: args, codes: []int{3}, unsummed: true})
	}
	source("ilsvrc", "archives", append(inDir(archiveArgs, "archives"), "d")...)
	source("zip", "tree.zip", "ingest", "tree.zip", "--out", "d")
	source("folder", "tree", "ingest", "tree", "--out", "d")
	source("list", "list.csv", "ingest", "--list", "list.csv", "--out", "d")
	source("parquet", "hf", "ingest", "hf", "--out", "d")
	source("webdataset", "webdataset", "ingest", "webdataset", "--out", "d")
	source("gzip", "train.tar.gz", "ingest", "--train", "train.tar.gz", "--devkit", "@/archives/ILSVRC2012_devkit_t12.tar.gz", "--out", "d")
	source("wordnet", "wordnet", "ingest", "@/tree", "--wordnet", "wordnet", "--out", "d")
	return all
}

// inDir gives arguments whose inputs lie in the trial's own directory: @/dataset becomes name.
func inDir(args []string, name string) []string {
	var all []string
	for _, a := range args {
		a = strings.ReplaceAll(a, "@/dataset", name)
		all = append(all, strings.ReplaceAll(a, "@/"+name, name))
	}
	return all
}

// copiedAll puts things of the scene into the directory under their own names.
func copiedAll(names ...string) func(*scene, string) error {
	return func(s *scene, dir string) error {
		for _, name := range names {
			if err := copyTree(s.in(name), filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		return nil
	}
}

// exposed lists what may be damaged in dir.
func (e *exposure) exposed(dir string) ([]string, error) {
	names, err := files(dir, e.damaged...)
	return slices.DeleteFunc(names, func(n string) bool {
		return slices.ContainsFunc(e.except, func(p string) bool { return match(p, n) })
	}), err
}

// left is what the command left, without what was damaged where that is not the command's to mend.
func (e *exposure) left(dir string) (tree, error) {
	t, err := readTree(dir, e.same)
	for name := range t {
		if !e.mends && slices.ContainsFunc(e.damaged, func(p string) bool { return match(p, name) }) {
			delete(t, name)
		}
	}
	return t, err
}

func (e *exposure) learn(s *scene) error {
	e.learning.Lock()
	defer e.learning.Unlock()
	if e.want != nil {
		return nil
	}
	dir, err := s.dir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := e.prepare(s, dir); err != nil {
		return err
	}
	o, err := s.command(dir, e.args...).do()
	if err != nil {
		return err
	}
	if o.code != 0 && !slices.Contains(e.codes, o.code) {
		return finding("undisturbed: %v", o)
	}
	e.stdout, e.code = o.stdout, o.code
	e.want, err = e.left(dir)
	return err
}

// ready makes what the command reads, in a directory that is to be removed
// whatever is returned, and names the files that it trusts.
func (e *exposure) ready(s *scene) (dir string, names []string, err error) {
	if dir, err = s.dir(); err != nil {
		return "", nil, err
	}
	if err := e.prepare(s, dir); err != nil {
		return dir, nil, err
	}
	names, err = e.exposed(dir)
	return dir, names, err
}

// trial damages one file, or in one case of eight a second, and runs the command.
func (e *exposure) trial(s *scene, r *rand.Rand) (result, error) {
	dir, names, err := e.ready(s)
	defer os.RemoveAll(dir)
	if err != nil {
		return result{}, err
	}
	others := ""
	if e.bound {
		others = s.in("others")
	}
	damage, err := inflict(others, r, dir, names)
	if err != nil || len(damage.told) == 0 {
		return result{}, err
	}
	o, err := s.command(dir, e.args...).do()
	if err != nil {
		return result{}, err
	}
	return e.judge(dir, damage, o)
}

// damage is what was done to files.
type damage struct {
	names, told []string
}

func (d damage) String() string { return strings.Join(d.told, ", ") }

// inflict damages one of the files, now and then two.
func inflict(others string, r *rand.Rand, dir string, names []string) (damage, error) {
	var d damage
	many := 1
	if r.IntN(8) == 0 {
		many = 2
	}
	for tries := 0; len(d.told) < many && tries < 50 && len(names) > 0; tries++ {
		name, told, ok, err := mutations[r.IntN(len(mutations))](others, r, dir, names)
		if err != nil {
			return d, err
		}
		if !ok {
			continue
		}
		if told == "removed" {
			told = name + " removed"
			names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
		}
		d.names, d.told = append(d.names, strings.Split(name, "\n")...), append(d.told, told)
	}
	return d, restated(dir, d.names)
}

// restated has the S3 server give other states for objects that were damaged behind its
// back, as a store does for what was written: a store's word for a state is believed.
func restated(dir string, names []string) error {
	for _, name := range names {
		state := filepath.Join(beside(filepath.Dir(dir)), filepath.Base(dir), filepath.FromSlash(name), "meta", "etag")
		was, err := os.ReadFile(state)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no object
		}
		if err == nil {
			err = os.WriteFile(state, []byte(fmt.Sprintf("%x", md5.Sum(was))), 0o666)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *exposure) judge(dir string, d damage, o outcome) (result, error) {
	res := result{acts: len(d.told), code: o.code}
	switch {
	case o.crashed() || o.signal != 0:
		return res, finding("%v: %v", d, o)
	case o.code == e.code && e.sound:
		return res, silent("%v: exit %d", d, o.code)
	case o.code == e.code:
		got, err := e.left(dir)
		if err != nil {
			return res, err
		}
		e.want.sameRows(got)
		what := e.want.differences(got)
		if what == "" && !e.mends && withoutTimes(o.stdout) != withoutTimes(e.stdout) {
			what = fmt.Sprintf("other words on stdout: %q", shorten(o.stdout))
		}
		switch {
		case what == "":
			res.right++
		case e.unsummed:
			res.other++
		default:
			return res, silent("%v: exit %d, but %s", d, o.code, what)
		}
	case e.unsummed:
		res.refused++
	case !d.named(o):
		return res, finding("%v: exit %d names none of it: %q", d, o.code, shorten(o.stderr))
	default:
		res.refused++
	}
	return res, nil
}

// sameRows takes predictions in Arrow and Parquet for what they should be where rows and metadata, all that their sums
// are over, are the same: other bits of these formats say nothing to a reader.
func (want tree) sameRows(got tree) {
	for name, w := range want {
		g := got[name]
		if ext := filepath.Ext(name); g == w || g == "" || ext != ".arrow" && ext != ".parquet" || strings.Contains(name, "/") {
			continue
		}
		if a, b := rowsOf(w), rowsOf(g); a != nil && b != nil && reflect.DeepEqual(a, b) {
			got[name] = w
		}
	}
}

// rowsOf reads predictions; nil where they are none, or damaged.
func rowsOf(content string) *prediction.Set {
	set, err := prediction.ReadFrom(strings.NewReader(strings.TrimPrefix(content, ": ")), nil)
	if err != nil {
		return nil
	}
	return set
}

// ofManifest is what of a dataset.json the shards tell: not what it was made of.
func ofManifest(name string, b []byte) ([]byte, bool) {
	if filepath.Base(name) != "dataset.json" {
		return b, true
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return b, true
	}
	kept := map[string]any{"classes_sha256": all["classes_sha256"], "rejected": all["rejected"]}
	splits, _ := all["splits"].(map[string]any)
	for split, v := range splits {
		for field, value := range v.(map[string]any) {
			if field != "source" {
				kept[split+"."+field] = value
			}
		}
	}
	return timeless(kept), true
}

// withoutTimes is what a command printed, without how long it took.
func withoutTimes(stdout string) string {
	var fields map[string]any
	if json.Unmarshal([]byte(stdout), &fields) == nil {
		return string(timeless(fields))
	}
	var kept strings.Builder
	for line := range strings.Lines(stdout) {
		if !strings.HasPrefix(line, "time ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// named says whether what was printed names what is damaged: the file, or where it lies.
func (d damage) named(o outcome) bool {
	text := o.stdout + o.stderr
	for _, name := range d.names {
		for part := range strings.SplitSeq(strings.TrimSuffix(name, ".meta.json"), "/") {
			project, _, _ := strings.Cut(part, "-") // of a wheel
			if strings.Contains(text, part) || strings.HasSuffix(part, ".whl") && strings.Contains(text, strings.ReplaceAll(project, "_", "-")) {
				return true
			}
		}
	}
	return false
}

// partial kills a job, damages what it left so far, and runs it again.
func (j *job) partial(s *scene, r *rand.Rand) (result, error) {
	dir, err := j.ready(s)
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	n := 1 + r.IntN(j.points+1)
	run := j.call(s, dir, r.IntN(8))
	run.decide = func(i int, _ func() call) verdict { return verdict{kill: i >= n} }
	if _, err := run.do(); err != nil {
		return result{}, err
	}
	names, err := files(dir)
	if err != nil {
		return result{}, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return strings.Contains(filepath.Base(n), "lock") })
	d, err := inflict("", r, dir, names)
	if err != nil || len(d.told) == 0 {
		return result{}, err
	}
	o, err := j.call(s, dir, r.IntN(8)).do()
	if err != nil {
		return result{}, err
	}
	told := fmt.Sprintf("killed before change %d of %d, then %v", n, j.points, d)
	res := result{acts: len(d.told), code: o.code}
	switch {
	case o.crashed() || o.signal != 0:
		return res, finding("%s: %v", told, o)
	case j.ended(o):
		got, err := readTree(dir, j.same)
		if err != nil {
			return res, err
		}
		j.want.sameRows(got)
		what := j.want.differences(got)
		if what != "" {
			return res, silent("%s: exit %d, but %s", told, o.code, what)
		}
		res.right++
	case !d.named(o):
		return res, finding("%s: exit %d names none of it: %q", told, o.code, shorten(o.stderr))
	default:
		res.refused++
	}
	return res, nil
}
