package shard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/wordnet"

	"github.com/synshard/synshard/storage/files"
)

func TestSelect(t *testing.T) {
	g := nativetest.WordNet(t)
	d := open(t, fixture(t))
	const tabby, tiger, lemon, volcano = "n02123045", "n02129604", "n07749582", "n09472597"
	for _, c := range []struct {
		name    string
		split   string
		sel     Selection
		classes []string
		rows    int
	}{
		{"all", "train", Selection{}, []string{tabby, tiger, lemon, volcano}, 20},
		{"id", "train", Selection{Synsets: []string{tiger}}, []string{tiger}, 5},
		{"id above", "train", Selection{Synsets: []string{"n02120997"}}, []string{tabby, tiger}, 10},
		{"word", "train", Selection{Synsets: []string{"animal"}}, []string{tabby, tiger}, 10},
		{"word, plural", "train", Selection{Synsets: []string{"Lemons"}}, []string{lemon}, 5},
		{"second sense", "train", Selection{Synsets: []string{"tiger"}}, []string{tiger}, 5}, // the first is a person
		{"two", "val", Selection{Synsets: []string{"volcano", "cat"}}, []string{tabby, volcano}, 4},
		{"twice", "val", Selection{Synsets: []string{"feline", tiger, "entity"}}, []string{tabby, tiger, lemon, volcano}, 8},
		{"exclude", "train", Selection{Exclude: []string{"animal"}}, []string{lemon, volcano}, 10},
		{"both", "train", Selection{Synsets: []string{"feline"}, Exclude: []string{"tabby"}}, []string{tiger}, 5},
		{"limit", "train", Selection{LimitPerSynset: 2}, []string{tabby, tiger, lemon, volcano}, 8},
		{"limit above", "val", Selection{LimitPerSynset: 99}, []string{tabby, tiger, lemon, volcano}, 8},
		{"limit without labels", "test", Selection{LimitPerSynset: 1}, []string{tabby, tiger, lemon, volcano}, 3},
		{"limit and job", "train", Selection{Synsets: []string{"feline"}, LimitPerSynset: 3, Job: 1, Jobs: 2}, []string{tabby, tiger}, 3},
		{"more jobs than rows", "test", Selection{Job: 0, Jobs: 4}, []string{tabby, tiger, lemon, volcano}, 0},
	} {
		s, err := d.Split(c.split)
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Select(c.sel, g)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if v.Len() != c.rows {
			t.Errorf("%s: %d rows, want %d", c.name, v.Len(), c.rows)
		}
		if diff := cmp.Diff(c.classes, v.Classes()); diff != "" {
			t.Errorf("%s: classes (-want +got):\n%s", c.name, diff)
		}
		taken := map[string]int{}
		for i := range v.Len() {
			taken[v.Synset(i)]++
			row := v.Row(i)
			want := viewed{row.Path, row.Synset, int64(slices.Index(c.classes, row.Synset)), row.Length}
			if diff := cmp.Diff(want, viewedAt(v, i), unexported); diff != "" {
				t.Errorf("%s: row %d (-want +got):\n%s", c.name, i, diff)
			}
		}
		for synset, n := range taken {
			if synset != "" && c.sel.LimitPerSynset > 0 && n > c.sel.LimitPerSynset {
				t.Errorf("%s: %d rows of %s", c.name, n, synset)
			}
		}
	}
}

// TestJobs wants every row in exactly one job, in order, and jobs equal
// within one row.
func TestJobs(t *testing.T) {
	s, err := open(t, fixture(t)).Split("train")
	if err != nil {
		t.Fatal(err)
	}
	for jobs := 1; jobs <= 23; jobs++ {
		var paths []string
		small, large := s.Len(), 0
		for job := range jobs {
			v, err := s.Select(Selection{Job: job, Jobs: jobs}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range v.Len() {
				paths = append(paths, v.Path(i))
			}
			small, large = min(small, v.Len()), max(large, v.Len())
		}
		if len(paths) != s.Len() || large-small > 1 {
			t.Errorf("%d jobs hold %d rows, %d to %d each", jobs, len(paths), small, large)
		}
		for i, p := range paths {
			if p != s.Row(i).Path {
				t.Fatalf("%d jobs: row %d is %s, want %s", jobs, i, p, s.Row(i).Path)
			}
		}
	}
}

func TestSelectErrors(t *testing.T) {
	g := nativetest.WordNet(t)
	s, err := open(t, fixture(t)).Split("train")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sel  Selection
		g    *wordnet.Graph
		want string
	}{
		{Selection{Synsets: []string{"truck"}}, g, "no class in or below it"},
		{Selection{Synsets: []string{"nosuchword"}}, g, "nosuchword"},
		{Selection{Synsets: []string{"feline"}}, nil, "WordNet is needed"},
		{Selection{Exclude: []string{"entity"}}, g, "no class is left"},
		{Selection{Job: 2, Jobs: 2}, nil, "job 2 of 2"},
		{Selection{Job: -1, Jobs: 2}, nil, "job -1 of 2"},
		{Selection{LimitPerSynset: -1}, nil, "limit of -1"},
	} {
		if _, err := s.Select(c.sel, c.g); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.sel, err, c.want)
		}
	}
	if _, err := s.Select(Selection{Synsets: []string{"truck"}}, g); errors.Is(err, ErrCorrupt) {
		t.Error("a selection of nothing is called corruption")
	}
}

// TestSenses: of a word the first sense that has classes is taken, and others that have some of
// their own are told.
func TestSenses(t *testing.T) {
	const bird, machine, dog = "n02012849", "n03126707", "n02084071"
	g := nativetest.WordNet(t)
	x := indexOf(t, []Row{{Path: "1", Synset: bird}, {Path: "2", Synset: machine}, {Path: "3", Synset: dog}})
	s := &Split{Name: "train", index: x, d: &Dataset{classes: []Class{{Label: 0, Synset: bird}, {Label: 1, Synset: machine}, {Label: 2, Synset: dog}}}}
	for word, want := range map[string]struct{ class, told string }{
		"crane": {machine, "crane: " + machine + " [" + bird + "]"}, "dog": {dog, ""}, bird: {bird, ""}, "crane.n.05": {bird, ""},
	} {
		told := ""
		v, err := s.Select(Selection{Synsets: []string{word}, OnSense: func(word string, taken wordnet.ID, left []wordnet.ID) {
			told += fmt.Sprintf("%s: %s %s", word, taken, left)
		}}, g)
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		if diff := cmp.Diff([]any{[]string{want.class}, want.told}, []any{v.Classes(), told}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", word, diff)
		}
	}
}

// TestOtherClasses selects classes that are no synsets by their names.
func TestOtherClasses(t *testing.T) {
	x := indexOf(t, []Row{{Path: "1", Synset: "cat"}, {Path: "2", Synset: "dog"}, {Path: "3", Synset: "my truck"}})
	s := &Split{Name: "train", index: x, d: &Dataset{classes: []Class{{Label: 0, Synset: "cat"}, {Label: 1, Synset: "dog"}, {Label: 2, Synset: "my truck"}}}}
	v, err := s.Select(Selection{Synsets: []string{"my truck", "cat"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []viewed
	for i := range v.Len() {
		got = append(got, viewedAt(v, i))
	}
	if diff := cmp.Diff([]viewed{{"1", "cat", 0, 1}, {"3", "my truck", 1, 1}}, got, unexported); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// viewed is what a view says of an image.
type viewed struct {
	path, synset  string
	label, length int64
}

var unexported = cmp.AllowUnexported(viewed{})

func viewedAt(v *View, i int) viewed { return viewed{v.Path(i), v.Synset(i), v.Label(i), v.Length(i)} }

// million writes an index of a million rows and a thousand classes, with the
// shards' heads, and gives its directory.
func million(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	g := nativetest.WordNet(tb)
	var classes []Class
	root, err := g.Resolve("animal")
	if err != nil {
		tb.Fatal(err)
	}
	for _, id := range g.Descendants(root[0])[:1000] {
		classes = append(classes, Class{Label: len(classes), Synset: id.String()})
	}
	m := Manifest{Splits: map[string]SplitInfo{}}
	if m.ClassesSHA256, err = WriteClasses(files.Local(dir), classes); err != nil {
		tb.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "train"), 0o777); err != nil {
		tb.Fatal(err)
	}
	w, err := CreateIndex(files.Local(dir), "train")
	if err != nil {
		tb.Fatal(err)
	}
	defer w.Abort()
	info := SplitInfo{Shards: len(classes)}
	for _, c := range classes {
		file := filepath.Join(dir, filepath.FromSlash(ShardName("train", c.Synset, 0)))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			tb.Fatal(err)
		}
		rows := writeThousand(tb, file, c)
		for i := range rows {
			if err := w.Append(&rows[i]); err != nil {
				tb.Fatal(err)
			}
			info.Rows++
			info.Bytes += rows[i].Length
		}
	}
	if info.IndexSHA256, err = w.Commit(); err != nil {
		tb.Fatal(err)
	}
	m.Splits["train"] = info
	if err := WriteManifest(files.Local(dir), m); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// writeThousand writes a shard of a thousand tiny images, without syncing
// costs mattering: its bytes are small.
func writeThousand(tb testing.TB, file string, c Class) []Row {
	tb.Helper()
	w, err := CreateFile(files.Local(filepath.Dir(file)), filepath.Base(file), FileMeta{Split: "train", Synset: c.Synset})
	if err != nil {
		tb.Fatal(err)
	}
	defer w.Abort()
	for i := range 1000 {
		im := &Image{Row: Row{Path: fmt.Sprintf("%s_%05d.JPEG", c.Synset, i), Label: int64(c.Label), Synset: c.Synset, Width: 1, Height: 1, Format: "JPEG", Mode: "RGB"}, Bytes: []byte(fmt.Sprint(i))}
		if err := w.Append(im); err != nil {
			tb.Fatal(err)
		}
	}
	rows, err := w.Commit()
	if err != nil {
		tb.Fatal(err)
	}
	return rows
}

// BenchmarkMillion measures what a million rows take: opening the index
// and selecting a subtree after that.
func BenchmarkMillion(b *testing.B) {
	dir := million(b)
	g := nativetest.WordNet(b)
	b.Run("op=open", func(b *testing.B) {
		for b.Loop() {
			d, err := Open(dir)
			if err == nil {
				_, err = d.Split("train")
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	s, err := open(b, dir).Split("train")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("op=select", func(b *testing.B) {
		for b.Loop() {
			v, err := s.Select(Selection{Synsets: []string{"bird"}}, g)
			if err != nil || v.Len() == 0 || v.Len() == s.Len() {
				b.Fatal(v.Len(), err)
			}
		}
	})
	b.Run("op=read", func(b *testing.B) {
		var buf []byte
		i := 0
		for b.Loop() {
			i = (i + 7919) % s.Len()
			if buf, err = s.Read(i, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkAppend measures writing images of ImageNet's size.
func BenchmarkAppend(b *testing.B) {
	im := &Image{Row: Row{Path: "x.JPEG", SHA256: [32]byte{1}}, Bytes: make([]byte, 110<<10)}
	b.SetBytes(int64(len(im.Bytes)))
	w, err := CreateFile(files.Local(filepath.Dir(filepath.Join(b.TempDir(), "part-00000.arrow"))), filepath.Base(filepath.Join(b.TempDir(), "part-00000.arrow")), FileMeta{Split: "val"})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	for b.Loop() {
		if err := w.Append(im); err != nil {
			b.Fatal(err)
		}
	}
}

// TestIdentity: what jobs of one whole have in common is frozen, as files of predictions
// hold it; which job it is, is not in it.
func TestIdentity(t *testing.T) {
	d := open(t, "testdata/v1")
	val, err := d.Split("val")
	if err != nil {
		t.Fatal(err)
	}
	sum := d.Manifest.Splits["val"].IndexSHA256
	got := []string{val.Identity(Selection{}), val.Identity(Selection{Synsets: []string{"dog", "a\"b"}, Exclude: []string{}, LimitPerSynset: 3, Job: 1, Jobs: 2})}
	want := []string{"dataset val " + sum + " [] [] 0", "dataset val " + sum + ` ["dog" "a\"b"] [] 3`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	bytes := int64(0)
	for _, name := range d.Splits() {
		s, err := d.Split(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Len() {
			bytes += s.Row(i).Length
		}
	}
	if got := d.Manifest.ImageBytes(); got != bytes {
		t.Errorf("%d bytes of images by the manifest, %d by the rows", got, bytes)
	}
}
