package images

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/synshard/synshard/internal/parquet"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout"
)

// modelClasses are of a model that knows two of ImageNet's classes and one of
// nobody's.
var modelClasses = []string{"n01440764", "cat", "n01443537"}

// seen is a row as a Source gives it.
type seen struct{ Path, Synset, Bytes string }

func rowsOf(t *testing.T, s *Images) (out []seen) {
	t.Helper()
	for i := range s.Len() {
		b, err := s.Read(i, nil)
		if err != nil && !errors.Is(err, source.ErrUnreadable) {
			t.Fatalf("row %d: %v", i, err)
		}
		if err != nil {
			b = []byte("unreadable")
		}
		out = append(out, seen{s.Path(i), s.Synset(i), string(b)})
	}
	return out
}

// tree writes files, the content of each its own name's end.
func tree(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// packed is the tree as a tar and as a zip.
func packed(t *testing.T, dir string) (asTar, asZip []byte) {
	t.Helper()
	var a, z bytes.Buffer
	tw, zw := tar.NewWriter(&a), zip.NewWriter(&z)
	err := errors.Join(tw.AddFS(os.DirFS(dir)), zw.AddFS(os.DirFS(dir)), tw.Close(), zw.Close())
	if err != nil {
		t.Fatal(err)
	}
	return a.Bytes(), z.Bytes()
}

func write(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func openImages(t *testing.T, o OpenOptions, paths ...string) *Images {
	t.Helper()
	o.Classes = modelClasses
	s, err := Open(t.Context(), paths, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestContainers: a tree has the same rows and truths as folder, tar and zip;
// junk is skipped, what is no image counted, an image of a kind that is not decoded named.
func TestContainers(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "in")
	tree(t, root, "n01440764/b.JPG", "n01440764/a.png", "n01443537/c.jpeg", "n09999999/d.jpg", "n01440764/e.avif", "n01440764/notes.md", "n01440764/.DS_Store", "__MACOSX/n01440764/._a.png")
	asTar, asZip := packed(t, root)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	asZstd := z.EncodeAll(asTar, nil)
	for name, prefix := range map[string]string{root: root + "/", write(t, filepath.Join(dir, "x.tar.gz"), gzipped(t, asTar)): "", write(t, filepath.Join(dir, "x.tar.zst"), asZstd): "", write(t, filepath.Join(dir, "x.tar"), asTar): "", write(t, filepath.Join(dir, "x.zip"), asZip): ""} {
		s := openImages(t, OpenOptions{}, name)
		want := []seen{
			{prefix + "n01440764/a.png", "n01440764", "n01440764/a.png"}, {prefix + "n01440764/b.JPG", "n01440764", "n01440764/b.JPG"},
			{prefix + "n01443537/c.jpeg", "n01443537", "n01443537/c.jpeg"}, {prefix + "n09999999/d.jpg", "n09999999", "n09999999/d.jpg"},
		}
		if diff := cmp.Diff(want, rowsOf(t, s)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		p := s.Plan()
		if diff := cmp.Diff([]int{4, 3, 1, 1}, []int{p.Rows, p.Known, p.Foreign, p.SkippedImages()}); diff != "" {
			t.Errorf("%s: rows, known, foreign, skipped images (-want +got)\n%s", name, diff)
		}
		if diff := cmp.Diff([]string{"n09999999"}, p.ForeignNames); diff != "" {
			t.Errorf("%s: foreign (-want +got)\n%s", name, diff)
		}
		if p.Skipped[0].Reason != "avif images are not decoded" || !slices.ContainsFunc(p.Skipped, func(k layout.Skipped) bool { return k.Reason == source.JunkReason && !k.Images }) {
			t.Errorf("%s: skipped %+v", name, p.Skipped)
		}
	}
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); errors.Join(err, w.Close()) != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestFilesThatSayTruths are not left out: they were used.
func TestFilesThatSayTruths(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "folder")
	tree(t, root, "a.jpg", "b.jpg")
	write(t, filepath.Join(root, "metadata.csv"), []byte("file_name,label\na.jpg,cat\nb.jpg,n01440764\n"))
	samples := filepath.Join(dir, "samples")
	tree(t, samples, "0.jpg", "1.jpg", "1.txt")
	write(t, filepath.Join(samples, "0.cls"), []byte("cat"))
	write(t, filepath.Join(samples, "1.json"), []byte(`{"synset":"n01440764"}`))
	web, _ := packed(t, samples)
	for name, skipped := range map[string]int{root: 0, write(t, filepath.Join(dir, "web.tar"), web): 1, write(t, filepath.Join(dir, "web.tar.gz"), gzipped(t, web)): 1} {
		p := openImages(t, OpenOptions{}, name).Plan()
		n := 0
		for _, k := range p.Skipped {
			n += k.Count
		}
		if diff := cmp.Diff([]int{2, 2, skipped}, []int{p.Rows, p.Known, n}); diff != "" {
			t.Errorf("%s: rows, known, skipped (-want +got):\n%s\n%+v", name, diff, p.Skipped)
		}
	}
}

// TestManyPackedTars reads more compressed tars than lie unpacked at a time, in
// order and backwards, many at once.
func TestManyPackedTars(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var names []string
	for i := range 9 {
		root := filepath.Join(dir, fmt.Sprint(i))
		tree(t, root, fmt.Sprintf("cat/%d.jpg", i))
		b, _ := packed(t, root)
		names = append(names, write(t, root+".tar.gz", gzipped(t, b)))
	}
	s := openImages(t, OpenOptions{}, names...)
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			for i := range s.Len() {
				if k%2 == 1 {
					i = s.Len() - 1 - i
				}
				if b, err := s.Read(i, nil); err != nil || string(b) != fmt.Sprintf("cat/%d.jpg", i) {
					t.Errorf("row %d: %q, %v", i, b, err)
				}
			}
		})
	}
	wg.Wait()
	if left, err := filepath.Glob(filepath.Join(dir, "synshard-*")); err != nil || len(left) > 0 {
		t.Errorf("%v lie about: %v", left, err)
	}
}

// TestPlainPhotos: directories that are no classes of the model are no truths,
// however they lie in each other; those that are, are.
func TestPlainPhotos(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "2019/a.jpg", "2019/trip/b.jpg", "2020/c.jpg", "top.jpg")
	truths := func(s *Images) map[string]string {
		m := map[string]string{}
		for _, r := range rowsOf(t, s) {
			m[strings.TrimPrefix(r.Path, dir+"/")] = r.Synset
		}
		return m
	}
	s := openImages(t, OpenOptions{}, dir)
	if diff := cmp.Diff(map[string]string{"2019/a.jpg": "", "2019/trip/b.jpg": "", "2020/c.jpg": "", "top.jpg": ""}, truths(s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if p := s.Plan(); p.Foreign != 0 || len(p.Notes) == 0 || !strings.Contains(p.Notes[0], "no truth is read") {
		t.Errorf("%+v", p)
	}
	flat := t.TempDir() // predicting needs no classes: nothing is worth a word
	tree(t, flat, "a.jpg", "b.jpg")
	if p := openImages(t, OpenOptions{}, flat).Plan(); len(p.Notes) > 0 {
		t.Errorf("a flat folder: %q", p.Notes)
	}
	tree(t, dir, "2020/cat/d.jpg", "2019/cat/e.jpg")
	s = openImages(t, OpenOptions{}, dir)
	want := map[string]string{"2019/a.jpg": "", "2019/trip/b.jpg": "", "2020/c.jpg": "", "top.jpg": "", "2020/cat/d.jpg": "cat", "2019/cat/e.jpg": "cat"}
	if diff := cmp.Diff(want, truths(s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestTruthsOfSeveralNames: a directory with a class's very name is of that class, whatever others are called; names of
// one class are, and a name of two is none, which is said.
func TestTruthsOfSeveralNames(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "Tench/a.jpg", "tench/b.jpg", "crane/c.jpg", "goldfish/d.jpg")
	for _, c := range []struct {
		classes []string
		want    []string // truths in the order of rows: Tench, crane, goldfish, tench
		note    string
	}{
		{[]string{"tench", "goldfish", "heron"}, []string{"tench", "", "goldfish", "tench"}, ""},
		{[]string{"tench", "Tench", "goldfish"}, []string{"Tench", "", "goldfish", "tench"}, ""},
		{[]string{"n01440764", "n02012849", "n03126707", "n01443537"}, []string{"n01440764", "", "n01443537", "n01440764"}, `"crane": n02012849 and n03126707 both have this name`},
		{[]string{"tench", "crane", "crane"}, []string{"", "", "", "tench"}, `"crane": two classes of the model have this name`},
	} {
		s, err := Open(context.Background(), []string{dir}, OpenOptions{Classes: c.classes})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var got []string
		for _, r := range rowsOf(t, s) {
			got = append(got, r.Synset)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.classes, diff)
		}
		if notes := strings.Join(s.Plan().Notes, "\n"); strings.Contains(notes, "taken as a truth") != (c.note != "") || !strings.Contains(notes, c.note) {
			t.Errorf("%q: notes %q, want %q", c.classes, notes, c.note)
		}
	}
}

// table makes a table as Hugging Face has it, with labels of some type.
func table(t *testing.T, labels arrow.DataType, names string, add func(b array.Builder, i int)) arrow.Record {
	t.Helper()
	image := arrow.StructOf(arrow.Field{Name: "bytes", Type: arrow.BinaryTypes.Binary, Nullable: true}, arrow.Field{Name: "path", Type: arrow.BinaryTypes.String, Nullable: true})
	var md arrow.Metadata
	if names != "" {
		md = arrow.NewMetadata([]string{"huggingface"}, []string{`{"info":{"features":{"image":{"_type":"Image"},"label":{"names":[` + names + `],"_type":"ClassLabel"}}}}`})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "image", Type: image, Nullable: true}, {Name: "label", Type: labels, Nullable: true}}, &md))
	defer b.Release()
	for i, text := range []string{"one", "two", "three", ""} {
		im := b.Field(0).(*array.StructBuilder)
		im.Append(true)
		im.FieldBuilder(1).(*array.StringBuilder).Append(text + ".jpg")
		if text == "" {
			im.FieldBuilder(0).AppendNull()
		} else {
			im.FieldBuilder(0).(*array.BinaryBuilder).Append([]byte(text))
		}
		add(b.Field(1), i)
	}
	return b.NewRecord()
}

// TestTruthsOfColumns: integers of any width, strings, dictionaries and words for synsets
// are the model's classes; other names are foreign truths.
func TestTruthsOfColumns(t *testing.T) {
	dir := t.TempDir()
	const synsets = `"n01443537","n01440764","n09999999"`
	places := []int64{1, 0, 2, -1}
	text := func(names ...string) func(array.Builder, int) {
		return func(b array.Builder, i int) {
			if i == 3 {
				b.AppendNull()
				return
			}
			if s, ok := b.(*array.StringBuilder); ok {
				s.Append(names[i])
			} else if err := b.(*array.BinaryDictionaryBuilder).AppendString(names[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	type labels struct {
		typ   arrow.DataType
		names string
		add   func(array.Builder, int)
	}
	cases := map[string]labels{
		"int64": {arrow.PrimitiveTypes.Int64, synsets, func(b array.Builder, i int) { b.(*array.Int64Builder).Append(places[i]) }},
		"int32": {arrow.PrimitiveTypes.Int32, synsets, func(b array.Builder, i int) { b.(*array.Int32Builder).Append(int32(places[i])) }},
		"int16": {arrow.PrimitiveTypes.Int16, synsets, func(b array.Builder, i int) { b.(*array.Int16Builder).Append(int16(places[i])) }},
		"uint8": {arrow.PrimitiveTypes.Uint8, synsets, func(b array.Builder, i int) {
			if places[i] < 0 {
				b.AppendNull()
			} else {
				b.(*array.Uint8Builder).Append(uint8(places[i]))
			}
		}},
		"uint32": {arrow.PrimitiveTypes.Uint32, synsets, func(b array.Builder, i int) {
			if places[i] < 0 {
				b.AppendNull()
			} else {
				b.(*array.Uint32Builder).Append(uint32(places[i]))
			}
		}},
		"strings":    {arrow.BinaryTypes.String, "", text("n01440764", "n01443537", "n09999999")},
		"dictionary": {&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}, "", text("n01440764", "n01443537", "n09999999")},
		"words":      {arrow.PrimitiveTypes.Int64, `"goldfish, Carassius auratus","tench, Tinca tinca","a thing of nobody's"`, func(b array.Builder, i int) { b.(*array.Int64Builder).Append(places[i]) }},
	}
	for name, c := range maps.All(cases) {
		for _, ext := range []string{".arrow", ".parquet"} {
			if name == "dictionary" && ext == ".parquet" {
				continue // Parquet has none
			}
			t.Run(name+ext, func(t *testing.T) {
				rec := table(t, c.typ, c.names, c.add)
				var b bytes.Buffer
				var w interface {
					Write(arrow.Record) error
					Close() error
				} = ipc.NewWriter(&b, ipc.WithSchema(rec.Schema()))
				if ext == ".parquet" {
					p, err := parquet.NewWriter(&b, rec.Schema(), parquet.WriterOptions{})
					if err != nil {
						t.Fatal(err)
					}
					w = p
				}
				if err := errors.Join(w.Write(rec), w.Close()); err != nil {
					t.Fatal(err)
				}
				s := openImages(t, OpenOptions{}, write(t, filepath.Join(dir, name+ext), b.Bytes()))
				foreign := "n09999999"
				if name == "words" {
					foreign = "a thing of nobody's"
				}
				want := []seen{{"one.jpg", "n01440764", "one"}, {"two.jpg", "n01443537", "two"}, {"three.jpg", foreign, "three"}, {".jpg", "", "unreadable"}}
				if diff := cmp.Diff(want, rowsOf(t, s)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				p := s.Plan()
				if diff := cmp.Diff(map[string]int{"known": 2, "foreign": 1}, map[string]int{"known": p.Known, "foreign": p.Foreign}); diff != "" {
					t.Errorf("truths (-want +got)\n%s", diff)
				}
			})
		}
	}
}

// TestBareNumbers are places among the model's classes where the column has no
// names of its own.
func TestBareNumbers(t *testing.T) {
	rec := table(t, arrow.PrimitiveTypes.Int64, "", func(b array.Builder, i int) { b.(*array.Int64Builder).Append([]int64{1, 0, 2, -1}[i]) })
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(rec.Schema()))
	if err := errors.Join(w.Write(rec), w.Close()); err != nil {
		t.Fatal(err)
	}
	s := openImages(t, OpenOptions{}, write(t, filepath.Join(t.TempDir(), "x.arrow"), b.Bytes()))
	want := []seen{{"one.jpg", "cat", "one"}, {"two.jpg", "n01440764", "two"}, {"three.jpg", "n01443537", "three"}, {".jpg", "", "unreadable"}}
	if diff := cmp.Diff(want, rowsOf(t, s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestSplitWithoutLabels: a file of rows without labels beside one with them takes no truth from these.
func TestSplitWithoutLabels(t *testing.T) {
	dir := t.TempDir()
	for name, add := range map[string]func(array.Builder, int){
		"train.arrow": func(b array.Builder, i int) { b.(*array.Int64Builder).Append([]int64{1, 0, 2, -1}[i]) },
		"test.arrow":  func(b array.Builder, i int) { b.AppendNull() },
	} {
		rec := table(t, arrow.PrimitiveTypes.Int64, "", add)
		var b bytes.Buffer
		w := ipc.NewWriter(&b, ipc.WithSchema(rec.Schema()))
		if err := errors.Join(w.Write(rec), w.Close()); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), b.Bytes())
	}
	var truths []string
	s := openImages(t, OpenOptions{}, dir)
	for _, r := range rowsOf(t, s) {
		truths = append(truths, r.Synset)
	}
	if diff := cmp.Diff([]string{"", "", "", "", "cat", "n01440764", "n01443537", ""}, truths); diff != "" {
		t.Errorf("truths (-want +got)\n%s", diff)
	}
	if got := rowsOf(t, openImages(t, OpenOptions{Split: "test"}, dir)); len(got) != 4 {
		t.Errorf("of the split test: %+v", got)
	}
}

// TestSplits: of images in which names tell splits apart, all are predicted
// over, or one split's.
func TestSplits(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "train/n01440764/a.jpg", "train/n01443537/b.jpg", "val/n01440764/c.jpg", "val/n01443537/d.jpg")
	s := openImages(t, OpenOptions{}, dir)
	if diff := cmp.Diff(map[string]int{"rows": 4, "known": 4}, map[string]int{"rows": s.Len(), "known": s.Plan().Known}); diff != "" {
		t.Errorf("all splits (-want +got)\n%s", diff)
	}
	s = openImages(t, OpenOptions{Split: "val"}, dir)
	if got := rowsOf(t, s); len(got) != 2 || !strings.HasSuffix(got[0].Path, "val/n01440764/c.jpg") {
		t.Errorf("%+v", got)
	}
	if _, err := Open(t.Context(), []string{dir}, OpenOptions{Classes: modelClasses, Split: "test"}); err == nil || !strings.Contains(err.Error(), `split "test"`) {
		t.Errorf("a split that is not there: %v", err)
	}
}

// TestListThatIsNone predicts over a tree whose file of classes no list can be, as one that was
// exported has where classes are called ~: directories say the truths, and a note what was not read.
func TestListThatIsNone(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "val/~/1.jpg", "val/cat/2.jpg")
	write(t, filepath.Join(dir, "LOC_synset_mapping.txt"), []byte("cat\n~\n"))
	s := openImages(t, OpenOptions{}, dir)
	if notes := strings.Join(s.Plan().Notes, "\n"); !strings.Contains(notes, `LOC_synset_mapping.txt is not read as a list of classes: line 2: "~" is no name`) {
		t.Errorf("notes %q", notes)
	}
	at := filepath.ToSlash(dir) + "/"
	want := []seen{{at + "val/cat/2.jpg", "cat", "val/cat/2.jpg"}, {at + "val/~/1.jpg", "", "val/~/1.jpg"}}
	if diff := cmp.Diff(want, rowsOf(t, s)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestListsAndIdentity(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "n01440764/a\nb.jpg", "x.jpg")
	a, gone := filepath.Join(dir, "n01440764", "a\nb.jpg"), filepath.Join(dir, "n01440764", "gone.jpg")
	list := func(text string, zero bool) *Images {
		t.Helper()
		s, err := OpenList(t.Context(), strings.NewReader(text), zero, OpenOptions{Classes: modelClasses})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s := list(a+"\x00"+gone+"\x00"+a, true)
	if diff := cmp.Diff([]seen{{a, "n01440764", "n01440764/a\nb.jpg"}, {gone, "n01440764", "unreadable"}, {a, "n01440764", "n01440764/a\nb.jpg"}}, rowsOf(t, s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	before := s.Identity()
	if again := list(a+"\x00"+gone+"\x00"+a+"\x00", true); again.Identity() != before {
		t.Error("the same list has another identity")
	}
	write(t, a, []byte("other"))
	if list(a+"\x00"+gone+"\x00"+a, true).Identity() == before {
		t.Error("a changed file leaves the identity as it was")
	}
	if _, err := OpenList(t.Context(), strings.NewReader("\n"), false, OpenOptions{Classes: modelClasses}); err == nil {
		t.Error("an empty list was taken")
	}
}

func TestRefusedInputs(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "in")
	tree(t, root, "cat/a.jpg")
	asTar, _ := packed(t, root)
	cut := gzipped(t, asTar)
	cut = cut[:len(cut)/2]
	empty := filepath.Join(dir, "empty")
	tree(t, empty, "notes.txt")
	for name, want := range map[string]string{
		write(t, filepath.Join(dir, "cut.tgz"), cut):          "data corrupt",
		write(t, filepath.Join(dir, "cut.tar"), asTar[:700]):  "data corrupt",
		write(t, filepath.Join(dir, "x.bin"), []byte("text")): "neither",
		filepath.Join(dir, "none"):                            "no such file",
		empty:                                                 "no images",
	} {
		if _, err := Open(context.Background(), []string{name}, OpenOptions{Classes: modelClasses}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// TestNamesThatAreNotText reach the rows as valid UTF-8, from which they can be
// told again.
func TestNamesThatAreNotText(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "cat/caf\xe9.jpg", Mode: 0o666, Size: 1, Typeflag: tar.TypeReg, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "x")
	w.Close()
	s := openImages(t, OpenOptions{}, write(t, filepath.Join(t.TempDir(), "x.tar"), b.Bytes()))
	if diff := cmp.Diff([]seen{{`cat/caf\xe9.jpg`, "cat", "x"}}, rowsOf(t, s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCompareClasses(t *testing.T) {
	own, synsets := []string{"a", "b", "c"}, []string{"n01440764", "n01443537"}
	for _, c := range []struct {
		own, given []string
		want       string
	}{
		{own, own, ""}, {own, []string{"a", "b"}, ""}, {own, []string{"b", "a", "c"}, "another order"}, {own, []string{"a", "x", "y"}, "2 of them are others"},
		{synsets, []string{"tench", "goldfish"}, "the model's own spelled otherwise, such as n01440764 and tench"},
		{synsets, []string{"goldfish", "tench"}, "another order"}, {synsets, []string{"tench", "zebra"}, "1 of them are others"},
		{[]string{"a", "a", "b"}, []string{"a", "b", "c"}, "1 of them are others"},
	} {
		if got := CompareClasses(c.own, c.given); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q", c.given, got, c.want)
		}
	}
}

// TestRepeatedRows: a row that says again what an earlier one says is left out as ingest leaves it
// out, and one that says another class is refused.
func TestRepeatedRows(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "a.jpg", "b.jpg")
	list := filepath.Join(dir, "l.csv")
	write := func(text string) {
		if err := os.WriteFile(list, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("path,label\na.jpg,cat\nb.jpg,n01440764\n./a.jpg,cat\n")
	s, err := Open(t.Context(), []string{list}, OpenOptions{Classes: modelClasses})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := []seen{{"a.jpg", "cat", "a.jpg"}, {"b.jpg", "n01440764", "b.jpg"}}
	left := []layout.Skipped{{Reason: layout.RepeatReason, Count: 1, Names: []string{"./a.jpg"}}}
	if d := cmp.Diff(want, rowsOf(t, s)) + cmp.Diff(left, s.Plan().Skipped); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	write("path,label\na.jpg,cat\nb.jpg,n01440764\na.jpg,n01440764\n")
	_, err = Open(t.Context(), []string{list}, OpenOptions{Classes: modelClasses})
	if want := "a.jpg has two labels: cat in line 2 of " + list + ", and n01440764 in line 4 of " + list; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestListsOfLabels holds that what a file of rows says in lists is no truth, and that the column is named.
func TestListsOfLabels(t *testing.T) {
	s, err := Open(t.Context(), []string{filepath.Join("..", "..", "source", "testdata", "columns", "unread-lists.parquet")}, OpenOptions{Classes: modelClasses})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p := s.Plan(); p.Rows != 4 || p.Known+p.Foreign != 0 || len(p.Notes) == 0 || !strings.Contains(p.Notes[0], "(label) a row is no one name") {
		t.Errorf("%+v", p)
	}
}
