package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"

	"github.com/synshard/synshard/storage/files"
)

// TestExportedKit hands on a dataset whose classes have the development kit's
// numbers, which no tree and no table holds: they come back.
func TestExportedKit(t *testing.T) {
	dir, o := drawn(t)
	run(t, o)
	set := shardtest.Open(t, o.Out.String())
	for _, c := range set.Classes() {
		if c.ILSVRC2012ID == 0 {
			t.Fatalf("%s has no number of the kit", c.Synset)
		}
	}
	exported(t, dir, o.Out.String())
}

// TestExportedTwice reads two exports that say different things of a class: it
// is described anew.
func TestExportedTwice(t *testing.T) {
	p := &Plan{set: &containers{}}
	for i, gloss := range []string{"a large cat", "a tiger"} {
		dir := t.TempDir()
		classes := []shard.Class{{Label: 0, Synset: "n02129604", Gloss: gloss}, {Label: 1, Synset: "n07749582", ILSVRC2012ID: 3}}
		if _, err := shard.WriteClasses(files.Local(mkdir(t, dir, shard.ExportName)), classes[:2-i]); err != nil {
			t.Fatal(err)
		}
		if err := shard.WriteExportMark(files.Local(dir), map[string]int{"version": 1}); err != nil {
			t.Fatal(err)
		}
		p.o.Sources = append(p.o.Sources, Source{Path: dir})
		p.set.list = append(p.set.list, container{info: source.Info{Given: dir, Kind: source.Folder}})
	}
	if err := p.readExported(); err != nil {
		t.Fatal(err)
	}
	want := []shard.Class{{Label: 0, Synset: "n02129604"}, {Label: 1, Synset: "n07749582", ILSVRC2012ID: 3, Words: []string{}, Path: []string{}}}
	if diff := cmp.Diff(want, []shard.Class{p.class(0, "n02129604"), p.class(1, "n07749582")}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestExportedNames hands on a dataset whose classes and images have names that no
// file has, on some systems or on any: they come back from every form.
func TestExportedNames(t *testing.T) {
	raced.Skip(t, "TestExportedKit is watched")
	long := strings.Repeat("x", 245)
	classes := []string{"..", "CON", ".hidden", "-rf", "a/b", "a:b*", "end.", "line\nfeed", long, "Cat", "cat", "%2E%2E", `back\slash`, "thumbs.db", ".DS_Store", "lost+found", "__MACOSX", "@eaDir"}
	paths := []string{"1.jpg", "nul.jpg", "-1.jpg", "a:b.jpg", "../2.jpg", "sub/3.jpg", "sub?/4.jpg", ".h.jpg", "no ending", "tail .", "A.jpg", "a.jpg", "e\x1b[2J.jpg", long + ".jpg", "1-2.jpg", "1.jpg"} // one name twice, as two sources may have it
	dir := t.TempDir()
	var splits []shardtest.Split
	for _, split := range []string{"train", "val"} {
		s := shardtest.Split{Name: split}
		for i, class := range classes {
			for k, path := range paths {
				if k > 0 && k < len(paths)-2 && (i+k)%4 != 0 {
					continue
				}
				im := stored(t, fmt.Sprint(split, class, path, k), path, class, i)
				if (i+k)%3 == 0 && k < len(paths)-2 {
					im.Objects = []shard.Object{{Synset: class, XMin: 1, YMin: 2, XMax: 3, YMax: 4}}
				}
				s.Images = append(s.Images, im)
			}
		}
		splits = append(splits, s)
	}
	out := mkdir(t, dir, "set")
	shardtest.Write(t, out, append([]string{}, classes...), splits...)
	exported(t, dir, out)

	// A list of the user's has the classes' own names.
	want, sum := summaryOf(t, out, true)
	list, err := classlist.New(classes, nil, "a list")
	if err != nil {
		t.Fatal(err)
	}
	o := of(filepath.Join(dir, "as tar"))
	o.Out, o.Classes = files.Local(filepath.Join(dir, "listed")), list
	run(t, o)
	got, gotSum := summaryOf(t, o.Out.String(), true)
	if diff := cmp.Diff([]any{want, sum}, []any{got, gotSum}); diff != "" {
		t.Errorf("by a list: rows, sum of classes (-want +got):\n%s", diff)
	}
}

// TestExportedNumbers hands on datasets whose classes are called after numbers, which may be
// those of other classes, and after signs, which no list of classes has for names.
func TestExportedNumbers(t *testing.T) {
	raced.Skip(t, "TestExportedKit is watched")
	var numbers []string
	for n := range 12 {
		numbers = append(numbers, fmt.Sprint(n))
	}
	for _, classes := range [][]string{
		slices.Sorted(slices.Values(numbers)),
		{"01", "1", "x"},
		{"!", "(", "+", "0", "1", "2", "3", "=", "A", "[", "]"},
		append(slices.Clone(numbers), "01", "~", "!", "[1]", "<a>", "f(", "-1", "-", "a.jpg", "1.0", "null", `"x"`, "# x"),
	} {
		t.Run(strings.Join(classes, " "), func(t *testing.T) {
			dir := t.TempDir()
			s := shardtest.Split{Name: "train"}
			for i, class := range classes {
				s.Images = append(s.Images, stored(t, class, class+".jpg", class, i))
			}
			out := mkdir(t, dir, "set")
			shardtest.Write(t, out, classes, s)
			exported(t, dir, out)

			want, _ := summaryOf(t, out, true)
			for _, form := range []string{"folder", "webdataset", "hf", "tar"} { // by the user's list of the same classes
				list, err := classlist.New(classes, nil, "a list")
				if err != nil {
					t.Fatal(err)
				}
				o := of(filepath.Join(dir, "as "+form))
				o.Out, o.Classes = files.Local(filepath.Join(dir, "listed "+form)), list
				run(t, o)
				got, _ := summaryOf(t, o.Out.String(), true)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s by a list (-want +got):\n%s", form, diff)
				}
			}
		})
	}
}

// TestExportedUnlabelled hands on a dataset of which one split has no classes, and one of which none has.
func TestExportedUnlabelled(t *testing.T) {
	for what, splits := range map[string][]shardtest.Split{
		"test": {
			{Name: "train", Images: []*shard.Image{stored(t, "1", "1.jpg", "cat", 0), stored(t, "2", "2.jpg", "dog", 1)}},
			{Name: "test", Images: []*shard.Image{stored(t, "3", "3.jpg", "", -1), stored(t, "4", "4.jpg", "", -1)}},
		},
		"all": {
			{Name: "train", Images: []*shard.Image{stored(t, "1", "1.jpg", "", -1)}},
			{Name: "test", Images: []*shard.Image{stored(t, "3", "3.jpg", "", -1)}},
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			out := mkdir(t, dir, "set")
			classes := []string{"cat", "dog"}
			if what == "all" {
				classes = nil
			}
			shardtest.Write(t, out, classes, splits...)
			exported(t, dir, out)
		})
	}
}

// TestExportedBeside reads an export whose list of classes no parser takes for one, beside
// a tree of its classes that keeps none: the order is the export's.
func TestExportedBeside(t *testing.T) {
	dir := t.TempDir()
	classes := []string{"~", "[1]", "cat"}
	s := shardtest.Split{Name: "train"}
	for i, class := range classes {
		s.Images = append(s.Images, stored(t, class, "1.jpg", class, i))
	}
	out := mkdir(t, dir, "set")
	shardtest.Write(t, out, classes, s)
	exported(t, dir, out)
	put(t, dir, "more/cat/2.jpg", testImage(t, "another"))
	put(t, dir, "more/[1]/2.jpg", testImage(t, "one more"))
	o := of(filepath.Join(dir, "as folder"), filepath.Join(dir, "more"))
	o.Out = files.Local(filepath.Join(dir, "both"))
	p, err := MakePlan(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if diff := cmp.Diff(classes, p.Classes); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
}

// TestExportedClasses: an export keeps classes that have no images and an order of
// its own, and knows its directories for classes though its images are called after
// synsets. A class that was added to it since is refused.
func TestExportedClasses(t *testing.T) {
	dir := t.TempDir()
	s := shardtest.Split{Name: "train"}
	for i, path := range []string{tench + "_1.jpg", goldfish + "_2.jpg", tench + "_3.jpg"} {
		label := []int{0, 0, 2}[i]
		s.Images = append(s.Images, stored(t, path, path, []string{"dog", "", "cat"}[label], label))
	}
	out := mkdir(t, dir, "set")
	shardtest.Write(t, out, []string{"dog", "bird", "cat"}, s)
	exported(t, dir, out)

	for _, form := range []string{"folder", "webdataset", "hf", "tar"} {
		o := of(filepath.Join(dir, "as "+form))
		o.Out = files.Local(filepath.Join(dir, "planned"))
		p, err := MakePlan(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		documents := map[string][]string{"hf": {"README.md", "croissant.json"}}[form]
		for _, s := range p.Skipped {
			if !slices.Equal(s.Names, documents) {
				t.Errorf("%s: left out: %+v", form, s)
			}
		}
		p.Close()
	}
	for _, file := range []string{"as folder", "as webdataset"} {
		put(t, dir, filepath.Join(file, "train/ant/new.jpg"), testImage(t, "new"))
		o := of(filepath.Join(dir, file))
		o.Out = files.Local(filepath.Join(dir, "grown"))
		if _, err := MakePlan(t.Context(), o); err == nil {
			t.Errorf("%s: a class that is none of its list was taken", file)
		}
	}
}

// stored is the image drawn for a name, as a dataset has it.
func stored(t *testing.T, drawn, path, class string, label int) *shard.Image {
	t.Helper()
	b := []byte(testImage(t, drawn))
	info, err := pixel.Probe(b)
	if err != nil {
		t.Fatal(err)
	}
	return &shard.Image{Bytes: b, Row: shard.Row{Path: path, Synset: class, Label: int64(label),
		Format: info.Format, Mode: info.Mode, Width: int32(info.Width), Height: int32(info.Height)}}
}

func mkdir(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}
