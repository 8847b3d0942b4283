package ingest

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/shard/export"
	"github.com/synshard/synshard/shard/shardtest"

	"github.com/synshard/synshard/storage/files"
)

// drawTree makes a tree CLASS/NAME of images, with names of all kinds.
func drawTree(r *rand.Rand) texts {
	classes := []string{"n02084071", "n01440764", "n07749582", "n02391049", "n03063599"}
	if r.IntN(2) == 0 {
		classes = []string{"red car", "Äpfel", "x=y", "50%", "d"}
	}
	r.Shuffle(len(classes), func(i, k int) { classes[i], classes[k] = classes[k], classes[i] })
	names := []string{"a.JPEG", "b.jpg", "c d.jpeg", "é.jpg", "n02391049_7.JPEG", "1.jpg", "z,z.jpg", "q\"q.jpg", "sub/a.JPEG"}
	tree := texts{}
	for _, class := range classes[:2+r.IntN(len(classes)-1)] {
		for _, i := range r.Perm(len(names))[:1+r.IntN(4)] {
			if strings.HasPrefix(class, "n0") || !strings.Contains(names[i], "/") {
				tree[class+"/"+names[i]] = "image"
			}
		}
		tree[class+"/always.jpg"] = "image"
	}
	return tree
}

// packings write a tree in a form, and say what to ingest. rename is how a row is
// called whose name in its class is given.
var packings = map[string]struct {
	pack   func(t *testing.T, f texts, dir string) Options
	rename func(class, name string) string
}{
	"folder": {func(t *testing.T, f texts, dir string) Options { return of(f.folder(t, dir+"/in")) }, nil},
	"zip":    {func(t *testing.T, f texts, dir string) Options { return of(f.zip(t, dir+"/in.zip")) }, nil},
	"tar":    {func(t *testing.T, f texts, dir string) Options { return of(f.tar(t, dir+"/in.tar")) }, nil},
	"tar.gz": {func(t *testing.T, f texts, dir string) Options {
		return of(gzipped(t, f.tar(t, dir+"/in.tar")))
	}, nil},
	"tar of tars": {func(t *testing.T, f texts, dir string) Options {
		classes := map[string]texts{}
		for name := range f {
			class, rest, _ := strings.Cut(name, "/")
			if classes[class] == nil {
				classes[class] = texts{}
			}
			classes[class][rest] = f.content(t, name)
		}
		var list []string
		for _, class := range slices.Sorted(maps.Keys(classes)) {
			inner := classes[class].tar(t, filepath.Join(dir, "inner.tar"))
			list = append(list, class+".tar", read(t, inner))
		}
		pack(t, dir+"/in.tar", list...)
		return of(dir + "/in.tar")
	}, nil},
	"webdataset":    {func(t *testing.T, f texts, dir string) Options { return of(f.samples(t, dir)) }, func(string, string) string { return "" }},
	"webdataset.gz": {func(t *testing.T, f texts, dir string) Options { return of(gzipped(t, f.samples(t, dir))) }, func(string, string) string { return "" }},
	"metadata.gz": {func(t *testing.T, f texts, dir string) Options {
		list := []string{"metadata.csv", "file_name,label\n"}
		for i, name := range f.names() {
			class, _, _ := strings.Cut(name, "/")
			file := fmt.Sprintf("images/%d%s", i, path.Ext(name))
			list[1] += file + "," + class + "\n"
			list = append(list, file, f.content(t, name))
		}
		pack(t, dir+"/in.tar", list...)
		return of(gzipped(t, dir+"/in.tar"))
	}, func(string, string) string { return "" }},
	"list": {func(t *testing.T, f texts, dir string) Options {
		f.folder(t, dir)
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.Write([]string{"path", "label"})
		for _, name := range f.names() {
			class, _, _ := strings.Cut(name, "/")
			w.Write([]string{name, class})
		}
		w.Flush()
		put(t, dir, "in.csv", b.String())
		return of(dir + "/in.csv")
	}, func(class, name string) string { return class + "/" + name }},
}

// samples packs a tree as WebDataset does.
func (f texts) samples(t *testing.T, dir string) string {
	var list []string
	for i, name := range f.names() {
		class, _, _ := strings.Cut(name, "/")
		list = append(list, fmt.Sprintf("%03d%s", i, path.Ext(name)), f.content(t, name), fmt.Sprintf("%03d.cls", i), class)
	}
	pack(t, dir+"/in.tar", list...)
	return dir + "/in.tar"
}

func gzipped(t *testing.T, file string) string {
	t.Helper()
	if err := os.WriteFile(file+".gz", filetest.Gzip([]byte(read(t, file))), 0o666); err != nil {
		t.Fatal(err)
	}
	return file + ".gz"
}

// summaryOf describes a dataset by content: split, class, label, sum and, unless
// names are another packing's, name of every image, in order of these.
func summaryOf(t testing.TB, out string, named bool) (lines []string, classes string) {
	t.Helper()
	set := shardtest.Open(t, out)
	for split, r := range everyRow(t, set) {
		line := fmt.Sprintf("%s %q %d %d %x %v", split, r.Synset, r.Label, r.ILSVRC2012ID, r.SHA256[:6], r.Objects)
		if named {
			line += " " + r.Path
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines, set.Manifest.ClassesSHA256
}

// TestPackings ingests trees of classes, packed in every way, and wants the same
// datasets.
func TestPackings(t *testing.T) {
	raced.Skip(t, "TestCases is watched")
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			tree := drawTree(rand.New(rand.NewPCG(seed, 0)))
			dir := t.TempDir()
			first := packings["folder"].pack(t, tree, dir+"/first")
			first.Out, first.Layout = files.Local(dir+"/first/out"), "top"
			classes := map[string]bool{}
			for path := range tree {
				class, _, _ := strings.Cut(path, "/")
				classes[class] = true
			}
			whole := Summary{Images: int64(len(tree)), Classes: len(classes)}
			wantRun(t, first, whole)
			bare, sum := summaryOf(t, first.Out.String(), false)
			full, _ := summaryOf(t, first.Out.String(), true)
			for name, p := range packings {
				below := filepath.Join(dir, name)
				if err := os.MkdirAll(below, 0o777); err != nil {
					t.Fatal(err)
				}
				o := p.pack(t, tree, below)
				if o.Out = files.Local(below + "/out"); p.rename == nil {
					o.Layout = "top"
				}
				wantRun(t, o, whole)
				got, gotSum := summaryOf(t, o.Out.String(), false)
				if diff := cmp.Diff(bare, got); diff != "" {
					t.Errorf("%s: rows (-folder +%s):\n%s", name, name, diff)
				}
				if gotSum != sum {
					t.Errorf("%s: other classes", name)
				}
				if p.rename == nil {
					got, _ := summaryOf(t, o.Out.String(), true)
					if diff := cmp.Diff(full, got); diff != "" {
						t.Errorf("%s: names (-folder +%s):\n%s", name, name, diff)
					}
				}
				if name != "webdataset.gz" && name != "metadata.gz" { // the same datasets as of what is not compressed
					exported(t, below, boxed(t, o.Out.String()))
				}
				if t.Failed() {
					t.Log(tree.names())
					return
				}
			}
		})
	}
}

// boxed marks objects in some images of a dataset, by annotations.
func boxed(t *testing.T, out string) string {
	t.Helper()
	notes := filepath.Join(out+"-notes", "n01440764")
	if err := os.MkdirAll(notes, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"always", "000"} {
		put(t, notes, name+".xml", "<annotation><object><name>n01440764</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>")
	}
	if _, err := ingest(t.Context(), Options{Out: files.Local(out), Boxes: []string{filepath.Dir(notes)}}); err != nil {
		t.Fatal(err)
	}
	rows, _ := summaryOf(t, out, false)
	if !slices.ContainsFunc(rows, func(line string) bool { return strings.Contains(line, "{n01440764 1 2 3 4}") }) {
		t.Errorf("no boxes: %s", rows)
	}
	return out
}

// exported hands a dataset on in every form and reads it again: rows with their
// names, splits, labels and classes are the same.
func exported(t *testing.T, dir, out string) {
	t.Helper()
	want, sum := summaryOf(t, out, true)
	set := shardtest.Open(t, out)
	var splits []export.Split
	for _, name := range set.Splits() {
		s, err := set.Split(name)
		if err != nil {
			t.Fatal(err)
		}
		splits = append(splits, export.Split{Name: name, View: shardtest.View(t, s)})
	}
	for _, form := range export.Forms {
		to := filepath.Join(dir, "as "+form)
		if err := export.Write(t.Context(), files.Local(to), splits, export.Options{To: form}); err != nil {
			t.Fatal(err)
		}
		o := of(to)
		o.Out = files.Local(filepath.Join(dir, "back from "+form))
		s, err := ingest(t.Context(), o)
		if err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		if s.LostImages() > 0 {
			t.Errorf("%s: %+v", form, s)
		}
		got, gotSum := summaryOf(t, o.Out.String(), true)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s and back (-want +got):\n%s", form, diff)
		}
		if gotSum != sum {
			t.Errorf("%s and back: other classes", form)
		}
	}
}
