package export

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/parquet"
	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"

	"github.com/synshard/synshard/storage/files"
)

// named is an image by its class and name; its bytes are both.
type named struct{ class, path string }

func (n named) bytes() string { return n.class + "|" + n.path }

// write makes a dataset of one split of such images and selects all of it.
func write(t *testing.T, split string, images []named) *shard.View {
	t.Helper()
	var names []string
	for _, n := range images {
		if n.class != "" && !slices.Contains(names, utf8name.Escape(n.class)) {
			names = append(names, utf8name.Escape(n.class))
		}
	}
	slices.Sort(names)
	var rows []*shard.Image
	for _, n := range images {
		row := shard.Row{Path: utf8name.Escape(n.path), Synset: utf8name.Escape(n.class), Label: int64(slices.Index(names, utf8name.Escape(n.class))), Format: "JPEG"}
		rows = append(rows, &shard.Image{Row: row, Bytes: []byte(n.bytes())})
	}
	dir := t.TempDir()
	shardtest.Write(t, dir, names, shardtest.Split{Name: split, Images: rows})
	return shardtest.View(t, shardtest.OpenSplit(t, dir, split))
}

// treeOf exports a view as a folder and gives the name of each file by what is
// in it, which must be the same in a tar.
func treeOf(t *testing.T, v *shard.View) map[string]string {
	t.Helper()
	out := t.TempDir()
	got, inTar := map[string]string{}, map[string]string{}
	for _, form := range []string{"folder", "tar"} {
		if err := Write(context.Background(), files.Local(filepath.Join(out, form)), []Split{{"train", v}}, Options{To: form}); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
	}
	root := filepath.Join(out, "folder", "train")
	err := filepath.WalkDir(root, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		got[string(b)] = filepath.ToSlash(rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range untar(t, filepath.Join(out, "tar", "train.tar")) {
		inTar[string(b)] = name
	}
	if diff := cmp.Diff(got, inTar); diff != "" {
		t.Errorf("folder and tar differ (-folder +tar):\n%s", diff)
	}
	return got
}

// TestTreeNames wants names in a tree that lead back to class and name, and
// every image kept.
func TestTreeNames(t *testing.T) {
	long := strings.Repeat("x", 250) + ".jpg"
	want := map[named]string{
		{"n1", "1.jpg"}:             "n1/1.jpg",
		{"n2", "1.jpg"}:             "n2/1.jpg",
		{"n1", "a/1.jpg"}:           "n1/a/1.jpg",
		{"n1", "b/1.jpg"}:           "n1/b/1.jpg",
		{"n1", "a"}:                 "n1/a.jpg",
		{"n1", "../2.jpg"}:          "n1/2.jpg",
		{"n1", ".hidden.jpg"}:       "n1/_.hidden.jpg",
		{"n1", ".hidden/3.jpg"}:     "n1/3.jpg",
		{"n1", "caf\xe9.jpg"}:       "n1/caf\xe9.jpg",
		{"n1", `caf\xe9.jpg`}:       `n1/caf%5Cxe9.jpg`,
		{"b\xe9te noire", "1.PNG"}:  "b\xe9te noire/1.PNG",
		{"n1", "http://h/4?x=1&y="}: "n1/4%3Fx=1&y=.jpg",
		{"n1", "5\x00.jpg"}:         "n1/5%00.jpg",
		{"", "6.jpg"}:               "6.jpg",
		{"", "a/7.jpg"}:             "7.jpg",
		{"", "b/7.jpg"}:             "b_7.jpg",
		{"n1", long}:                "n1/" + long[:150] + "-ef23d1d5bf21.jpg",
		{"n3", "c.jpg"}:             "n3/c.jpg",
		{"n3", "c.jpg/d.jpg"}:       "n3/c.jpg_d.jpg",
	}
	var images []named
	byBytes := map[string]string{}
	for n, name := range want {
		images = append(images, n)
		byBytes[n.bytes()] = name
	}
	if diff := cmp.Diff(byBytes, treeOf(t, write(t, "train", images))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTreeNamesTaken wants images kept whose names are the same.
func TestTreeNamesTaken(t *testing.T) {
	images := []named{{"n1", "x/../1.jpg"}, {"n1", "y/../1.jpg"}, {"n1", "z/../z/../1.jpg"}, {"n1", "1.jpg"}}
	got := treeOf(t, write(t, "train", images))
	var names []string
	for _, name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"n1/1.jpg", "n1/x_.._1.jpg", "n1/y_.._1.jpg", "n1/z_.._z_.._1.jpg"}, names); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	n := newNamer(nil, nil)
	for _, want := range []string{"a.jpg", "b.jpg", "b-2.jpg", "b-3.jpg"} {
		if got := n.take([]string{"a.jpg", "b.jpg"}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestTreeOfOddClasses wants a directory of its own for every class, and told what
// has another name or is alike.
func TestTreeOfOddClasses(t *testing.T) {
	images := []named{{"a/b", "1.jpg"}, {"..", "1.jpg"}, {"%2E%2E", "1.jpg"}, {"nul", "aux.jpg"}, {"Cat", "1.jpg"}, {"cat", "1.jpg"}, {"cat", "A.jpg"}, {"cat", "a.jpg"}}
	v := write(t, "train", images)
	want := map[string]string{
		"a/b|1.jpg": "a%2Fb/1.jpg", "..|1.jpg": "%2E%2E-2/1.jpg", "%2E%2E|1.jpg": "%2E%2E/1.jpg", "nul|aux.jpg": "%6Eul/%61ux.jpg",
		"Cat|1.jpg": "Cat/1.jpg", "cat|1.jpg": "cat/1.jpg", "cat|A.jpg": "cat/A.jpg", "cat|a.jpg": "cat/a.jpg",
	}
	if diff := cmp.Diff(want, treeOf(t, v)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, form := range Forms {
		var got Renamed
		if err := Write(context.Background(), files.Local(t.TempDir()), []Split{{"train", v}}, Options{To: form, Renamed: func(n Renamed) { got = n }}); err != nil {
			t.Fatal(err)
		}
		want := Renamed{Classes: 3, Images: 1, Alike: 3}
		if form == "webdataset" || form == "hf" {
			want = Renamed{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
}

// TestLinksAreNotFollowed plants links into an export: in the place of a file they
// are replaced, in that of a directory refused, and what they lead to stays.
func TestLinksAreNotFollowed(t *testing.T) {
	v := write(t, "train", []named{{"n1", "1.jpg"}, {"n1", "2.jpg"}})
	for _, form := range Forms {
		for _, link := range []string{"train/n1/1.jpg", "train/n1", "train", "train.tar", "train-000000.tar", "data", "data/train-00000-of-00001.parquet", shard.ExportName} {
			out, elsewhere := t.TempDir(), t.TempDir()
			if err := Write(context.Background(), files.Local(out), []Split{{"train", v}}, Options{To: form}); err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(out, link)
			info, err := os.Lstat(at)
			if err != nil {
				continue // another form's
			}
			to := filepath.Join(elsewhere, "to")
			if err := os.Rename(at, to); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(to, at); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, elsewhere)
			err = Write(context.Background(), files.Local(out), []Split{{"train", v}}, Options{To: form})
			if info.IsDir() != errors.Is(err, durable.ErrLink) {
				t.Errorf("%s, a link %s: %v", form, link, err)
			}
			if is, err := os.Lstat(at); err != nil || !info.IsDir() && !is.Mode().IsRegular() {
				t.Errorf("%s: %s is %v, %v", form, link, is.Mode(), err)
			}
			if diff := cmp.Diff(before, snapshot(t, elsewhere)); diff != "" {
				t.Errorf("%s, a link %s: what it leads to (-before +after):\n%s", form, link, diff)
			}
		}
	}
}

// TestRowNames wants images of one name and several classes told apart in
// Parquet, the same where one file was there and where it was not.
func TestRowNames(t *testing.T) {
	var images []named
	for _, class := range []string{"n1", "n2", "n3"} {
		for _, name := range []string{"1.jpg", "2.jpg", "caf\xe9.jpg"} {
			images = append(images, named{class, name})
		}
	}
	v := write(t, "train", images)
	out := t.TempDir()
	o := Options{To: "hf", ShardBytes: 30}
	if err := Write(context.Background(), files.Local(out), []Split{{"train", v}}, o); err != nil {
		t.Fatal(err)
	}
	paths, _ := filepath.Glob(filepath.Join(out, "data", "train-*"))
	if len(paths) < 3 {
		t.Fatalf("made %v", paths)
	}
	want := map[string]string{}
	for _, n := range images {
		name := utf8name.Escape(n.path)
		if n.class != "n1" {
			name = n.class + "/" + name
		}
		want[n.bytes()] = name
	}
	read := func() map[string]string {
		got := map[string]string{}
		for _, f := range paths {
			eachParquet(t, f, func(b []byte, path string, _ int64) { got[string(b)] = path })
		}
		return got
	}
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := os.Remove(paths[1]); err != nil {
		t.Fatal(err)
	}
	if err := Write(context.Background(), files.Local(out), []Split{{"train", v}}, o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("made again (-want +got):\n%s", diff)
	}
}

// eachParquet gives the rows of a Parquet file as Hugging Face has them; the label is -1
// where there is none.
func eachParquet(t *testing.T, name string, f func(b []byte, path string, label int64)) {
	t.Helper()
	all, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	pq, err := parquet.Open(bytes.NewReader(all), int64(len(all)))
	if err != nil {
		t.Fatal(err)
	}
	for g := range pq.Groups() {
		n := int(pq.GroupRows(g))
		images, paths, labels := make([][]byte, n), make([]string, n), make([]int64, n)
		for _, c := range pq.Columns() {
			err := error(nil)
			switch strings.Join(c.Path, ".") {
			case "image.bytes":
				err = pq.Strings(g, c, func(i int, v [][]byte) error { images[i] = bytes.Clone(v[0]); return nil })
			case "image.path":
				err = pq.Strings(g, c, func(i int, v [][]byte) error { paths[i] = string(v[0]); return nil })
			case "label":
				err = pq.Ints(g, c, func(i int, v []int64) error {
					if labels[i] = -1; len(v) > 0 {
						labels[i] = v[0]
					}
					return nil
				})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range n {
			f(images[i], paths[i], labels[i])
		}
	}
}

// TestEmptySplits wants nothing of a split without images.
func TestEmptySplits(t *testing.T) {
	d := shardtest.Open(t, shardtest.Copy(t))
	var splits []Split
	for _, name := range d.Splits() {
		s, err := d.Split(name)
		if err != nil {
			t.Fatal(err)
		}
		sel := shard.Selection{}
		if name != "train" {
			sel = shard.Selection{Job: 0, Jobs: 50}
		}
		v, err := s.Select(sel, nil)
		if err != nil {
			t.Fatal(err)
		}
		splits = append(splits, Split{name, v})
	}
	for form, want := range map[string][]string{
		"folder":     {"train", shard.ExportedClassesName},
		"tar":        {"train.tar", shard.ExportedClassesName},
		"webdataset": {"train-000000.tar"},
		"hf":         {"data/train-00000-of-00001.parquet", cardName, croissantName},
	} {
		out := filepath.Join(t.TempDir(), "out")
		var made []string
		if err := Write(context.Background(), files.Local(out), splits, Options{To: form, Made: func(name string) { made = append(made, name) }}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
		entries, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "test") || strings.HasPrefix(e.Name(), "val") {
				t.Errorf("%s: there is %s", form, e.Name())
			}
		}
	}
}

// TestKilledEarly wants an export to go on over what killed ones left, in their
// directories too, and to leave what a link leads to alone.
func TestKilledEarly(t *testing.T) {
	parts := views(t, shardtest.Open(t, shardtest.Copy(t)))
	for _, form := range Forms {
		whole, out := t.TempDir(), t.TempDir()
		if err := Write(context.Background(), files.Local(whole), parts, Options{To: form}); err != nil {
			t.Fatal(err)
		}
		elsewhere := filepath.Join(t.TempDir(), "mine")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(os.WriteFile(elsewhere, []byte("mine"), 0o666))
		must(os.MkdirAll(filepath.Join(out, "train", "n02129604"), 0o777))
		must(os.MkdirAll(filepath.Join(out, "data"), 0o777))
		mark, err := os.ReadFile(filepath.Join(whole, markName))
		must(err)
		if form == "folder" || form == "hf" {
			must(os.WriteFile(filepath.Join(out, markName), mark, 0o666))
			must(os.Symlink(elsewhere, filepath.Join(out, "train", "n02129604", ".aside")))
			must(os.WriteFile(filepath.Join(out, "data", ".train-00000-of-00001.parquet.tmp-0123456789ab"), nil, 0o666))
		} else {
			must(os.RemoveAll(filepath.Join(out, "train")))
			must(os.RemoveAll(filepath.Join(out, "data")))
		}
		must(os.WriteFile(filepath.Join(out, "."+markName+".tmp-0123456789ab"), nil, 0o666))
		if err := Write(context.Background(), files.Local(out), parts, Options{To: form}); err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		if form == "hf" {
			must(os.RemoveAll(filepath.Join(out, "train")))
		}
		if form == "folder" {
			must(os.RemoveAll(filepath.Join(out, "data")))
		}
		list := func(dir string) (names []string) {
			for _, line := range snapshot(t, dir) {
				names = append(names, strings.TrimPrefix(line, dir))
			}
			return names
		}
		if diff := cmp.Diff(list(whole), list(out)); diff != "" {
			t.Errorf("%s (-never killed +killed):\n%s", form, diff)
		}
		if b, err := os.ReadFile(elsewhere); err != nil || string(b) != "mine" {
			t.Errorf("%s: what the link leads to holds %q, %v", form, b, err)
		}
	}
}

// TestClassList wants the classes in label order beside a tree, those without
// images too, and the whole list kept in every form.
func TestClassList(t *testing.T) {
	d := shardtest.Open(t, shardtest.Copy(t))
	for _, form := range Forms {
		out := t.TempDir()
		if err := Write(context.Background(), files.Local(out), views(t, d)[:1], Options{To: form}); err != nil {
			t.Fatal(err)
		}
		got, err := shard.ReadExportClasses(files.Local(out))
		if diff := cmp.Diff(d.Classes(), got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", form, err, diff)
		}
		b, err := os.ReadFile(filepath.Join(out, shard.ExportedClassesName))
		if tree := form == "folder" || form == "tar"; !tree && !os.IsNotExist(err) || tree && string(b) != strings.Join(fixtureClasses, "\n")+"\n" {
			t.Errorf("%s: names %q, %v", form, b, err)
		}
	}
	if got, err := shard.ReadExportClasses(files.Local(t.TempDir())); got != nil || err != nil {
		t.Errorf("of no export: %v, %v", got, err)
	}
}

// TestCutFile wants a file of an export that was cut to be made again.
func TestCutFile(t *testing.T) {
	splits := views(t, shardtest.Open(t, shardtest.Copy(t)))
	for _, form := range Forms {
		out := t.TempDir()
		if err := Write(context.Background(), files.Local(out), splits, Options{To: form}); err != nil {
			t.Fatal(err)
		}
		before := snapshot(t, out)
		paths, _ := filepath.Glob(filepath.Join(out, "*train*"))
		if form == "hf" {
			paths, _ = filepath.Glob(filepath.Join(out, "data", "train*"))
		}
		if form == "folder" {
			paths, _ = filepath.Glob(filepath.Join(out, "train", "*", "*_5.JPEG"))
		}
		if len(paths) == 0 {
			t.Fatalf("%s: no file", form)
		}
		if err := os.Truncate(paths[0], 100); err != nil {
			t.Fatal(err)
		}
		if err := Write(context.Background(), files.Local(out), splits, Options{To: form}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, snapshot(t, out)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", form, diff)
		}
	}
}
