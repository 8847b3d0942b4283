//go:build linux

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/sample"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/model/weights/pth"
)

// scene is where attacks take place: a binary, and what its verbs read, made once. Images are of 16 pixels, so that a
// verb ends in some tens of milliseconds.
//
//	in/archives  ILSVRC2012's archives         in/tree, tree.zip, list.csv   the same images as folders, a zip, a list
//	in/classes   a tar a class                 in/dataset                    what ingest makes of the archives
//	in/hf, wds   dataset, exported             in/many.tar                   images for several chunks of predictions
//	in/model.*   a network's weights           in/job-*.arrow, pred.*        predictions
//	in/jobs      the archives, done by two jobs of an array and not joined
//	in/wheels, simple, WNdb.tar.gz, cxx   what setup brings, an index of it, a compiler
type scene struct {
	binary         string
	root           string // holds in/ and the directories of trials, all of one depth
	noTorch, noORT string // why not, where a native library is missing
	cache          string // where native libraries are
	web            *web   // serves in/
	noS3, noPins   string
	aws            []string // variables by which the S3 server is found
	trials         atomic.Int64
}

func (s *scene) in(name string) string { return filepath.Join(s.root, "in", name) }

// dir makes an empty directory of a trial.
func (s *scene) dir() (string, error) {
	dir := filepath.Join(s.root, fmt.Sprintf("t%07d", s.trials.Add(1)))
	return dir, os.Mkdir(dir, 0o777)
}

// command is a call of the binary in a trial's directory; @ in an argument stands for the scene's inputs, url@ for the server
// of them.
func (s *scene) command(dir string, args ...string) run {
	all := []string{s.binary}
	for _, a := range args {
		if s.web != nil {
			a = strings.ReplaceAll(a, "url@", s.web.url)
		}
		a = strings.ReplaceAll(a, "s3@", "s3://"+filepath.Base(dir)+"/")
		all = append(all, strings.ReplaceAll(a, "@", "../in"))
	}
	env := append([]string{"SYNSHARD_WORDNET=" + s.in("wordnet"), "XDG_CACHE_HOME=" + s.cache, "XDG_CONFIG_HOME=" + s.in("none")}, s.aws...)
	if args[0] == "setup" {
		env = append(env, setupEnv(dir)...)
	}
	return run{args: all, dir: dir, env: env}
}

// must runs a command that has to end well.
func (s *scene) must(dir string, args ...string) error {
	o, err := s.command(dir, args...).do()
	if err == nil && o.code != 0 && o.code != 3 {
		err = fmt.Errorf("synshard %s: %v", strings.Join(args, " "), o)
	}
	return err
}

func newScene(binary, root string) (*scene, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	s := &scene{binary: binary, root: root, cache: cache}
	for _, step := range []func() error{s.serve, s.buckets, s.wordnet, s.packages, s.archives, s.trees, s.dataset, s.model, s.predictions, s.run} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("set the scene: %w", err)
		}
	}
	return s, nil
}

// wordnet is a graph of sample's synsets below one root, in data.noun's form: the whole one takes longer to read than
// all else that a verb does here.
func (s *scene) wordnet() error {
	text := "00001740 03 n 01 entity 0 000 | that which is\n"
	for _, c := range sample.Synsets() { // in ascending order
		words := strings.Split(strings.ReplaceAll(c.Words, " ", "_"), ",_")
		text += fmt.Sprintf("%s 05 n %02x %s 0 001 @ 00001740 n 0000 | %s\n", c.WNID[1:], len(words), strings.Join(words, " 0 "), c.Gloss)
	}
	return put(s.in("wordnet"), file{"data.noun", []byte(text)})
}

// archives are sample's, with small images in them.
func (s *scene) archives() error {
	if err := os.MkdirAll(s.in("tree"), 0o777); err != nil {
		return err
	}
	if err := s.must(s.in(""), "sample", "--out", "archives", "--train-per-synset", "3", "--val-per-synset", "2", "--test-images", "2"); err != nil {
		return err
	}
	for _, name := range []string{"train", "val", "test"} {
		path := s.in("archives/ILSVRC2012_img_" + name + ".tar")
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if b, err = shrink(b); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o666); err != nil {
			return err
		}
	}
	b, err := os.ReadFile(s.in("archives/ILSVRC2012_img_train.tar"))
	if err != nil {
		return err
	}
	return os.WriteFile(s.in("train.tar.gz"), filetest.Gzip(b), 0o666)
}

// shrink writes a tar again with small images, tars in it too.
func shrink(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out.Bytes(), w.Close()
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(h.Name, ".tar") {
			if data, err = shrink(data); err != nil {
				return nil, err
			}
		} else {
			data = drawn(h.Name)
		}
		h.Size = int64(len(data))
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
}

// drawn is the JPEG that belongs to a name.
func drawn(name string) []byte {
	h := fnv.New64a()
	io.WriteString(h, filepath.Base(name))
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	m := image.NewRGBA(image.Rect(0, 0, 16, 16))
	a, b := color.RGBA{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32()), 255}, color.RGBA{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32()), 255}
	for y := range 16 {
		for x := range 16 {
			if x*x/4+y < 8+r.IntN(3) {
				m.SetRGBA(x, y, a)
			} else {
				m.SetRGBA(x, y, b)
			}
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, m, nil); err != nil {
		panic(err) // an image and a buffer
	}
	return out.Bytes()
}

// file is a name in an archive or a tree, and its bytes.
type file struct {
	name string
	data []byte
}

// treeFiles are images in train/ and val/ by class; one is not an image.
func treeFiles() []file {
	var all []file
	for _, c := range sample.Synsets()[:4] {
		for _, split := range []string{"train", "train", "train", "val"} {
			name := fmt.Sprintf("%s/%s/%s_%d.JPEG", split, c.WNID, c.WNID, len(all))
			all = append(all, file{name, drawn(name)})
		}
	}
	return append(all, file{"train/" + sample.Synsets()[0].WNID + "/broken.JPEG", []byte("no image at all")})
}

func (s *scene) trees() error {
	var table, many bytes.Buffer
	z := &bytes.Buffer{}
	zw, mw := zip.NewWriter(z), tar.NewWriter(&many)
	byClass := map[string][]file{}
	table.WriteString("path,label,split\n")
	for _, f := range treeFiles() {
		if err := put(s.in("tree"), f); err != nil {
			return err
		}
		w, err := zw.Create(f.name)
		if err != nil {
			return err
		}
		w.Write(f.data)
		parts := strings.Split(f.name, "/")
		fmt.Fprintf(&table, "tree/%s,%s,%s\n", f.name, parts[1], parts[0])
		byClass[parts[1]] = append(byClass[parts[1]], file{parts[2], f.data})
	}
	for class, all := range byClass {
		if err := put(s.in("classes"), file{class + ".tar", tarOf(all...)}); err != nil {
			return err
		}
	}
	for i := range 4500 {
		name := fmt.Sprintf("image-%05d.jpg", i)
		b := drawn(fmt.Sprint(i % 97))
		if err := mw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b))}); err != nil {
			return err
		}
		mw.Write(b)
	}
	if err := errors.Join(zw.Close(), mw.Close()); err != nil {
		return err
	}
	return errors.Join(put(s.in(""), file{"tree.zip", z.Bytes()}), put(s.in(""), file{"list.csv", table.Bytes()}), put(s.in(""), file{"many.tar", many.Bytes()}))
}

// put writes a file below dir.
func put(dir string, f file) error {
	path := filepath.Join(dir, f.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, f.data, 0o666)
}

// tarOf is a tar of files.
func tarOf(all ...file) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range all {
		if w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data))}) == nil { // else a name that no tar has
			w.Write(f.data)
		}
	}
	w.Close()
	return out.Bytes()
}

// archiveArgs are ingest's sources for ILSVRC2012.
var archiveArgs = []string{"ingest", "--train", "@/archives/ILSVRC2012_img_train.tar", "--val", "@/archives/ILSVRC2012_img_val.tar",
	"--test", "@/archives/ILSVRC2012_img_test.tar", "--devkit", "@/archives/ILSVRC2012_devkit_t12.tar.gz", "--out"}

func (s *scene) dataset() error {
	in := s.in("")
	local := func(args []string) []string { // the scene itself stands in in/
		var all []string
		for _, a := range args {
			all = append(all, strings.ReplaceAll(a, "@/", ""))
		}
		return all
	}
	if err := s.must(in, append(local(archiveArgs), "dataset")...); err != nil {
		return err
	}
	if err := s.must(in, append(local(archiveArgs[:3]), "--devkit", "archives/ILSVRC2012_devkit_t12.tar.gz", "--out", "trained")...); err != nil {
		return err
	}
	for _, job := range []string{"0/2", "1/2"} { // what is left to join
		if err := s.must(in, append(local(archiveArgs), "jobs", "--job", job)...); err != nil {
			return err
		}
	}
	if err := s.must(in, "ingest", "tree", "--out", "other"); err != nil {
		return err
	}
	for _, to := range []string{"folder", "webdataset", "hf", "tar"} {
		if err := s.must(in, "export", "dataset", "--to", to, "--out", to); err != nil {
			return err
		}
	}
	return s.foreign()
}

// foreign is a dataset of the same classes and names, of other images.
func (s *scene) foreign() error {
	if err := copyTree(s.in("tar"), s.in("changed")); err != nil {
		return err
	}
	for _, split := range []string{"train", "val", "test"} {
		path := s.in("changed/" + split + ".tar")
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for r := tar.NewReader(bytes.NewReader(b)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			data := drawn("changed " + h.Name)
			h.Size = int64(len(data))
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			w.Write(data)
		}
		if err := errors.Join(w.Close(), os.WriteFile(path, out.Bytes(), 0o666)); err != nil {
			return err
		}
	}
	return s.must(s.in(""), "ingest", "changed", "--out", "others/d")
}

// model writes a narrow network's weights in the forms there are.
func (s *scene) model() error {
	spec := model.Spec{Model: "resnet50", Width: 0.0625, InputSize: 32, Resize: 32, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}}
	for _, c := range sample.Synsets() {
		spec.Classes = append(spec.Classes, c.WNID)
	}
	n, err := spec.Network(false)
	if err != nil {
		return err
	}
	for seed, name := range []string{"model", "other"} {
		var b bytes.Buffer
		if err := weights.WriteSummed(&b, n.Init(uint64(seed+1)), map[string]string{model.SpecKey: spec.JSON()}); err != nil {
			return err
		}
		if err := put(s.in(""), file{name + ".safetensors", b.Bytes()}); err != nil {
			return err
		}
		for _, to := range []string{".onnx", ".pth"} {
			if err := s.must(s.in(""), "model", "export", name+".safetensors", "--out", name+to); err != nil {
				return err
			}
		}
	}
	return s.published()
}

// published are weights as torchvision publishes them: the whole width, and no word of what they are.
func (s *scene) published() error {
	n, err := model.New("googlenet", model.Options{Classes: len(sample.Synsets())})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := pth.Write(&b, n.Init(1)); err != nil {
		return err
	}
	return put(s.in(""), file{"full.pth", b.Bytes()})
}

// run fits a network, where the engine is there.
func (s *scene) run() error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o, err := s.command(dir, trainArgs...).do()
	switch {
	case err != nil:
		return err
	case o.code == 6:
		s.noTorch = strings.TrimSpace(o.stderr)
		return nil
	case o.code != 0:
		return fmt.Errorf("train: %v", o)
	}
	return os.Rename(filepath.Join(dir, "r"), s.in("run"))
}

// predictions are over the validation images, whole and by two jobs, in every form.
func (s *scene) predictions() error {
	in := s.in("")
	o, err := s.command(in, "infer", "model.onnx", "dataset", "--out", "pred.arrow").do()
	switch {
	case err != nil:
		return err
	case o.code == 6:
		s.noORT = strings.TrimSpace(o.stderr)
		return nil
	case o.code != 0:
		return fmt.Errorf("infer: %v", o)
	}
	for _, form := range []string{"parquet", "ndjson", "csv"} {
		if err := s.must(in, "infer", "model.onnx", "dataset", "--out", "pred."+form); err != nil {
			return err
		}
	}
	for _, job := range []string{"0", "1"} {
		for model, out := range map[string]string{"model.onnx": "", "other.onnx": "others/"} {
			if err := s.must(in, "infer", model, "dataset", "--job", job+"/2", "--out", out+"job-"+job+".arrow"); err != nil {
				return err
			}
		}
	}
	for _, form := range []string{"arrow", "parquet", "ndjson", "csv"} {
		if err := s.must(in, "infer", "other.onnx", "dataset", "--out", "others/p."+form); err != nil {
			return err
		}
	}
	return nil
}
