package ingest

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"

	"github.com/synshard/synshard/storage/files"
)

// rows describes the rows of a split.
func rows(t testing.TB, dir, split string) []string {
	t.Helper()
	s := shardtest.OpenSplit(t, dir, split)
	var out []string
	for i := range s.Len() {
		r := s.Row(i)
		out = append(out, fmt.Sprint(r.Synset, " ", r.Label, " ", r.Path, " ", len(r.Objects)))
	}
	return out
}

func wantRows(t testing.TB, dir, split string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, rows(t, dir, split)); diff != "" {
		t.Error(diff)
	}
}

func put(t testing.TB, root string, files ...string) {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(root, files[i])
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(files[i+1]), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// zipped packs a directory.
func zipped(t testing.TB, dir, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	if err := errors.Join(z.AddFS(os.DirFS(dir)), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestKaggle reads the tree and the zip: the same rows, with boxes, and the
// labels of the solution.
func TestKaggle(t *testing.T) {
	dir, o := drawn(t)
	good := oneImage(t, o)
	root := filepath.Join(dir, "kaggle")
	put(t, root,
		"LOC_synset_mapping.txt", "n01443537 goldfish\nn02391049 zebra\nn07747607 orange\n",
		"LOC_train_solution.csv", "ImageId,PredictionString\nn02391049_1,n02391049 1 2 3 4 n02391049 5 6 7 8 \n",
		"LOC_val_solution.csv", "ImageId,PredictionString\nILSVRC2012_val_00000001,n07747607 1 2 3 4 \nILSVRC2012_val_00000002,n01443537 0 0 9 9 n01443537 1 1 2 2 \n",
		"ILSVRC/Data/CLS-LOC/train/n02391049/n02391049_1.JPEG", good,
		"ILSVRC/Data/CLS-LOC/train/n01443537/n01443537_7.JPEG", good,
		"ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", good,
		"ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000002.JPEG", good,
		"ILSVRC/Data/CLS-LOC/test/ILSVRC2012_test_00000001.JPEG", good)
	zipped(t, root, filepath.Join(dir, "kaggle.zip"))
	for _, from := range []string{"kaggle", "kaggle.zip"} {
		o := of(filepath.Join(dir, from))
		o.Out = files.Local(filepath.Join(dir, "of-"+from))
		wantRun(t, o, Summary{Images: 5, Classes: 3})
		wantRows(t, o.Out.String(), "train", "n01443537 0 n01443537_7.JPEG 0", "n02391049 1 n02391049_1.JPEG 2")
		wantRows(t, o.Out.String(), "val", "n07747607 2 ILSVRC2012_val_00000001.JPEG 1", "n01443537 0 ILSVRC2012_val_00000002.JPEG 2")
		wantRows(t, o.Out.String(), "test", " -1 ILSVRC2012_test_00000001.JPEG 0")
	}
	if err := os.Truncate(filepath.Join(dir, "kaggle.zip"), 5000); err != nil {
		t.Fatal(err)
	}
	cut := of(filepath.Join(dir, "kaggle.zip"))
	cut.Out = files.Local(filepath.Join(dir, "cut"))
	if _, err := ingest(t.Context(), cut); err == nil || !strings.Contains(err.Error(), "kaggle.zip") {
		t.Errorf("a cut zip: %v", err)
	}
}

// TestPlanStays: what a run meets is not noted in its plan, by which another run makes
// the same.
func TestPlanStays(t *testing.T) {
	dir := t.TempDir()
	o := as("train", gzipped(t, texts{"cat/0.jpg": "image", "dog/0.jpg": "image", "dog/notes.txt": "seen while it is read"}.tar(t, dir+"/a.tar")))
	o.Classes, o.Out = list(t, "cat", "dog"), files.Local(filepath.Join(dir, "out"))
	p, err := MakePlan(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var sums [2]Summary
	for i := range sums {
		if sums[i], err = Run(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if len(sums[i].Skipped) != 1 {
			t.Errorf("run %d: left out %+v", i, sums[i].Skipped)
		}
		if len(p.skips.list) > 0 {
			t.Errorf("run %d: the plan has %+v", i, p.skips.list)
		}
		if err := os.RemoveAll(o.Out.String()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(sums[0], sums[1]); diff != "" {
		t.Error(diff)
	}
}

// TestStream reads the training archive compressed and from a pipe: the same
// dataset as in place, apart from the name of the source.
func TestStream(t *testing.T) {
	dir, o := drawn(t)
	o.Sources = o.Sources[:1]
	run(t, o)
	want := tree(t, o.Out.String())
	plain := read(t, o.path("train"))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.WriteString(z, plain); err != nil || z.Close() != nil {
		t.Fatal("cannot compress")
	}
	gz := filepath.Join(dir, "train.tar.gz")
	put(t, dir, "train.tar.gz", packed.String())
	for name, c := range map[string]Options{
		"compressed":              {Sources: of(gz).Sources, Devkit: o.Devkit},
		"compressed without kit":  of(gz),
		"pipe":                    {Sources: of("-").Sources, Stdin: strings.NewReader(plain), Devkit: o.Devkit},
		"compressed, from a pipe": {Sources: of("-").Sources, Stdin: bytes.NewReader(packed.Bytes()), Devkit: o.Devkit, Workers: 1},
	} {
		c.Out = files.Local(filepath.Join(dir, name))
		run(t, c)
		got := tree(t, c.Out.String())
		for file, sum := range want {
			// Without the kit there are no ILSVRC2012_IDs in it.
			if file != shard.ManifestName && name != "compressed without kit" && got[file] != sum {
				t.Errorf("%s: %s is another file", name, file)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d files, want %d", name, len(got), len(want))
		}
		if diff := cmp.Diff(rows(t, o.Out.String(), "train"), rows(t, c.Out.String(), "train")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, c := range map[string]Options{
		"classes":   {Sources: of("-").Sources, Stdin: strings.NewReader(plain)},
		"truncated": {Sources: of("-").Sources, Stdin: strings.NewReader(plain[:len(plain)*2/3]), Devkit: o.Devkit},
		"gzip":      {Sources: of("-").Sources, Stdin: bytes.NewReader(packed.Bytes()[:packed.Len()-6]), Devkit: o.Devkit},
	} {
		c.Out = files.Local(filepath.Join(dir, "bad "+name))
		_, err := ingest(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), map[string]string{"classes": "classes", "truncated": "unexpected EOF", "gzip": "unexpected EOF"}[name]) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(c.Out.String(), shard.ManifestName)); err == nil {
			t.Errorf("%s: there is a manifest", name)
		}
		// What was whole of it is kept, and the same command with all of it goes on.
		if name == "truncated" {
			c.Stdin = strings.NewReader(plain)
			run(t, c)
			if diff := cmp.Diff(rows(t, o.Out.String(), "train"), rows(t, c.Out.String(), "train")); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// TestDirectoriesInTar reads a training tar of directories.
func TestDirectoriesInTar(t *testing.T) {
	dir, o := drawn(t)
	good := oneImage(t, o)
	path := filepath.Join(dir, "w.tar")
	pack(t, path, "winter21/n02/2.JPEG", good, "winter21/n01/1.JPEG", good, "winter21/n01/0.JPEG", good)
	o = of(path)
	o.Out = files.Local(filepath.Join(dir, "w"))
	run(t, o)
	wantRows(t, o.Out.String(), "train", "n01 0 0.JPEG 0", "n01 0 1.JPEG 0", "n02 1 2.JPEG 0")
}

func TestWebDataset(t *testing.T) {
	dir, o := drawn(t)
	good := oneImage(t, o)
	a, b := filepath.Join(dir, "a.tar"), filepath.Join(dir, "b.tar")
	pack(t, a, "1.jpg", good, "1.cls", "1", "2.jpg", good, "2.cls", "0\n")
	pack(t, b, "3.jpg", good, "3.json", `{"synset":"n02"}`, "4.jpg", good, "4.cls", "1", "4.txt", "a cat")
	o = of(a, b)
	o.Classes, o.Out = list(t, "n02", "n01"), files.Local(filepath.Join(dir, "web"))
	run(t, o)
	wantRows(t, o.Out.String(), "train", "n01 1 1.jpg 0", "n01 1 4.jpg 0", "n02 0 2.jpg 0", "n02 0 3.jpg 0")
	o.Classes, o.Out = nil, files.Local(filepath.Join(dir, "web2"))
	if _, err := ingest(t.Context(), o); err == nil || !strings.Contains(err.Error(), "classes") {
		t.Errorf("numbers without names: %v", err)
	}
}

// TestAdd adds the validation set to a dataset and expects what both at once
// give; boxes come from a tar.
func TestAdd(t *testing.T) {
	dir, o := drawn(t)
	boxes := filepath.Join(dir, "boxes.tar")
	pack(t, boxes, "val/ILSVRC2012_val_00000003.xml", `<annotation><object><name>n02391049</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>`)
	o.Boxes = []string{boxes}
	run(t, o)
	want := tree(t, o.Out.String())
	if got := rows(t, o.Out.String(), "val"); !strings.HasSuffix(got[2], " 1") || !strings.HasSuffix(got[1], " 0") {
		t.Errorf("boxes: %q", got)
	}
	part := o
	part.Sources, part.Out = o.Sources[:1], files.Local(filepath.Join(dir, "added"))
	run(t, part)
	first := filepath.Join(part.Out.String(), "train", shard.IndexName)
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	part.Sources = o.Sources[1:]
	wantRun(t, part, Summary{Images: 43, Classes: 8})
	if diff := cmp.Diff(want, tree(t, part.Out.String())); diff != "" {
		t.Error(diff)
	}
	if after, err := os.Stat(first); err != nil || !os.SameFile(before, after) {
		t.Errorf("what was there was written again: %v", err)
	}
	if s := run(t, part); !s.Already {
		t.Errorf("again: %+v", s)
	}
	good := oneImage(t, o)
	put(t, dir, "list.csv", "x.jpg,no-such-class\n", "x.jpg", good)
	other := as("test", filepath.Join(dir, "list.csv"))
	other.Out = part.Out
	if _, err := ingest(t.Context(), other); err == nil || !strings.Contains(err.Error(), "no-such-class") {
		t.Errorf("a class more: %v", err)
	}
}

func TestListAndResize(t *testing.T) {
	dir, o := drawn(t)
	good := oneImage(t, o)
	put(t, dir, "in/list.tsv", "path\tlabel\na.jpg\tblue car\nsub/b.jpg\tapple\n", "in/a.jpg", good, "in/sub/b.jpg", good)
	o = of(filepath.Join(dir, "in/list.tsv"))
	o.Out, o.Resize = files.Local(filepath.Join(dir, "list")), 64
	run(t, o)
	wantRows(t, o.Out.String(), "train", "apple 0 sub/b.jpg 0", "blue car 1 a.jpg 0")
	s := shardtest.OpenSplit(t, o.Out.String(), "train")
	if r := s.Row(0); min(r.Width, r.Height) != 64 || r.Length >= int64(len(good)) {
		t.Errorf("made smaller: %dx%d, %d bytes", r.Width, r.Height, r.Length)
	}
	wantRun(t, o, Summary{Images: 2, Classes: 2, Already: true})
	o.Resize = 0
	if _, err := ingest(t.Context(), o); err == nil || !strings.Contains(err.Error(), "shrink") {
		t.Errorf("another size: %v", err)
	}
}

// TestCounts names what is missing from what the kit promises.
func TestCounts(t *testing.T) {
	dir, o := drawn(t)
	kit, err := imagenet.ReadKit(t.Context(), o.Devkit)
	if err != nil {
		t.Fatal(err)
	}
	j := &job{splits: []string{"train"}, o: &Options{Out: files.Local(dir)}}
	counts := map[string]int64{}
	for _, s := range kit.Synsets {
		counts[s.WNID] = int64(s.TrainImages)
	}
	if notes := j.notes(promised(kit), &tally{train: counts}, &shard.Manifest{}); len(notes) != 0 {
		t.Errorf("%q", notes)
	}
	if kit.Synsets[0].TrainImages < 1 {
		t.Fatal("the kit says nothing: this proves nothing")
	}
	counts[kit.Synsets[0].WNID]--
	if notes := j.notes(promised(kit), &tally{train: counts}, &shard.Manifest{}); len(notes) != 1 || !strings.Contains(notes[0], kit.Synsets[0].WNID) {
		t.Errorf("%q", notes)
	}
}
