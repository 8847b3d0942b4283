package layout

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
	"github.com/synshard/synshard/source/layout/naming"
)

// where says where each entry of a plan is: its split and class, or why it is
// left out.
func where(p *Plan) map[place]string {
	out := map[place]string{}
	for _, s := range p.Splits {
		for _, im := range s.Images {
			out[place{int(im.Container), im.Name}] += describe(p, s.Name, im.Class)
		}
	}
	return out
}

func describe(p *Plan, split string, class int32) string {
	if class < 0 {
		return split
	}
	return split + " " + p.Classes[class]
}

// TestPlaceAgrees holds Place to Make on every fixture: each entry listed is placed as
// the plan has it.
func TestPlaceAgrees(t *testing.T) {
	for name, f := range allFixtures(t) {
		p, err := Make(f.inputs, f.options)
		if err != nil {
			continue
		}
		at := where(p)
		left := 0
		for i := range f.inputs {
			for _, e := range f.inputs[i].Entries {
				got, err := p.Place(e)
				if err != nil {
					t.Fatalf("%s: %s: %v", name, e.Name, err)
				}
				if want := at[place{i, e.Name}]; got.Split == "" {
					left++
					if want != "" || got.Reason == "" {
						t.Errorf("%s: %s: left out (%s), want %q", name, e.Name, got.Reason, want)
					}
				} else if d := describe(p, got.Split, got.Class); !rowKind(f.inputs[i].Info.Kind) && d != want {
					t.Errorf("%s: %s: %q, want %q", name, e.Name, d, want)
				}
			}
		}
		skipped := 0
		for _, s := range p.Skipped {
			if s.Reason != RepeatReason { // of rows, which are all listed
				skipped += s.Count
			}
		}
		if left < skipped {
			t.Errorf("%s: %d entries left out by Place, %d by Make", name, left, skipped)
		}
	}
}

func allFixtures(t testing.TB) map[string]*fixture {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	out := map[string]*fixture{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(file)] = loadFixture(t, a)
	}
	return out
}

// TestMembersOfArchives holds that members of archives that were not listed are placed
// as where they are listed.
func TestMembersOfArchives(t *testing.T) {
	members := []string{"n01440764.tar/n01440764_1.JPEG", "n01440764.tar/sub/n01440764_2.JPEG", "n01443537.tar/n01443537_1.JPEG", "n01443537.tar/._x.JPEG", "n01443537.tar/notes.txt", "n01443537.tar/x.avif"}
	for _, prefix := range []string{"", "train/", "fall11/"} {
		for _, flag := range []string{"", "val"} {
			if prefix == "train/" && flag == "val" {
				continue
			}
			var deep, shallow []source.Entry
			for _, m := range members {
				deep = append(deep, source.Entry{Name: prefix + m})
			}
			for _, a := range []string{"n01440764.tar", "n01443537.tar"} {
				shallow = append(shallow, source.Entry{Name: prefix + a, Archive: true})
			}
			info := source.Info{Kind: source.Tar, Path: "/d/x.tar"}
			listed, err := Make([]Input{{Info: info, Entries: deep, Split: flag}}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			p, err := Make([]Input{{Info: info, Entries: shallow, Split: flag}}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			unseen, err := Make([]Input{{Info: source.Info{Kind: source.Tar, Path: "/d/x.tar", Sequential: true}, Split: flag}}, Options{Classes: must(classlist.New([]string{"n01440764", "n01443537"}, nil, "list"))})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range deep {
				want, err := listed.Place(e)
				if err != nil {
					t.Fatal(err)
				}
				for kind, plan := range map[string]*Plan{"archives": p, "unseen": unseen} {
					if got, err := plan.Place(e); err != nil || got != want {
						t.Errorf("%s, --%s: %s: %s: %+v, %v, want %+v", prefix, flag, kind, e.Name, got, err, want)
					}
				}
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestUnseen places what comes out of a pipe by its own name.
func TestUnseen(t *testing.T) {
	list, err := classlist.New([]string{"n01440764", "n01443537", "cat"}, nil, "list")
	if err != nil {
		t.Fatal(err)
	}
	truth := func(name string) (string, error) {
		if name == "ILSVRC2012_val_00000001.JPEG" {
			return "n01443537", nil
		}
		return "", errors.New("not there")
	}
	p, err := Make([]Input{{Info: source.Info{Kind: source.Tar, Path: "-", Sequential: true}}}, Options{Classes: list, Truth: truth})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"n01440764.tar/n01440764_1.JPEG":        "train n01440764",
		"n01440764/x.JPEG":                      "train n01440764",
		"a/val/n01440764/x.JPEG":                "val n01440764",
		"train.X1/n01440764/images/x.JPEG":      "train n01440764",
		"n01443537_7.JPEG":                      "train n01443537",
		"ILSVRC2012_val_00000001.JPEG":          "val n01443537",
		"ILSVRC2012_val_00000002.JPEG":          "the development kit has no label for it",
		"ILSVRC2012_test_00000002.JPEG":         "test",
		"test/ILSVRC2012_test_00000002.JPEG":    "test",
		"ILSVRC2012_val_00000002_n01440764.png": "val n01440764",
		"x/cat/a.jpg":                           "train cat",
		"a.jpg":                                 "no label, and the classes are given",
		"n01440764/a.xml":                       naming.NotAnImage,
		"__MACOSX/a.jpg":                        source.JunkReason,
		"n99999999/a.jpg":                       "error",
		"dog/a.jpg":                             "error",
		"n01440764/n01443537/a.jpg":             "error",
		"n01440764/val/a.jpg":                   "error",
		"train/val/n01440764/a.jpg":             "error",
	} {
		got, err := p.Place(source.Entry{Name: name})
		said := got.Reason
		switch {
		case err != nil:
			said = "error"
		case got.Split != "":
			said = describe(p, got.Split, got.Class)
		}
		if said != want {
			t.Errorf("%s: %s (%v), want %s", name, said, err, want)
		}
	}
	if _, err := p.Place(source.Entry{Name: "a.jpg", Container: 1}); err == nil {
		t.Error("an entry of no input is placed")
	}
}

// TestFraction holds that the images split off are about the fraction in each
// class, that more images move none, and that the packing does not matter.
func TestFraction(t *testing.T) {
	const classes, images = 20, 500
	listing := func(n int, form string) []source.Entry {
		var out []source.Entry
		for c := range classes {
			for i := range n {
				out = append(out, source.Entry{Name: fmt.Sprintf(form, c, i)})
			}
		}
		slices.SortFunc(out, func(a, b source.Entry) int { return strings.Compare(a.Name, b.Name) })
		return out
	}
	val := func(entries []source.Entry, fraction float64, seed uint64) map[string]bool {
		t.Helper()
		p, err := Make([]Input{{Info: source.Info{Kind: source.Tar, Path: "/d/x"}, Entries: entries}}, Options{ValFraction: fraction, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		out, count := map[string]bool{}, make([]int, classes)
		for _, s := range p.Splits {
			if s.Name != "val" {
				continue
			}
			for _, im := range s.Images {
				out[strings.ReplaceAll(im.Name, ".tar", "")] = true
				count[im.Class]++
			}
		}
		perClass := float64(len(entries)) / classes
		for c, n := range count { // within five standard deviations
			if d := math.Abs(float64(n) - fraction*perClass); d > 5*math.Sqrt(perClass*fraction*(1-fraction)) {
				t.Errorf("class %d: %d of %v images for a fraction of %v", c, n, perClass, fraction)
			}
		}
		return out
	}
	small := val(listing(images, "c%02d/%04d.jpg"), 0.1, 1)
	large := val(listing(2*images, "c%02d/%04d.jpg"), 0.1, 1)
	for name := range small {
		if !large[name] {
			t.Fatalf("%s moved as images were added", name)
		}
	}
	for name := range large {
		if i := strings.TrimSuffix(name[4:], ".jpg"); i < fmt.Sprintf("%04d", images) && !small[name] {
			t.Fatalf("%s moved as images were added", name)
		}
	}
	if d := cmp.Diff(small, val(listing(images, "c%02d.tar/%04d.jpg"), 0.1, 1)); d != "" {
		t.Errorf("a tar of tars splits otherwise (-directories +tars):\n%s", d)
	}
	for name := range small {
		if !val(listing(images, "c%02d/%04d.jpg"), 0.2, 1)[name] {
			t.Fatalf("%s is in a tenth and not in a fifth", name)
		}
		break
	}
	if cmp.Equal(small, val(listing(images, "c%02d/%04d.jpg"), 0.1, 2)) {
		t.Error("another seed splits alike")
	}
}

// alphabet are the elements that trees are drawn from.
var alphabet = []string{"train", "val", "test", "validation", "n01440764", "n01443537", "n02085620-Chihuahua", "cat", "dog", "0", "1", "images", "a.tar", "train.X1", "imagenet_val", "__MACOSX", ".git", "x", "part_1", "ImageSets", "meta"}

var leaves = []string{"a.jpg", "b.JPEG", "n01440764_1.JPEG", "n01443537_1_n01443537.JPEG", "ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_test_00000001.JPEG", "notes.txt", "c.avif", "Thumbs.db", "a.xml", "metadata.csv", "val_annotations.txt", "wnids.txt", "0.cls", "0.jpg",
	"train.txt", "val.txt", "trainval.txt", "labels.csv", "train.csv", "_classes.csv", "x.lst", "images.txt", "train_test_split.txt", "image_class_labels.txt", "test_list.mat", "annotations.json"}

// told are what the files of labels in drawn trees say.
var told = []string{
	"a.jpg n01440764\n", "a.jpg\nb.JPEG\n", "cat/a.jpg\ndog/a.jpg\n", "cat/a 0\ndog/a 1\nx/a 1\n", "filename,cat,dog\na.jpg,1,0\nb.JPEG,0,1\n", "id,label\na,cat\nb,dog\n",
	"train/cat/a.jpg\nval/dog/b.JPEG\n", "0\t1\tcat/a.jpg\n1\t0\tdog/a.jpg\n", "1 cat/a.jpg\n2 dog/a.jpg\n", "1 1\n2 0\n", "path,label,split\na.jpg,cat,train\n0.jpg,dog,test\n", "path,one,two\na.jpg,x,y\nb.JPEG,x,y\n0.jpg,x,z\n",
}

// FuzzMake draws trees of names. Make never panics; where it does not refuse, every image is in one
// split or among those left out, Place agrees, and the order of the listing changes
// nothing.
func FuzzMake(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 3}, uint8(0))
	f.Add([]byte("a tree of names that somebody may have"), uint8(3))
	f.Add([]byte{4, 0, 0, 5, 0, 1, 4, 0, 1}, uint8(7))
	f.Add([]byte{1, 7, 0, 1, 8, 0, 0, 15, 0, 16}, uint8(0)) // cat/a.jpg, dog/a.jpg, train.txt, val.txt
	f.Add([]byte{1, 11, 0, 1, 11, 1, 0, 18}, uint8(0))
	f.Add([]byte{2, 11, 7, 0, 2, 11, 8, 0, 0, 22, 0, 23, 0, 24}, uint8(1))
	f.Add([]byte{2, 7, 0, 0, 2, 7, 2, 0, 2, 8, 0, 0, 2, 8, 2, 1}, uint8(2)) // cat/train/a.jpg ...
	f.Add([]byte{1, 18, 0, 1, 18, 1, 0, 21}, uint8(16))
	f.Add([]byte("tree of names that somebody mah \xae\xaev"), uint8(0)) // two classes outside a list that lies there
	f.Fuzz(func(t *testing.T, b []byte, how uint8) {
		var in Input
		in.Info = source.Info{Path: "/d/x", Kind: []source.Kind{source.Folder, source.Tar, source.Zip, source.List}[how&3]}
		o := Options{Read: func(e source.Entry) ([]byte, error) {
			at := int(how) + 5*len(e.Name)
			return []byte(told[at%len(told)]), nil
		}}
		if how&4 != 0 {
			o.Truth = func(string) (string, error) { return "n01440764", nil }
		}
		if how&8 != 0 {
			o.Classes, _ = classlist.Builtin("imagenet-1k")
		}
		if how&16 != 0 {
			o.Layout = slices.Sorted(func(yield func(string) bool) {
				for k := range Layouts {
					if !yield(k) {
						return
					}
				}
			})[int(how>>5)%len(Layouts)]
		}
		seen := map[string]bool{}
		for len(b) > 1 && len(in.Entries) < 200 {
			depth := int(b[0]) % 4
			b = b[1:]
			var path []string
			for ; depth > 0 && len(b) > 1; depth-- {
				path = append(path, alphabet[int(b[0])%len(alphabet)])
				b = b[1:]
			}
			name := strings.Join(append(path, leaves[int(b[0])%len(leaves)]), "/")
			b = b[1:]
			if !seen[name] {
				seen[name] = true
				in.Entries = append(in.Entries, source.Entry{Name: name})
			}
		}
		check(t, in, o)
	})
}

func check(t *testing.T, in Input, o Options) {
	t.Helper()
	in.Entries = slices.Clone(in.Entries)
	slices.SortFunc(in.Entries, func(a, b source.Entry) int { return strings.Compare(a.Name, b.Name) })
	p, err := Make([]Input{in}, o)
	other := in
	other.Entries = slices.Clone(in.Entries)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(other.Entries), func(i, j int) { other.Entries[i], other.Entries[j] = other.Entries[j], other.Entries[i] })
	q, err2 := Make([]Input{other}, o)
	if fmt.Sprint(err) != fmt.Sprint(err2) {
		t.Fatalf("the order of the listing changes the error:\n%v\n%v", err, err2)
	}
	if err != nil {
		return
	}
	at := where(p)
	if d := cmp.Diff(at, where(q)); d != "" {
		t.Fatalf("the order of the listing changes the plan:\n%s", d)
	}
	if d := cmp.Diff([]any{p.Layout, p.Classes, p.Skipped, p.Notes}, []any{q.Layout, q.Classes, q.Skipped, q.Notes}); d != "" {
		t.Fatalf("the order of the listing changes the plan:\n%s", d)
	}
	skipped, images := 0, 0
	for _, s := range p.Skipped {
		if !strings.HasSuffix(s.Reason, "and not there") { // no entries
			skipped += s.Count
		}
	}
	for _, s := range p.Splits {
		images += len(s.Images)
	}
	consumed := 0
	for _, e := range in.Entries {
		got, err := p.Place(e)
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if got.Reason == "a file of labels" {
			consumed++
			if source.ImageName(e.Name) && in.Info.Kind != source.List {
				t.Fatalf("%s: an image is a file of labels", e.Name)
			}
		}
		want := at[place{0, e.Name}]
		if said := describe(p, got.Split, got.Class); said != want {
			t.Fatalf("%s: Place says %q, Make %q", e.Name, said, want)
		}
	}
	if diff := cmp.Diff([]int{len(in.Entries), len(at)}, []int{skipped + images + consumed, images}); diff != "" {
		t.Fatalf("%d images, %d left out, %d files of labels: entries, images (-want +got):\n%s", images, skipped, consumed, diff)
	}
}

// BenchmarkMake reads 1.28 million names.
func BenchmarkMake(b *testing.B) {
	im, _ := classlist.Builtin("imagenet-1k")
	var in Input
	in.Info = source.Info{Path: "/d/train", Kind: source.Folder}
	for _, c := range im.Names {
		for i := range 1281 {
			in.Entries = append(in.Entries, source.Entry{Name: fmt.Sprintf("ILSVRC/Data/CLS-LOC/train/%s/%s_%d.JPEG", c, c, i)})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		p, err := Make([]Input{in}, Options{})
		if err != nil || len(p.Splits[0].Images) != len(in.Entries) {
			b.Fatal(err)
		}
	}
}
