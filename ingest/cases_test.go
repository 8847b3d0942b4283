package ingest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/sample"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/source/layout"

	"github.com/synshard/synshard/storage/files"
)

// texts are of files by name; "image" stands for one that is drawn, another for
// each name.
type texts map[string]string

// testImages are images that were drawn, by their numbers: JPEGs as strings.
var testImages sync.Map

// testImage draws an image, the same for the same name.
func testImage(t testing.TB, name string) string {
	t.Helper()
	k := 0
	for _, c := range []byte(name) {
		k = (k*31 + int(c)) % 1009
	}
	if image, ok := testImages.Load(k); ok {
		return image.(string)
	}
	list := sample.Synsets()
	b, err := sample.Image(list[k%len(list)], "train", k, 3)
	if err != nil {
		t.Fatal(err)
	}
	image, _ := testImages.LoadOrStore(k, string(b))
	return image.(string)
}

func (f texts) content(t testing.TB, name string) string {
	t.Helper()
	if f[name] == "image" {
		return testImage(t, name)
	}
	return f[name]
}

func (f texts) names() []string { return slices.Sorted(maps.Keys(f)) }

// folder writes the files below a directory.
func (f texts) folder(t testing.TB, dir string) string {
	t.Helper()
	for _, name := range f.names() {
		put(t, dir, name, f.content(t, name))
	}
	return dir
}

// tar packs the files.
func (f texts) tar(t testing.TB, path string) string {
	t.Helper()
	var list []string
	for _, name := range f.names() {
		list = append(list, name, f.content(t, name))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	pack(t, path, list...)
	return path
}

// zip packs the files.
func (f texts) zip(t testing.TB, path string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range f.names() {
		w, err := z.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Store, UncompressedSize64: uint64(len(f.content(t, name))), CompressedSize64: uint64(len(f.content(t, name))), CRC32: crc(f.content(t, name))})
		if err == nil {
			_, err = w.Write([]byte(f.content(t, name)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), os.WriteFile(path, b.Bytes(), 0o666)); err != nil {
		t.Fatal(err)
	}
	return path
}

// contents describes a dataset: "split: class label path", a line each.
func contents(t testing.TB, out string) []string {
	t.Helper()
	var lines []string
	for split, r := range everyRow(t, shardtest.Open(t, out)) {
		lines = append(lines, fmt.Sprintf("%s: %s %d %s", split, r.Synset, r.Label, r.Path))
	}
	return lines
}

// everyRow gives the rows of all splits, in order, by split.
func everyRow(t testing.TB, set *shard.Dataset) iter.Seq2[string, shard.Row] {
	return func(yield func(string, shard.Row) bool) {
		for _, split := range set.Splits() {
			s, err := set.Split(split)
			if err != nil {
				t.Fatal(err)
			}
			for i := range s.Len() {
				if !yield(split, s.Row(i)) {
					return
				}
			}
		}
	}
}

const (
	tench, goldfish, shark = "n01440764", "n01443537", "n01484850"
)

// three is one image in each of three classes, called alike.
func three(below string) texts {
	return texts{below + tench + "/a.JPEG": "image", below + goldfish + "/a.JPEG": "image", below + shark + "/a.JPEG": "image"}
}

func with(list ...texts) texts {
	out := texts{}
	for _, f := range list {
		maps.Copy(out, f)
	}
	return out
}

var threeRows = []string{"train: n01440764 0 a.JPEG", "train: n01443537 1 a.JPEG", "train: n01484850 2 a.JPEG"}

func ofSplit(split string) []string {
	var out []string
	for _, r := range threeRows {
		out = append(out, split+strings.TrimPrefix(r, "train"))
	}
	return out
}

// TestCases ingests data as people have them, and wants what they expect, or a
// refusal that says what can be done.
func TestCases(t *testing.T) {
	both := slices.Concat(ofSplit("train"), ofSplit("val"))
	type want struct {
		rows     []string
		skipped  []string // "count reason"
		rejected int64
		err      string
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, dir string) Options
		want want
	}{
		"a folder of splits": {func(t *testing.T, dir string) Options {
			return of(with(three("train/"), three("val/")).folder(t, dir+"/in"))
		}, want{rows: both}},
		"a zip of splits with a folder around": {func(t *testing.T, dir string) Options {
			return of(with(three("mini/train/"), three("mini/val/")).zip(t, dir+"/in.zip"))
		}, want{rows: both}},
		"a tar of splits": {func(t *testing.T, dir string) Options {
			return of(with(three("i/train/"), three("i/val/")).tar(t, dir+"/in.tar"))
		}, want{rows: both}},
		"splits beside synsets": {func(t *testing.T, dir string) Options {
			return of(with(three(""), three("train/")).folder(t, dir+"/in"))
		}, want{err: "--layout"}},
		"ILSVRC2017's tree as a tar": {func(t *testing.T, dir string) Options {
			below := "ILSVRC/Data/CLS-LOC/"
			return of(with(three(below+"train/"), texts{
				below + "val/ILSVRC2012_val_00000001.JPEG":   "image",
				below + "test/ILSVRC2012_test_00000001.JPEG": "image",
				"ILSVRC/LOC_val_solution.csv":                "ImageId,PredictionString\nILSVRC2012_val_00000001,n01443537 1 2 3 4 \n",
			}).tar(t, dir+"/in.tar"))
		}, want{rows: slices.Concat([]string{"test:  -1 ILSVRC2012_test_00000001.JPEG"}, threeRows, []string{"val: n01443537 1 ILSVRC2012_val_00000001.JPEG"})}},
		"tiny-imagenet": {func(t *testing.T, dir string) Options {
			return of(texts{
				"tiny/wnids.txt":                       "n01443537\nn01440764\n",
				"tiny/words.txt":                       "n01440764\ttench\n",
				"tiny/train/n01440764/images/0.JPEG":   "image",
				"tiny/train/n01440764/n01440764_b.txt": "0.JPEG\t0\t0\t62\t62\n",
				"tiny/train/n01443537/images/0.JPEG":   "image",
				"tiny/train/n01443537/n01443537_b.txt": "0.JPEG\t0\t0\t62\t62\n",
				"tiny/val/images/val_0.JPEG":           "image",
				"tiny/val/val_annotations.txt":         "val_0.JPEG\tn01443537\t0\t32\t44\t62\n",
				"tiny/test/images/test_0.JPEG":         "image",
			}.zip(t, dir+"/in.zip"))
		}, want{rows: []string{"test:  -1 test_0.JPEG", "train: n01440764 0 images/0.JPEG", "train: n01443537 1 images/0.JPEG", "val: n01443537 1 val_0.JPEG"}, skipped: []string{"3 not an image"}}},
		"a zip made on macOS": {func(t *testing.T, dir string) Options {
			return of(with(three(""), texts{"__MACOSX/n01440764/._a.JPEG": "x", ".DS_Store": "y", "n01440764/.DS_Store": "y"}).zip(t, dir+"/in.zip"))
		}, want{rows: threeRows, skipped: []string{"3 " + junk}}},
		"a tar made on macOS": {func(t *testing.T, dir string) Options {
			return of(with(three(""), texts{"._n01440764": "x", "n01440764/._a.JPEG": "x"}).tar(t, dir+"/in.tar"))
		}, want{rows: threeRows, skipped: []string{"2 " + junk}}},
		"junk in a tar within a tar": {func(t *testing.T, dir string) Options {
			inner := texts{"a.JPEG": "image", "._a.JPEG": "x", "notes.txt": "y"}.tar(t, dir+"/n01440764.tar")
			pack(t, dir+"/in.tar", "n01440764.tar", read(t, inner), "._n01440764.tar", "z")
			return of(dir + "/in.tar")
		}, want{rows: threeRows[:1], skipped: []string{"2 " + junk, "1 not an image"}}},
		"a zip with backslashes": {func(t *testing.T, dir string) Options {
			return of(texts{`n01440764\a.JPEG`: "image", `n01443537\a.JPEG`: "image", "n01484850/a.JPEG": "image"}.zip(t, dir+"/in.zip"))
		}, want{rows: threeRows}},
		"links in a tar": {func(t *testing.T, dir string) Options {
			return of(linkedTar(t, dir+"/in.tar"))
		}, want{rows: []string{"train: n01440764 0 a.JPEG", "train: n01440764 0 b.JPEG", "train: n01443537 1 a.JPEG"}, skipped: []string{"1 a link to n01443537/nothing.JPEG, which is not there"}}},
		"tars one behind the other": {func(t *testing.T, dir string) Options {
			a, b := texts{tench + "/a.JPEG": "image"}.tar(t, dir+"/a.tar"), texts{goldfish + "/a.JPEG": "image", shark + "/a.JPEG": "image"}.tar(t, dir+"/b.tar")
			put(t, dir, "in.tar", read(t, a)+read(t, b))
			return of(dir + "/in.tar")
		}, want{rows: threeRows}},
		"links to folders": {func(t *testing.T, dir string) Options {
			three("").folder(t, dir+"/real")
			for _, class := range []string{tench, goldfish, shark} {
				link(t, dir+"/real/"+class, dir+"/in/"+class)
			}
			o := of(dir + "/in")
			o.FollowLinks = true
			return o
		}, want{rows: threeRows}},
		"links to folders within": {func(t *testing.T, dir string) Options {
			three("").folder(t, dir+"/in")
			link(t, dir+"/in/"+tench, dir+"/in/n02129604")
			return of(dir + "/in")
		}, want{rows: append(slices.Clone(threeRows), "train: n02129604 3 a.JPEG")}},
		"links out of the folder": {func(t *testing.T, dir string) Options {
			three("").folder(t, dir+"/in")
			put(t, dir, "outside.JPEG", "image")
			link(t, dir+"/outside.JPEG", dir+"/in/"+tench+"/b.JPEG")
			link(t, dir, dir+"/in/n02129604")
			link(t, t.TempDir(), dir+"/in/n02391049")
			return of(dir + "/in")
		}, want{rows: threeRows, skipped: []string{"2 a link out of the folder, which --follow-links follows", "1 a link to a directory that it is in"}}},
		"the root a link": {func(t *testing.T, dir string) Options {
			three("").folder(t, dir+"/real")
			link(t, dir+"/real", dir+"/in")
			return of(dir + "/in")
		}, want{rows: threeRows}},
		"a dead link": {func(t *testing.T, dir string) Options {
			three("").folder(t, dir+"/in")
			link(t, dir+"/nowhere", dir+"/in/"+tench+"/b.JPEG")
			return of(dir + "/in")
		}, want{rows: threeRows, skipped: []string{"1 a link that leads nowhere"}}},
		"a name that is not UTF-8": {func(t *testing.T, dir string) Options {
			return of(with(three(""), texts{tench + "/caf\xe9.JPEG": "image"}).folder(t, dir+"/in"))
		}, want{rows: []string{threeRows[0], `train: n01440764 0 caf\xe9.JPEG`, threeRows[1], threeRows[2]}}},
		"a class that is not UTF-8": {func(t *testing.T, dir string) Options {
			return of(texts{"caf\xe9/a.JPEG": "image", "caf\xe9/\xe9.JPEG": "no image", "tea/a.JPEG": "image"}.folder(t, dir+"/in"))
		}, want{rows: []string{`train: caf\xe9 0 a.JPEG`, "train: tea 1 a.JPEG"}, rejected: 1}},
		"boxes of other images": {func(t *testing.T, dir string) Options {
			o := of(three("").folder(t, dir+"/in"))
			o.Boxes = []string{dir + "/boxes"}
			put(t, dir, "boxes/other.xml", voc)
			return o
		}, want{err: "boxes: they are of 1 images"}},
		"validation images without the kit": {func(t *testing.T, dir string) Options {
			return of(texts{"ILSVRC2012_val_00000001.JPEG": "image"}.tar(t, dir+"/in.tar"))
		}, want{err: "devkit: "}},
		"validation images that the kit does not know": {func(t *testing.T, dir string) Options {
			_, o := drawn(t)
			o.Sources = as("val", texts{"img_0.JPEG": "image", "img_1.JPEG": "image"}.folder(t, dir+"/in")).Sources
			return o
		}, want{err: "devkit: the development kit says nothing of the 2 images of val, such as img_0.JPEG"}},
		"the same, to go without": {func(t *testing.T, dir string) Options {
			_, o := drawn(t)
			o.Sources, o.Layout = as("val", texts{"img_0.JPEG": "image"}.folder(t, dir+"/in")).Sources, "flat"
			return o
		}, want{rows: []string{"val:  -1 img_0.JPEG"}}},
		"a validation image more than the kit knows": {func(t *testing.T, dir string) Options {
			_, o := drawn(t)
			o.Sources = as("val", texts{"ILSVRC2012_val_00000001.JPEG": "image", "ILSVRC2012_val_00099999.JPEG": "image", "img_0.JPEG": "image"}.folder(t, dir+"/in")).Sources
			return o
		}, want{rows: []string{"val: n07747607 4 ILSVRC2012_val_00000001.JPEG"}, skipped: []string{"1 no label, and others of val have one", "1 the development kit has no label for it"}}},
		"validation images named as training": {func(t *testing.T, dir string) Options {
			_, o := drawn(t)
			o.Sources = as("train", o.path("val")).Sources
			return o
		}, want{err: "--val"}},
		"WebDataset of odd endings": {func(t *testing.T, dir string) Options {
			return of(texts{"0.input.jpg": "image", "0.cls": tench, "1.webp": "image", "1.cls": goldfish, "2.PNG": "image", "2.cls": shark}.tar(t, dir+"/in.tar"))
		}, want{rows: []string{"train: n01440764 0 0.input.jpg", "train: n01443537 1 1.webp", "train: n01484850 2 2.PNG"}}},
		"WebDataset with a key in two shards": {func(t *testing.T, dir string) Options {
			return of(texts{"0.jpg": "image", "0.cls": tench}.tar(t, dir+"/a.tar"), texts{"0.jpg": "image", "0.cls": goldfish}.tar(t, dir+"/b.tar"))
		}, want{rows: []string{"train: n01440764 0 0.jpg", "train: n01443537 1 0.jpg"}}},
		"WebDataset with the same key and class in two shards": {func(t *testing.T, dir string) Options {
			return of(texts{"0.jpg": "image", "0.cls": tench}.tar(t, dir+"/a.tar"), texts{"0.jpg": "image", "0.cls": tench}.tar(t, dir+"/b.tar"))
		}, want{rows: []string{"train: n01440764 0 0.jpg", "train: n01440764 0 0.jpg"}}},
		"WebDataset with numbers and no class list": {func(t *testing.T, dir string) Options {
			return of(texts{"0.jpg": "image", "0.cls": "0"}.tar(t, dir+"/in.tar"))
		}, want{err: "--classes"}},
		"WebDataset with labels that are none": {func(t *testing.T, dir string) Options {
			o := of(texts{"0.jpg": "image", "0.cls": "1.0", "1.jpg": "image", "1.cls": "1", "2.jpg": "image", "2.cls": "\x80\x04K\x01."}.tar(t, dir+"/in.tar"))
			o.Classes = list(t, tench, goldfish)
			return o
		}, want{rows: []string{"train: n01443537 1 1.jpg"}, skipped: []string{"1 its .cls is neither a whole number nor a name", "1 its .cls is not text"}}},
		"a list with a heading and a BOM": {func(t *testing.T, dir string) Options {
			three("f/").folder(t, dir)
			put(t, dir, "l.csv", "\ufefffilename,label\r\nf/n01440764/a.JPEG,n01440764\r\n\r\n\"f/n01443537/a.JPEG\",n01443537\r\n")
			return of(dir + "/l.csv")
		}, want{rows: []string{"train: n01440764 0 f/n01440764/a.JPEG", "train: n01443537 1 f/n01443537/a.JPEG"}}},
		"a list of numbers": {func(t *testing.T, dir string) Options {
			three("f/").folder(t, dir)
			put(t, dir, "l.csv", "path,label\nf/n01440764/a.JPEG,2\nf/n01443537/a.JPEG,0\n")
			o := of(dir + "/l.csv")
			o.Classes = list(t, "c", "b", "a")
			return o
		}, want{rows: []string{"train: a 2 f/n01440764/a.JPEG", "train: c 0 f/n01443537/a.JPEG"}}},
		"a list of numbers and no classes": {func(t *testing.T, dir string) Options {
			three("f/").folder(t, dir)
			put(t, dir, "l.csv", "path,label\nf/n01440764/a.JPEG,2\n")
			return of(dir + "/l.csv")
		}, want{err: "--classes"}},
		"a list with a file that is gone": {func(t *testing.T, dir string) Options {
			three("f/").folder(t, dir)
			put(t, dir, "l.csv", "path,label\nf/n01440764/a.JPEG,x\nf/gone.JPEG,x\n")
			return of(dir + "/l.csv")
		}, want{rows: []string{"train: x 0 f/n01440764/a.JPEG"}, rejected: 1}},
		"a class outside the list": {func(t *testing.T, dir string) Options {
			o := of(three("").folder(t, dir+"/in"))
			o.Classes = list(t, tench, goldfish)
			return o
		}, want{err: shark}},
		"the order of the class list": {func(t *testing.T, dir string) Options {
			o := of(three("").folder(t, dir+"/in"))
			o.Classes = list(t, shark, goldfish, tench, "n02129604")
			return o
		}, want{rows: []string{"train: n01440764 2 a.JPEG", "train: n01443537 1 a.JPEG", "train: n01484850 0 a.JPEG"}}},
		"a folder with --as-split val": {func(t *testing.T, dir string) Options {
			o := of(three("").folder(t, dir+"/in"))
			o.Split = "val"
			return o
		}, want{rows: []string{"val: n01440764 0 a.JPEG", "val: n01443537 1 a.JPEG", "val: n01484850 2 a.JPEG"}}},
		"two folders by flags": {func(t *testing.T, dir string) Options {
			o := as("train", three("").folder(t, dir+"/a"))
			o.Sources = append(o.Sources, as("val", three("").folder(t, dir+"/b")).Sources...)
			return o
		}, want{rows: both}},
		"a folder and a zip for one split": {func(t *testing.T, dir string) Options {
			o := as("train", texts{tench + "/a.JPEG": "image"}.folder(t, dir+"/a"))
			o.Sources = append(o.Sources, as("train", texts{goldfish + "/a.JPEG": "image", shark + "/a.JPEG": "image"}.zip(t, dir+"/b.zip")).Sources...)
			return o
		}, want{rows: threeRows}},
		"a refused image with a long path": {func(t *testing.T, dir string) Options {
			deep := strings.Repeat("a-directory-with-a-long-name/", 9)
			texts{deep + "a.JPEG": "image", deep + "b.JPEG": "no image"}.folder(t, dir)
			put(t, dir, "l.csv", fmt.Sprintf("path,label\n%sa.JPEG,x\n%sb.JPEG,x\n", deep, deep))
			return of(dir + "/l.csv")
		}, want{rows: []string{"train: x 0 " + strings.Repeat("a-directory-with-a-long-name/", 9) + "a.JPEG"}, rejected: 1}},
		"annotations and junk in val": {func(t *testing.T, dir string) Options {
			below := "ILSVRC/Data/CLS-LOC/"
			return of(with(three(below+"train/"), texts{
				below + "val/ILSVRC2012_val_00000001.JPEG": "image", below + "val/Thumbs.db": "x", "__MACOSX/x": "y",
				"LOC_val_solution.csv": "\ufeffImageId,PredictionString\nILSVRC2012_val_00000001,n01443537 1.0 2 3 4\n",
			}).folder(t, dir+"/in"))
		}, want{rows: slices.Concat(threeRows, []string{"val: n01443537 1 ILSVRC2012_val_00000001.JPEG"}), skipped: []string{"2 " + junk}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := c.make(t, dir)
			o.Out = files.Local(dir + "/out")
			sum, err := ingest(t.Context(), o)
			if c.want.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.want.err) {
					t.Fatalf("%v, want %q", err, c.want.err)
				}
				if _, err := os.Stat(o.Out.String()); err == nil {
					t.Error("something was written")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want.rows, contents(t, o.Out.String())); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want.skipped, told(sum.Skipped)); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
			if sum.Rejected != c.want.rejected {
				t.Errorf("%d refused, want %d", sum.Rejected, c.want.rejected)
			}
			sum.Already = true
			wantRun(t, o, sum)
		})
	}
}

const junk = "left behind by an operating system or a hidden file"

func told(list []layout.Skipped) []string {
	var out []string
	for _, k := range list {
		out = append(out, fmt.Sprint(k.Count, " ", k.Reason))
	}
	return out
}

func link(t testing.TB, to, at string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o777), os.Symlink(to, at)); err != nil {
		t.Fatal(err)
	}
}

// linkedTar packs an image, a hard link and a symbolic one to it, and one to nothing.
func linkedTar(t testing.TB, path string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	im := testImage(t, "linked")
	for _, h := range []*tar.Header{
		{Name: "n01440764/a.JPEG", Mode: 0o644, Size: int64(len(im))},
		{Name: "n01440764/b.JPEG", Typeflag: tar.TypeLink, Linkname: "n01440764/a.JPEG"},
		{Name: "n01443537/a.JPEG", Typeflag: tar.TypeSymlink, Linkname: "../n01440764/a.JPEG"},
		{Name: "n01443537/b.JPEG", Typeflag: tar.TypeSymlink, Linkname: "nothing.JPEG"},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(im)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), os.WriteFile(path, b.Bytes(), 0o666)); err != nil {
		t.Fatal(err)
	}
	return path
}

func crc(s string) uint32 { return crc32.ChecksumIEEE([]byte(s)) }
