package sample

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/internal/mat5"
	"github.com/synshard/synshard/internal/processors"
)

// Names of the archives, those of ILSVRC2012.
const (
	TrainTar = "ILSVRC2012_img_train.tar"
	ValTar   = "ILSVRC2012_img_val.tar"
	TestTar  = "ILSVRC2012_img_test.tar"
	Devkit   = "ILSVRC2012_devkit_t12.tar.gz"
)

// Options says how much to draw.
type Options struct {
	TrainPerSynset int         // images a synset in the train tar
	ValPerSynset   int         // in the val tar
	Test           int         // images in the test tar, over all synsets
	Seed           uint64      // what is drawn depends on this and the numbers alone
	Workers        int         // 0: one a CPU
	Progress       func(n int) // called as images are drawn, from one goroutine at a time
}

// Total is how many images the options ask for.
func (o Options) Total() int { return len(synsets)*(o.TrainPerSynset+o.ValPerSynset) + o.Test }

// Write draws the set into dir, which is made when missing, and returns the
// paths of its four archives. Each archive is whole or absent; the same options
// give the same bytes whatever the number of workers.
func Write(ctx context.Context, dir string, o Options) ([]string, error) {
	if o.TrainPerSynset < 0 || o.ValPerSynset < 0 || o.Test < 0 {
		return nil, errors.New("sample: a number of images is negative")
	}
	if err := durable.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	order := validationOrder(o)
	parts := []struct {
		name  string
		write func(io.Writer) error
	}{
		{TrainTar, func(w io.Writer) error { return writeTrain(ctx, w, o) }},
		{ValTar, func(w io.Writer) error { return writeFlat(ctx, w, o, "val", order) }},
		{TestTar, func(w io.Writer) error { return writeFlat(ctx, w, o, "test", testOrder(o)) }},
		{Devkit, func(w io.Writer) error { return writeDevkit(w, o, order) }},
	}
	var paths []string
	for _, p := range parts {
		path := filepath.Join(dir, p.name)
		if err := durable.WriteFile(path, p.write); err != nil {
			return nil, fmt.Errorf("sample: write %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// picked is one image of a flat archive.
type picked struct {
	synset Synset
	k      int
}

// validationOrder mixes the classes, as the real set does: element i is the
// image number i+1.
func validationOrder(o Options) []picked {
	var all []picked
	for _, s := range synsets {
		for k := range o.ValPerSynset {
			all = append(all, picked{s, k})
		}
	}
	r := rand.New(rand.NewPCG(o.Seed, 1))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func testOrder(o Options) []picked {
	r := rand.New(rand.NewPCG(o.Seed, 2))
	all := make([]picked, o.Test)
	for i := range all {
		all[i] = picked{synsets[r.IntN(len(synsets))], i}
	}
	return all
}

// chunk is how many images are drawn before they are written: enough to keep
// the workers busy, little enough to hold in memory.
const chunk = 256

// drawAll draws images in parallel and hands them to put in order.
func drawAll(ctx context.Context, o Options, split string, what []picked, put func(i int, jpeg []byte) error) error {
	workers := o.Workers
	if workers <= 0 {
		workers = processors.Count()
	}
	for from := 0; from < len(what); from += chunk {
		part := what[from:min(from+chunk, len(what))]
		drawn := make([][]byte, len(part))
		err := inorder.Each(ctx, workers, len(part), func(_ context.Context, i int) (err error) {
			drawn[i], err = Image(part[i].synset, split, part[i].k, o.Seed)
			return err
		})
		if err != nil {
			return err
		}
		for i, b := range drawn {
			if err := put(from+i, b); err != nil {
				return err
			}
		}
		if o.Progress != nil {
			o.Progress(len(part))
		}
	}
	return nil
}

// stamp is the time the archives' members carry.
var stamp = time.Date(2012, 6, 1, 0, 0, 0, 0, time.UTC)

func addMember(t *tar.Writer, name string, data []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: stamp, Format: tar.FormatUSTAR}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.Write(data)
	return err
}

// writeTrain writes a tar with a tar for each synset.
func writeTrain(ctx context.Context, w io.Writer, o Options) error {
	outer := tar.NewWriter(w)
	for _, s := range synsets {
		what := make([]picked, o.TrainPerSynset)
		for k := range what {
			what[k] = picked{s, k}
		}
		var b bytes.Buffer
		inner := tar.NewWriter(&b)
		err := drawAll(ctx, o, "train", what, func(i int, jpeg []byte) error {
			return addMember(inner, fmt.Sprintf("%s_%d.JPEG", s.WNID, i+1), jpeg)
		})
		if err != nil {
			return err
		}
		if err := inner.Close(); err != nil {
			return err
		}
		if err := addMember(outer, s.WNID+".tar", b.Bytes()); err != nil {
			return err
		}
	}
	return outer.Close()
}

// writeFlat writes the val or test tar. Its members are not in the order of
// their names, as in the real ones.
func writeFlat(ctx context.Context, w io.Writer, o Options, split string, what []picked) error {
	t := tar.NewWriter(w)
	place := rand.New(rand.NewPCG(o.Seed, 3)).Perm(len(what))
	mixed := make([]picked, len(what))
	for i, p := range place {
		mixed[i] = what[p]
	}
	err := drawAll(ctx, o, split, mixed, func(i int, jpeg []byte) error {
		return addMember(t, fmt.Sprintf("ILSVRC2012_%s_%08d.JPEG", split, place[i]+1), jpeg)
	})
	if err != nil {
		return err
	}
	return t.Close()
}

// writeDevkit writes the archive with meta.mat and the validation truth.
func writeDevkit(w io.Writer, o Options, order []picked) error {
	meta, err := mat5.Write("synsets", metaSynsets(o))
	if err != nil {
		return err
	}
	var truth strings.Builder
	for _, p := range order {
		fmt.Fprintln(&truth, p.synset.ILSVRC2012ID)
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	const root = "ILSVRC2012_devkit_t12/"
	for _, dir := range []string{root, root + "data/"} {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: stamp, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
	}
	if err := addMember(t, root+"data/meta.mat", meta); err != nil {
		return err
	}
	if err := addMember(t, root+"data/ILSVRC2012_validation_ground_truth.txt", []byte(truth.String())); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

// inner nodes of the devkit's tree, their ids after those of the classes.
var innerNodes = []struct {
	wnid, words, gloss string
	children           []float64
	height             float64
}{
	{"n00015388", "animal, animate being, beast, brute, creature, fauna", "a living organism characterized by voluntary movement", []float64{3, 6, 8}, 1},
	{"n07747055", "citrus, citrus fruit, citrous fruit", "any of numerous fruits of the genus Citrus having thick rind and juicy pulp; grown in warm regions", []float64{2, 5}, 1},
	{"n07705931", "edible fruit", "edible reproductive body of a seed plant especially one having sweet flesh", []float64{1, 7, 10}, 2},
	{"n00001740", "entity", "that which is perceived or known or inferred to have its own distinct existence (living or nonliving)", []float64{4, 9, 11}, 3},
}

// metaSynsets gives the struct array of meta.mat, by ascending id.
func metaSynsets(o Options) [][]mat5.Field {
	element := func(id int, wnid, words, gloss string, children []float64, height float64, images int) []mat5.Field {
		return []mat5.Field{
			{Name: "ILSVRC2012_ID", Value: float64(id)}, {Name: "WNID", Value: wnid}, {Name: "words", Value: words}, {Name: "gloss", Value: gloss},
			{Name: "num_children", Value: float64(len(children))}, {Name: "children", Value: children},
			{Name: "wordnet_height", Value: height}, {Name: "num_train_images", Value: float64(images)},
		}
	}
	out := make([][]mat5.Field, len(synsets))
	for _, s := range synsets {
		out[s.ILSVRC2012ID-1] = element(s.ILSVRC2012ID, s.WNID, s.Words, s.Gloss, nil, 0, o.TrainPerSynset)
	}
	for i, n := range innerNodes {
		out = append(out, element(len(synsets)+1+i, n.wnid, n.words, n.gloss, n.children, n.height, 0))
	}
	return out
}
