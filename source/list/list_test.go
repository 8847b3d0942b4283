package list

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/source/entry"
)

func number(n int64) entry.Label { return entry.Label{Kind: entry.NumberLabel, Number: n} }
func name(s string) entry.Label  { return entry.Label{Kind: entry.NameLabel, Name: s} }

func TestParse(t *testing.T) {
	type row struct {
		path  string
		label entry.Label
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
		"MXNet's":           {"l.lst", "0\t0.000000\ta/1.jpg\n1\t1.000000\tb/2.jpg\n", two},
		"a heading of ids":  {"l.csv", "pic,kind\na/1.jpg,0\nb/2.jpg,1\n", two},
		"nested JSON":       {"l.jsonl", `{"image": {"path": "a/1.jpg"}, "annotation": {"label": 0}}` + "\n" + `{"image": {"path": "b/2.jpg"}, "annotation": {"label": 1}}`, two},
		"JSON":              {"l.jsonl", `{"path": "a/1.jpg", "label": 0}` + "\n\n" + `{"label": "1", "path": "b/2.jpg", "more": [1, 2]}`, two},
		"JSON, HF's image":  {"l.ndjson", `{"image": {"bytes": null, "path": "a/1.jpg"}, "labels": [0]}` + "\r\n" + `{"image": {"path": "b/2.jpg"}, "labels": 1.0}` + "\n", two},
		"JSON, holes":       {"l.jsonl", `{"file_name": "a/1.jpg"}` + "\n" + `{"file_name": "b/2.jpg", "cls": 1}`, []row{{path: "a/1.jpg"}, {"b/2.jpg", number(1)}}},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := Parse(c.name, []byte(c.text))
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

// TestComments: a line that begins with # is a comment where it can be no row, and then its number is told.
func TestComments(t *testing.T) {
	for _, c := range []struct {
		name, text string
		paths      []string
		comments   []int32
	}{
		{"l.csv", "path,label\n#1.jpg,cat\n2.jpg,dog\n", []string{"#1.jpg", "2.jpg"}, nil},
		{"l.csv", "#1.jpg,cat\n2.jpg,dog\n", []string{"#1.jpg", "2.jpg"}, nil},
		{"l.csv", "# by hand, in May\npath,label\n# the cats\n1.jpg,cat\n#\n", []string{"1.jpg"}, []int32{1, 3, 5}},
		{"l.csv", "path,label\n#1,cat\n2,dog\n", []string{"#1", "2"}, nil},
		{"l.csv", "path,label\n1.jpg,\"a\n# no comment\nb\"\n# one\n", []string{"1.jpg"}, []int32{5}},
		{"l.csv", "path,label\n# it's 3\" wide\n1.jpg,cat\n", []string{"1.jpg"}, []int32{2}},
		{"l.tsv", "#1.jpg\tcat\n# tab\n2.jpg\tdog\n", []string{"#1.jpg", "2.jpg"}, []int32{2}},
		{"val.txt", "0.jpg cat\n#1.jpg cat\n# of cats\n", []string{"0.jpg", "#1.jpg"}, []int32{3}},
		{"val.txt", "#1.jpg cat\n", []string{"#1.jpg"}, nil},
		{"l.csv", "path,label\n# a comment, with a comma\n1.jpg,cat\n# 2.jpg,cat\n", []string{"1.jpg"}, []int32{2, 4}},
		{"val.txt", "# such as img.jpg cat\n0.jpg cat\n", []string{"0.jpg"}, []int32{1}},
		{"l.txt", "# paths\n#1.jpg\n2.jpg\n#\n", []string{"#1.jpg", "2.jpg"}, []int32{1, 4}},
	} {
		got, err := Parse(c.name, []byte(c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if diff := cmp.Diff([]any{c.paths, c.comments}, []any{got.Paths, got.Comments}); diff != "" {
			t.Errorf("%q: paths, comments (-want +got):\n%s", c.text, diff)
		}
	}
}

// TestOthers holds what is kept of columns whose names say nothing.
func TestOthers(t *testing.T) {
	for text, want := range map[string]*Table{
		"filename,cat,dog\n1.jpg,1,0\n2.jpg,0,1\n": {Others: []entry.Column{
			{Name: "cat", Values: []entry.Label{number(1), number(0)}, Rows: []int32{0, 1}}, {Name: "dog", Values: []entry.Label{number(0), number(1)}, Rows: []int32{0, 1}}}},
		"1.jpg,cat,12\n2.jpg,dog,12\n": {Others: []entry.Column{
			{Name: "2", Values: []entry.Label{name("cat"), name("dog")}, Rows: []int32{0, 1}}, {Name: "3", Values: []entry.Label{number(12)}, Rows: []int32{0, 0}}}},
		"file_name,text\n1.jpg,a cat\n2.jpg,a dog\n": {Others: []entry.Column{{Name: "text", Values: []entry.Label{name("a cat"), name("a dog")}, Rows: []int32{0, 1}}}},
		`{"file_name": "1.jpg", "meta": {"breed": "pug"}, "tags": ["a", "b"]}` + "\n" + `{"file_name": "2.jpg"}`: {Others: []entry.Column{
			{Name: "meta.breed", Values: []entry.Label{name("pug"), {}}, Rows: []int32{0, 1}}}},
	} {
		want.Paths, want.Lines = []string{"1.jpg", "2.jpg"}, []int32{1, 2}
		if strings.HasPrefix(text, "file") { // a heading
			want.Lines = []int32{2, 3}
		}
		got, err := Parse("l.csv", []byte(text))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
}

// TestEndless: of a column of more values than there can be classes none is kept, and
// a list of names without endings is one where these are known.
func TestEndless(t *testing.T) {
	var b strings.Builder
	b.WriteString("id,caption,breed\n")
	for i := range mostValues + 2 {
		fmt.Fprintf(&b, "%d,c%d,pug\n", i, i)
	}
	if _, err := Parse("l.csv", []byte(b.String())); err == nil {
		t.Error("a list of ids was read as paths")
	}
	got, err := ParseOf("l.csv", []byte(b.String()), func(s string) bool { return strings.Trim(s, "0123456789") == "" })
	if err != nil {
		t.Fatal(err)
	}
	var kept []int
	for _, c := range got.Others {
		kept = append(kept, len(c.Rows))
	}
	if diff := cmp.Diff([]any{mostValues + 2, []int{0, mostValues + 2}}, []any{len(got.Paths), kept}); diff != "" {
		t.Errorf("paths, rows kept (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "no paths in it",
		"path,label\n":                         "no paths in it",
		"id,breed\n00a1,cat\n00b2,dog\n":       "as a heading it has no column of paths",
		"a,0,1\n":                              "3 fields, and no heading",
		"a.jpg,0\nb.jpg\n":                     "line 2 has 1 fields and the first one 2",
		"path,label\na.jpg,0,4\n":              "line 2 has 3 fields",
		"id,breed\n00a1.jpg,cat\n00b2,dog\n":   "as a heading it has no column of paths",
		"cat\t1\ndogs\tb.jpg\n":                "as a heading it has no column of paths",
		"path,label\n,0\n":                     "line 2 has no path",
		"path,Path,label\na.jpg,b.jpg,0\n":     "two columns are called path",
		"path,split,split\na.jpg,train,test\n": "two columns are called split",
		"path,label\n\"a.jpg,0\n":              "quote",
		"\xff\xfep\x00a\x00":                   "UTF-16",
		`{"label": 1}`:                         "no key says which is the path",
		`{"path": "a.jpg", "label": [1, 2]}`:   "line 1: label: 2 labels",
		`{"path": "a.jpg", "label": {}}`:       "line 1: label: a label is a name or a number",
		`{"path": "a.jpg"}` + "\n{":            "line 2: ",
		`{"path": "a.jpg"}` + "\n" + `{"p":1}`: "line 2: path: ",
	} {
		if got, err := Parse("l.csv", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error of %q", text, got, err, want)
		}
	}
}

// TestParseDocument: JSON's lines are none where the file is one document.
func TestParseDocument(t *testing.T) {
	for _, text := range []string{"[{\"path\": \"a.jpg\", \"label\": 0}]", "[\n  {\"path\": \"a.jpg\"}\n]\n"} {
		if _, err := Parse("l.jsonl", []byte(text)); err == nil || !strings.Contains(err.Error(), "is no object of JSON, and a list has one a line") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("l.csv", []byte("path,label\n\"a/1.jpg\",\"tench, Tinca tinca\"\nb/2.jpg,goldfish\n"))
	f.Add("l.tsv", []byte("path\tlabel\na\t1\n"))
	f.Add("l.jsonl", []byte(`{"path": "a/1.jpg", "label": 0}`))
	f.Add("val.txt", []byte("a.jpg 1\n"))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		table, err := Parse(name, b)
		if err != nil {
			return
		}
		for _, c := range table.Columns {
			if len(c.Rows) != len(table.Paths) {
				t.Fatalf("%d labels for %d paths", len(c.Rows), len(table.Paths))
			}
		}
	})
}
