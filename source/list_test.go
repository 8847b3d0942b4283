package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func number(n int64) Label { return Label{Kind: NumberLabel, Number: n} }
func name(s string) Label  { return Label{Kind: NameLabel, Name: s} }

func TestParseList(t *testing.T) {
	type row struct {
		path  string
		label Label
	}
	two := []row{{"a/1.jpg", number(0)}, {"b/2.jpg", number(1)}}
	words := []row{{"a/1.jpg", name("tench, Tinca tinca")}, {"b/2.jpg", name("goldfish")}}
	for what, c := range map[string]struct {
		name, text string
		want       []row
	}{
		"no heading":        {"l.csv", "a/1.jpg,0\nb/2.jpg,1\n", two},
		"the last newline":  {"l.csv", "a/1.jpg,0\nb/2.jpg,1", two},
		"CRLF and BOM":      {"l.csv", bom + "a/1.jpg,0\r\nb/2.jpg,1\r\n", two},
		"heading":           {"l.csv", "filename,label\na/1.jpg,0\nb/2.jpg,1\n", two},
		"BOM and heading":   {"l.csv", bom + "path,label\na/1.jpg,0\nb/2.jpg,1\n", two},
		"other spelling":    {"l.csv", "Class ID,Image_Path\n0,a/1.jpg\n1,b/2.jpg\n", two},
		"unknown second":    {"l.csv", "file_name,species\na/1.jpg,0\nb/2.jpg,1\n", two},
		"data frame":        {"l.csv", ",image_path,width,class\n0,a/1.jpg,5,0.0\n1,b/2.jpg,6,1.0\n", two},
		"comments, blanks":  {"l.csv", "# made by hand\n\npath,label\n\na/1.jpg,0\n#b\nb/2.jpg,1\n\n", two},
		"quoted":            {"l.csv", "path,label\n\"a/1.jpg\",\"tench, Tinca tinca\"\nb/2.jpg, goldfish\n", words},
		"semicolons":        {"l.csv", "path;label\na/1.jpg;tench, Tinca tinca\nb/2.jpg;goldfish\n", words},
		"semicolons alone":  {"l.csv", "path;label\na/1.jpg;0\nb/2.jpg;1\n", two},
		"tabs":              {"l.tsv", "path\tlabel\na/1.jpg\ttench, Tinca tinca\nb/2.jpg\tgoldfish\n", words},
		"tabs by content":   {"l.txt", "a/1.jpg\ttench, Tinca tinca\nb/2.jpg\tgoldfish\n", words},
		"label first":       {"l.csv", "0,a/1.jpg\n1,b/2.jpg\n", two},
		"a space":           {"val.txt", "a/1.jpg 0\nb/2.jpg 1\n", two},
		"paths alone":       {"l.txt", "a/1.jpg\n\nb/2.jpg\r\n", []row{{path: "a/1.jpg"}, {path: "b/2.jpg"}}},
		"paths with spaces": {"l.txt", "a 1.jpg\nb 2.jpg\n", []row{{path: "a 1.jpg"}, {path: "b 2.jpg"}}},
		"no label":          {"l.csv", "path,label\na/1.jpg,\nb/2.jpg,-1\n", []row{{path: "a/1.jpg"}, {"b/2.jpg", number(-1)}}},
		"not UTF-8":         {"l.csv", "caf\xe9.jpg,0\n", []row{{"caf\xe9.jpg", number(0)}}},
		"JSON":              {"l.jsonl", `{"path": "a/1.jpg", "label": 0}` + "\n\n" + `{"label": "1", "path": "b/2.jpg", "more": [1, 2]}`, two},
		"JSON, HF's image":  {"l.ndjson", `{"image": {"bytes": null, "path": "a/1.jpg"}, "labels": [0]}` + "\r\n" + `{"image": {"path": "b/2.jpg"}, "labels": 1.0}` + "\n", two},
		"JSON, holes":       {"l.jsonl", `{"file_name": "a/1.jpg"}` + "\n" + `{"file_name": "b/2.jpg", "cls": 1}`, []row{{path: "a/1.jpg"}, {"b/2.jpg", number(1)}}},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := ParseList(c.name, []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var rows []row
			for i, p := range got.Paths {
				r := row{path: p}
				if len(got.Columns) > 0 {
					r.label = got.Columns[0].Values[got.Columns[0].Rows[i]]
				}
				rows = append(rows, r)
			}
			if diff := cmp.Diff(c.want, rows, cmp.AllowUnexported(row{})); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseListRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "no paths in it",
		"path,label\n":                         "no paths in it",
		"a.jpg,0,1\n":                          "3 fields, and no heading",
		"a.jpg,0\nb.jpg\n":                     "line 2 has 1 fields and the first one 2",
		"path,label\na.jpg,0,4\n":              "line 2 has 3 fields",
		"ImageId,Prediction\nn1_2.JPEG,n1\n":   "as a heading it has no column of paths",
		"path,label\n,0\n":                     "line 2 has no path",
		"path,label\n\"a.jpg,0\n":              "quote",
		"\xff\xfep\x00a\x00":                   "UTF-16",
		`{"label": 1}`:                         "no key says which is the path",
		`{"path": "a.jpg", "label": [1, 2]}`:   "line 1: label: 2 labels",
		`{"path": "a.jpg", "label": {}}`:       "line 1: label: a label is a name or a number",
		`{"path": "a.jpg"}` + "\n{":            "line 2: ",
		`{"path": "a.jpg"}` + "\n" + `{"p":1}`: "line 2: path: ",
	} {
		if got, err := ParseList("l.csv", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error of %q", text, got, err, want)
		}
	}
}

func TestList(t *testing.T) {
	root := folderOf(t, contents{
		"n1/a.jpg": "a", "n2/b.jpg": "b",
		"l.csv": "path,label,synset\nn1/a.jpg,7,n01440764\nn2\\b.jpg,8,n01443537\ngone.jpg,7,n01440764\n",
	})
	s, err := Open(t.Context(), []string{filepath.Join(root, "l.csv")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := []Entry{
		{Name: "n1/a.jpg", Size: 1, Label: name("n01440764")},
		{Name: "n2/b.jpg", Size: 1, Label: name("n01443537")},
		{Name: "gone.jpg", Size: -1, Label: name("n01440764")},
	}
	got := s.Entries()
	for i := range got {
		got[i].Modified = 0
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Entry{})); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	info := s.Infos()[0]
	columns := []Column{
		{Name: "label", Values: []Label{number(7), number(8)}, Rows: []int32{0, 1, 0}},
		{Name: "synset", Values: []Label{name("n01440764"), name("n01443537")}, Rows: []int32{0, 1, 0}},
	}
	if diff := cmp.Diff(columns, info.Columns); diff != "" || info.LabelColumn != "synset" || info.Kind != List {
		t.Errorf("label is from %q of kind %s; columns (-want +got):\n%s", info.LabelColumn, info.Kind, diff)
	}
	var read []string
	err = s.Each(t.Context(), s.Entries(), func(e Entry, b []byte, err error) error {
		if (e.Name == "gone.jpg") != errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: %v", e.Name, err)
		}
		read = append(read, string(b))
		return nil
	})
	if diff := cmp.Diff([]string{"a", "b", ""}, read); diff != "" || err != nil {
		t.Errorf("%v, read (-want +got):\n%s", err, diff)
	}
}

func TestOpenPaths(t *testing.T) {
	root := folderOf(t, contents{"a\nb.jpg": "ab", "c.jpg": "c"})
	ab, c := filepath.Join(root, "a\nb.jpg"), filepath.Join(root, "c.jpg")
	for _, in := range []struct {
		text string
		zero bool
		want []string
	}{
		{c + "\r\n\n" + c, false, []string{"c", "c"}},
		{ab + "\x00" + c + "\x00", true, []string{"ab", "c"}},
	} {
		s, err := OpenPaths(t.Context(), strings.NewReader(in.text), in.zero, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range s.Entries() {
			b, err := s.Read(e, nil)
			if err != nil {
				t.Error(err)
			}
			got = append(got, string(b))
		}
		if diff := cmp.Diff(in.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in.text, diff)
		}
		s.Close()
	}
	if _, err := OpenPaths(t.Context(), strings.NewReader("\n"), false, Options{}); err == nil {
		t.Error("an empty list was opened")
	}
}

func TestListIsToldFromOtherText(t *testing.T) {
	root := folderOf(t, contents{"a.jpg": "a", "list": "a.jpg 1\n", "notes": "some words\n", "paths": "a.jpg\n", "x.json": "{}"})
	for file, want := range map[string]bool{"list": true, "notes": false, "paths": true, "x.json": false} {
		s, err := Open(t.Context(), []string{filepath.Join(root, file)}, Options{})
		if (err == nil) != want || err != nil && !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", file, err)
		}
		if err == nil {
			s.Close()
		}
	}
	if err := os.WriteFile(filepath.Join(root, "odd"), []byte("a\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := OpenAs(t.Context(), List, []string{filepath.Join(root, "odd")}, Options{})
	if err != nil || len(s.Entries()) != 1 {
		t.Fatalf("%v", err)
	}
	s.Close()
	if _, err := OpenAs(t.Context(), Parquet, []string{filepath.Join(root, "list")}, Options{}); err == nil {
		t.Error("a list was opened as Parquet")
	}
}
