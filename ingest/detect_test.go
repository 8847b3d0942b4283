package ingest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestDetect tells every kind of source by what is in it, whatever its name.
func TestDetect(t *testing.T) {
	dir, o := drawn(t)
	good := oneImage(t, o)
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, a := range []struct{ from, to string }{{o.Train, "1"}, {o.Val, "2"}, {o.Test, "3"}, {o.Devkit, "4"}} {
		if err := os.Link(a.from, in(a.to)); err != nil {
			t.Fatal(err)
		}
	}
	pack(t, in("5"), "n02391049/n02391049_1.JPEG", good, "n02391049/n02391049_2.JPEG", good)
	pack(t, in("6"), "Annotation/n02391049/n02391049_1.xml", voc)
	pack(t, in("inner.tar"), "n02391049_1.xml", voc)
	pack(t, in("7"), "n02391049.tar", read(t, in("inner.tar")))
	pack(t, in("8"), "n02391049/1.jpg", good, "n02391049/1.cls", "0")
	put(t, dir, "9", "path,label\nx.jpg,cat\n", "10", "x.jpg\tcat\n", "11", "PAR1 and so on",
		"kaggle/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", good,
		"folder/cats/1.jpg", good, "marks/n02391049/n02391049_1.xml", voc)
	zipped(t, in("kaggle"), in("12"))
	zipped(t, in("folder"), in("13"))
	put(t, dir, "ours/a.tar", read(t, o.Val), "ours/b.tgz", read(t, o.Devkit), "ours/readme", "words")
	for name, want := range map[string]Options{
		"1": {Train: in("1")}, "2": {Val: in("2")}, "3": {Test: in("3")}, "4": {Devkit: in("4")},
		"5": {Train: in("5")}, "6": {Boxes: []string{in("6")}}, "7": {Boxes: []string{in("7")}},
		"8": {WebDataset: []string{in("8")}}, "9": {List: in("9")}, "10": {List: in("10")},
		"11": {Parquet: []string{in("11")}}, "12": {Kaggle: in("12")}, "13": {Folder: in("13")},
		"kaggle": {Kaggle: in("kaggle")}, "folder": {Folder: in("folder")}, "marks": {Boxes: []string{in("marks")}},
		"ours": {Val: in("ours/a.tar"), Devkit: in("ours/b.tgz")},
	} {
		var got Options
		if err := Detect([]string{in(name)}, &got); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	put(t, dir, "words", "neither this nor that", "empty", "")
	pack(t, in("odd"), "a.jpg", good)
	for _, name := range []string{"words", "empty", "odd"} {
		if err := Detect([]string{in(name)}, &Options{}); !errors.Is(err, ErrUnknownSource) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Detect([]string{in("2"), o.Val}, &Options{}); err == nil {
		t.Error("two validation archives are accepted")
	}
}

func FuzzDetect(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "x")
	pack(f, path, "n02391049.tar", "yy")
	f.Add([]byte(read(f, path)))
	f.Add([]byte("PK\x03\x04"))
	f.Add([]byte("a,b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		o := Options{}
		if err := Detect([]string{path}, &o); err == nil && len(o.sources()) == 0 && o.Kaggle == "" && o.Devkit == "" && len(o.Boxes) == 0 {
			t.Fatal("no error and no source")
		}
	})
}
