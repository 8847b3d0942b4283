package shard

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/storage/files"
)

// TestNames writes names of bytes that are no UTF-8, in every place that names
// have, and wants text everywhere, the same in all of them.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	const raw, want = "b\xe9te", `b\xe9te`
	classes := []Class{{Label: 0, Synset: "ane", Words: []string{"\xc2ne"}}, {Label: 1, Synset: raw, Gloss: raw, Path: []string{raw}}}
	m := Manifest{Splits: map[string]SplitInfo{}}
	var err error
	if m.ClassesSHA256, err = WriteClasses(files.Local(dir), classes); err != nil {
		t.Fatal(err)
	}
	name := ShardName("train", raw, 0)
	if name != "train/synset=b%5Cxe9te/part-00000.arrow" {
		t.Errorf("the shard is called %s", name)
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	im := &Image{Row: Row{Path: "\xff/1.jpg", Label: 1, Synset: raw, Objects: []Object{{Synset: raw}, {Synset: "ane"}}}, Bytes: []byte("x")}
	meta := FileMeta{Split: "train", Synset: raw, Words: raw, ClassNames: []string{"ane", raw}, Extra: map[string]string{"source": raw}}
	rows, err := writeShard(path, meta, []*Image{im})
	if err != nil {
		t.Fatal(err)
	}
	info := SplitInfo{Rows: 1, Bytes: 1, Shards: 1}
	if info.IndexSHA256, err = WriteIndex(files.Local(dir), "train", rows); err != nil {
		t.Fatal(err)
	}
	m.Splits["train"] = info
	if err := WriteManifest(files.Local(dir), m); err != nil {
		t.Fatal(err)
	}

	d := open(t, dir)
	if diff := cmp.Diff([]Class{{Synset: "ane", Words: []string{`\xc2ne`}, Path: []string{}}, {Label: 1, Synset: want, Gloss: want, Words: []string{}, Path: []string{want}}}, d.Classes()); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	s, err := d.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	wantRow := Row{Path: `\xff/1.jpg`, Label: 1, Synset: want, Objects: []Object{{Synset: want}, {Synset: "ane"}}, File: name}
	got := s.Row(0)
	if diff := cmp.Diff(wantRow, got, cmp.FilterPath(func(p cmp.Path) bool {
		return p.String() == "SHA256" || p.String() == "CRC32C" || p.String() == "Offset" || p.String() == "Length"
	}, cmp.Ignore())); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
	if im.Objects[0].Synset != raw {
		t.Error("Append changed the caller's objects")
	}
	_, gotMeta, err := ScanFile(files.Local(filepath.Dir(path)), filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(FileMeta{Split: "train", Synset: want, Words: want, ClassNames: []string{"ane", want}, Extra: map[string]string{"source": want}}, gotMeta); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	for _, file := range []string{path, filepath.Join(dir, "train", IndexName), filepath.Join(dir, ClassesName)} {
		wantText(t, file)
	}
}

// wantText wants every text of a file to be UTF-8.
func wantText(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := arrowipc.OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	md := f.Schema().Metadata()
	for i, v := range md.Values() {
		if !utf8.ValidString(v) {
			t.Errorf("%s: metadata %s is %q", file, md.Keys()[i], v)
		}
	}
	for k := range f.Batches() {
		rec, err := f.Record(k, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range rec.Columns() {
			text, err := json.Marshal(c) // which puts U+FFFD where it is not
			if err != nil || !utf8.Valid(text) {
				t.Errorf("%s: %s, %v", file, text, err)
			}
			textOnly(t, file, c.Data())
		}
	}
}

// textOnly looks at the bytes of all text below a column.
func textOnly(t *testing.T, file string, d arrow.ArrayData) {
	t.Helper()
	if d.DataType().ID() == arrow.STRING && d.Len() > 0 && !utf8.Valid(d.Buffers()[2].Bytes()) {
		t.Errorf("%s: text %q", file, d.Buffers()[2].Bytes())
	}
	for _, c := range d.Children() {
		textOnly(t, file, c)
	}
}
