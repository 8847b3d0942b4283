package classlist

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
)

// three are the classes that most forms below list.
var three = []string{"n01440764", "n01443537", "n01484850"}

var threeWords = [][]string{{"tench", "Tinca tinca"}, {"goldfish"}, {"great white shark", "white shark"}}

var plain = []string{"tench", "goldfish", "great white shark"}

// TestForms reads every form that people keep class lists in.
func TestForms(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		names []string
		words [][]string
		first int
		note  string // a part of one
	}{
		"synsets":            {text: "n01440764\nn01443537\nn01484850\n", names: three},
		"no newline at last": {text: "n01440764\nn01443537\nn01484850", names: three},
		"BOM and CRLF":       {text: "\ufeffn01440764\r\nn01443537\r\nn01484850\r\n", names: three},
		"old Mac lines":      {text: "n01440764\rn01443537\rn01484850\r", names: three},
		"UTF-16":             {text: "\xff\xfen\x000\x001\x004\x004\x000\x007\x006\x004\x00\n\x00n\x000\x001\x004\x004\x003\x005\x003\x007\x00", names: three[:2]},
		"UTF-16, big end":    {text: "\xfe\xff\x00n\x000\x001\x004\x004\x000\x007\x006\x004\x00\n\x00n\x000\x001\x004\x004\x003\x005\x003\x007", names: three[:2]},
		"blanks, comments":   {text: "# our classes\n\n  n01440764\t\nn01443537  \n\n# the third\nn01484850\n\n", names: three},
		"quotes":             {text: "\"n01440764\"\n'n01443537'\n\"n01484850\"\n", names: three},
		"lines of a program": {text: "\"n01440764\",\n\"n01443537\",\n\"n01484850\",\n", names: three},
		"names":              {text: "tench\ngoldfish\ngreat white shark\n", names: plain},
		"names of words":     {text: "tench, Tinca tinca\ngoldfish, Carassius auratus\n", names: []string{"tench, Tinca tinca", "goldfish, Carassius auratus"}},
		"not sorted":         {text: "n01484850\nn01440764\nn01443537\n", names: []string{three[2], three[0], three[1]}},
		"synset words":       {text: "n01440764 tench, Tinca tinca\nn01443537 goldfish\nn01484850 great white shark, white shark\n", names: three, words: threeWords},
		"Kaggle with tabs":   {text: "n01440764\ttench, Tinca tinca\nn01443537\tgoldfish\nn01484850\tgreat white shark, white shark\n", names: three, words: threeWords},
		"CSV, no heading":    {text: "n01440764,\"tench, Tinca tinca\"\nn01443537,goldfish\nn01484850,\"great white shark, white shark\"\n", names: three, words: threeWords},
		"colons":             {text: "n01440764: tench, Tinca tinca\nn01443537: goldfish\nn01484850: great_white_shark, white_shark\n", names: three, words: threeWords},
		"a dash":             {text: "n01440764 - tench, Tinca tinca\nn01443537 - goldfish\nn01484850 - great white shark, white shark\n", names: three, words: threeWords},
		"background first":   {text: "background\nn01440764\nn01443537\n", names: []string{"background", three[0], three[1]}, note: "2 of 3 names are synsets"},

		"numbers first":         {text: "0 n01440764\n1 n01443537\n2 n01484850\n", names: three},
		"numbers, colons":       {text: "0: tench\n1: goldfish\n2: great white shark\n", names: plain},
		"numbers, tabs":         {text: "2\tgreat white shark\n0\ttench\n1\tgoldfish\n", names: plain},
		"numbers, commas":       {text: "0,tench\n1,goldfish\n2,great white shark\n", names: plain},
		"numbers, many commas":  {text: "0, tench, Tinca tinca\n1, goldfish\n", names: []string{"tench, Tinca tinca", "goldfish"}},
		"numbers from 1":        {text: "1 n01440764\n2 n01443537\n3 n01484850\n", names: three, first: 1},
		"number synset words":   {text: "0 n01440764 tench, Tinca tinca\n1 n01443537 goldfish\n2 n01484850 great_white_shark, white_shark\n", names: three, words: threeWords},
		"classes as ilsvrc":     {text: "3\tn01484850\tgreat white shark, white shark\n1\tn01440764\ttench, Tinca tinca\n2\tn01443537\tgoldfish\n", names: three, words: threeWords, first: 1},
		"numbers last":          {text: "tench,0\ngoldfish,1\ngreat white shark,2\n", names: plain},
		"numbers last, blank":   {text: "/a/airfield 0\n/a/airplane_cabin 1\n/a/airport_terminal 2\n", names: []string{"/a/airfield", "/a/airplane_cabin", "/a/airport_terminal"}},
		"synsets, numbers last": {text: "n01443537 1\nn01440764 0\nn01484850 2\n", names: three},
		"map_clsloc.txt":        {text: "n01443537 2 goldfish\nn01440764 1 tench\nn01484850 3 great_white_shark\n", names: three, words: [][]string{{"tench"}, {"goldfish"}, {"great white shark"}}, first: 1},
		"numbers in names":      {text: "grade 1\ngrade 2\ngrade 3\n", names: []string{"grade 1", "grade 2", "grade 3"}},
		"some numbers":          {text: "4 wheeler\nlorry\n2 door\n", names: []string{"4 wheeler", "lorry", "2 door"}},
		"names are numbers":     {text: "0\n1\n2\n", names: []string{"0", "1", "2"}},
		"synset in column two":  {text: "tench,n01440764\ngoldfish,n01443537\n", names: three[:2], words: [][]string{{"tench"}, {"goldfish"}}},
		"YAML":                  {text: "- tench\n- goldfish\n- great white shark\n", names: plain},
		"YAML's numbers":        {text: "0: 'tench'\n1: \"goldfish\"\n2: great white shark\n", names: plain},

		"data.yaml":         {text: "path: ../x\ntrain: images/train\nnames:\n  0: tench\n  1: goldfish\n\n# where from\ndownload: x\n", names: plain[:2]},
		"data.yaml, a list": {text: "nc: 2\nnames:\n- tench\n- 'goldfish'\nval: y\n", names: plain[:2]},
		"a dataset card":    {text: "dataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n          '0': tench\n          '1': goldfish\n  splits:\n  - name: train\n", names: plain[:2]},
		"symbols":           {text: "tench\n☃\n+1\n", names: []string{"tench", "☃", "+1"}},

		"classes as tsv":      {text: "label\tsynset\tilsvrc2012_id\twords\tgloss\n0\tn01440764\t\ttench, Tinca tinca\tfreshwater dace-like game fish\n1\tn01443537\t\tgoldfish\tsmall \"golden\" fish\n2\tn01484850\t\tgreat white shark, white shark\ta shark\n", names: three, words: threeWords},
		"CSV with a heading":  {text: "label,synset,words\n0,n01440764,\"tench, Tinca tinca\"\n1,n01443537,goldfish\n2,n01484850,\"great white shark, white shark\"\n", names: three, words: threeWords},
		"semicolons":          {text: "id;name\n1;goldfish\n0;tench\n2;great white shark\n", names: plain},
		"heading of one":      {text: "synset\nn01440764\nn01443537\nn01484850\n", names: three, note: "heading"},
		"label is the name":   {text: "label,description\ntench,a fish\ngoldfish,a fish too\n", names: plain[:2], words: [][]string{{"a fish"}, {"a fish too"}}},
		"heading half known":  {text: "wnid,remark\nn01440764,x\nn01443537,y\n", names: three[:2]},
		"Class names of CSVs": {text: "Class Index,Class Name\r\n0,tench\r\n1,goldfish\r\n", names: plain[:2]},

		"JSON list":           {text: `["n01440764","n01443537","n01484850"]`, names: three},
		"JSON with BOM":       {text: "\ufeff[\"n01440764\",\n\"n01443537\",\n\"n01484850\"]\n", names: three},
		"JSON list of words":  {text: `["n01440764 tench, Tinca tinca", "n01443537 goldfish", "n01484850 great white shark, white shark"]`, names: three, words: threeWords},
		"JSON list of lists":  {text: `[["n01440764","tench, Tinca tinca"],["n01443537","goldfish"],["n01484850","great_white_shark","white_shark"]]`, names: three, words: threeWords},
		"JSON numbered lists": {text: `[[1,"goldfish"],[0,"tench"]]`, names: plain[:2]},
		"classes as json":     {text: `[{"label":0,"synset":"n01440764","words":["tench","Tinca tinca"],"path":["n00001740"]},{"label":1,"synset":"n01443537","words":["goldfish"]},{"label":2,"synset":"n01484850","ilsvrc2012_id":7,"words":["great white shark","white shark"],"gloss":"g"}]`, names: three, words: threeWords},
		"class index":         {text: `{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"], "2": ["n01484850", "great_white_shark"]}`, names: three, words: [][]string{{"tench"}, {"goldfish"}, {"great white shark"}}},
		"class index, by ten": {text: `{"1":"b","10":"k","0":"a","2":"c","3":"d","4":"e","5":"f","6":"g","7":"h","8":"i","9":"j"}`, names: strings.Split("abcdefghijk", "")},
		"number to name":      {text: `{"0": "tench", "1": "goldfish", "2": "great white shark"}`, names: plain},
		"number to object":    {text: `{"0": {"id": "n01440764", "label": "tench"}, "1": {"id": "n01443537", "label": "goldfish"}}`, names: three[:2], words: [][]string{{"tench"}, {"goldfish"}}},
		"name to number":      {text: `{"goldfish": 1, "tench": 0, "great white shark": 2}`, names: plain},
		"synset to words":     {text: "{\"n01440764\": \"tench, Tinca tinca\",\n\"n01443537\": \"goldfish\",\n\"n01484850\": [\"great white shark\", \"white shark\"]}", names: three, words: threeWords},
		"classes as hf":       {text: `{"names":["tench","goldfish","great white shark"],"_type":"ClassLabel"}`, names: plain},
		"dataset_info.json":   {text: `{"features":{"image":{"_type":"Image"},"label":{"names":["tench","goldfish"],"_type":"ClassLabel"}},"splits":{"train":{"name":"train","num_bytes":1}}}`, names: plain[:2]},
		"dataset_infos.json":  {text: `{"a":{"features":{"label":{"num_classes":2,"names":["tench","goldfish"],"_type":"ClassLabel"}}},"b":{"features":{"label":{"num_classes":2,"names":["tench","goldfish"],"_type":"ClassLabel"}}}}`, names: plain[:2]},
		"two ClassLabels":     {text: `{"features":{"label":{"names":["tench","goldfish"],"_type":"ClassLabel"},"family":{"names":["fish"],"_type":"ClassLabel"}}}`, names: plain[:2]},
		"config.json":         {text: `{"architectures":["X"],"id2label":{"0":"tench","1":"goldfish"},"label2id":{"tench":0,"goldfish":1},"image_size":299}`, names: plain[:2]},
		"class_to_idx":        {text: `{"epoch": 3, "class_to_idx": {"goldfish": 1, "tench": 0}}`, names: plain[:2]},
		"JSON lines":          {text: "{\"label\": 0, \"synset\": \"n01440764\"}\n{\"label\": 1, \"synset\": \"n01443537\"}\n", names: three[:2]},
		"JSON lines, strings": {text: "\"tench\"\n\"goldfish\"\n", names: plain[:2]},
		"JSON lines, lists":   {text: "[\"n01440764\",\"tench\"]\n[\"n01443537\",\"goldfish\"]\n", names: three[:2], words: [][]string{{"tench"}, {"goldfish"}}},
		"Python's dictionary": {text: "{0: 'tench, Tinca tinca',\n 1: 'goldfish',\n 2: \"potter's wheel\",}\n", names: []string{"tench, Tinca tinca", "goldfish", "potter's wheel"}},
		"Python's list":       {text: "['tench', 'jack-o\\'-lantern', \"caf\\u00e9\"]", names: []string{"tench", "jack-o'-lantern", "café"}},
		"escapes":             {text: `["\ud83d\ude00", "a\/b", "tab\there"]`, names: []string{"😀", "a/b", "tab\there"}},
		"a hash in quotes":    {text: "\"#1\"\n\"#2\"\n", names: []string{"#1", "#2"}},
		"number in quotes":    {text: "\"2 door\"\n\"4 wheeler\"\nlorry\n", names: []string{"2 door", "4 wheeler", "lorry"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Parse([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.names, l.Names); d != "" {
				t.Errorf("names (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.words, l.Words); d != "" {
				t.Errorf("words (-want +got):\n%s", d)
			}
			if l.First != c.first {
				t.Errorf("counts from %d, want %d", l.First, c.first)
			}
			if !strings.Contains(strings.Join(l.Notes, "\n"), c.note) {
				t.Errorf("notes %q lack %q", l.Notes, c.note)
			}
		})
	}
}

// TestRefused holds that what cannot be a list, or can be two, is refused by its
// line.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		line int
		want string
	}{
		"empty":                  {"", 0, "no classes"},
		"comments only":          {"# nothing\n\n", 0, "no classes"},
		"a heading only":         {"label\tsynset\n", 0, "no classes"},
		"twice":                  {"n01440764\nn01443537\n\nn01440764\n", 4, "appears twice, first at line 1"},
		"words twice":            {"crane\ntench\ncrane\n", 3, "a list of synsets keeps them apart"},
		"a gap":                  {"0 n01440764\n2 n01443537\n", 2, "number 2, and no class has 1"},
		"a number twice":         {"0: tench\n0: goldfish\n", 2, "number 0 appears twice, first at line 1"},
		"from 5":                 {"5,tench\n6,goldfish\n", 1, "smallest number is 5"},
		"numbers or names":       {"2 door\n4 wheeler\n", 1, "in quotes"},
		"not UTF-8":              {"tench\ncaf\xe9\n", 2, "not UTF-8"},
		"binary":                 {"PK\x03\x04\x00\x00", 1, "zero byte"},
		"several synsets":        {"n01440764, n01443537\n", 1, "several synsets"},
		"names on one line":      {"tench, goldfish, shark\n", 1, "a class a line"},
		"a program":              {"classes = [\n    \"tench\",\n    \"goldfish\",\n]\n", 1, "a program"},
		"a program's dictionary": {"X = {\n  'n01440764': 'tench',\n}\n", 1, "a program"},
		"markup":                 {"<ul>\n<li>tench</li>\n</ul>\n", 1, "markup"},
		"Markdown":               {"| 0 | tench |\n|---|---|\n", 1, "markup"},
		"WordNet's tree":         {"n00001740 n00001930\nn00001740 n00002137\n", 1, "several synsets"},
		"a synset in text":       {"the tench n01440764 here\nfish\n", 1, "within other text"},
		"two columns of names":   {"tench\tfish\nox\tmammal\n", 1, "no heading"},
		"a list of images":       {"filename,label\na.jpg,0\n", 1, "list of images"},
		"a list of images, bare": {"a.JPEG\nb.JPEG\n", 1, "list of images"},
		"JSON: empty":            {"[]", 0, "no classes"},
		"JSON: empty object":     {"{}", 1, "no classes"},
		"JSON: a gap":            {`{"0": "a", "2": "b"}`, 2, "number 2, and no class has 1"},
		"JSON: gap by lines":     {"{\"0\": \"a\",\n\"1\": \"b\",\n\"3\": \"c\"}", 3, "number 3, and no class has 2"},
		"JSON: a key twice":      {"{\"0\": \"a\",\n\"0\": \"b\"}", 2, `"0" appears twice`},
		"JSON: two of a number":  {`{"tench": 0, "goldfish": 0}`, 2, "appears twice"},
		"JSON: names twice":      {`["a","b","a"]`, 3, "first at class 1"},
		"JSON: no list":          {`{"epochs": "90", "model": "inception"}`, 1, "no list of classes is known"},
		"JSON: synsets unsorted": {`{"n01443537": "goldfish", "n01440764": "tench"}`, 1, "in no order"},
		"JSON: two lists":        {`{"fine": {"names":["a"],"_type":"ClassLabel"}, "coarse": {"names":["b"],"_type":"ClassLabel"}}`, 1, "2 lists"},
		"JSON: cut off":          {"[\"a\",\n\"b\"", 1, "not closed"},
		"JSON: numbers":          {"[0, 1, 2]", 1, "want a name"},
		"JSON: some numbered":    {`[["a"],[1,"b"]]`, 1, "some have none"},
		"JSON: nested":           {strings.Repeat("[", 1000), 1, "deep"},
		"table: no name":         {"label\tsynset\n0\t\n", 2, "neither a synset nor a name"},
		"table: fields":          {"label,name\n0,tench,fish\n", 2, "3 fields"},
		"table: one numbered":    {"label,name\n0,tench\n,goldfish\n", 3, "some have none"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Parse([]byte(c.text))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%v, %v: want an *Error", l, err)
			}
			if e.Line != c.line || !strings.Contains(e.Error(), c.want) {
				t.Errorf("%q at %d: want %q at %d", e, e.Line, c.want, c.line)
			}
		})
	}
}

// TestImageNet holds the built-in list to WordNet and to what is known of it.
func TestImageNet(t *testing.T) {
	l, ok := Builtin("imagenet-1k")
	if !ok {
		t.Fatal("it is not there")
	}
	if diff := cmp.Diff([]int{1000, 1000}, []int{len(l.Names), len(l.Words)}); diff != "" {
		t.Fatalf("names, words (-want +got):\n%s", diff)
	}
	if !slices.IsSorted(l.Names) {
		t.Error("not in ascending order")
	}
	for label, want := range map[int]string{0: "n01440764 tench", 134: "n02012849 crane", 517: "n03126707 crane", 638: "n03710637 maillot", 639: "n03710721 maillot", 999: "n15075141 toilet tissue"} {
		if got := l.Names[label] + " " + l.Words[label][0]; got != want {
			t.Errorf("label %d is %s, want %s", label, got, want)
		}
	}
	g := nativetest.WordNet(t)
	for i, name := range l.Names {
		id, err := wordnet.ParseID(name)
		s, ok := g.Synset(id)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", name, ok, err)
		}
		if d := cmp.Diff(s.Lemmas, l.Words[i]); d != "" {
			t.Errorf("%s (-WordNet +here):\n%s", name, d)
		}
	}
}

// wordsOfImageNet lists the built-in list's classes as others spell them.
func wordsOfImageNet(spell func(words []string) string) []string {
	l, _ := Builtin("imagenet-1k")
	var out []string
	for _, w := range l.Words {
		out = append(out, spell(w))
	}
	return out
}

// TestWordsOfImageNet holds that a list of its words in its order is ImageNet's,
// with crane and maillot apart, and that anything else is not.
func TestWordsOfImageNet(t *testing.T) {
	im, _ := Builtin("imagenet-1k")
	first := wordsOfImageNet(func(w []string) string { return w[0] })
	for name, lines := range map[string][]string{
		"whole":            wordsOfImageNet(func(w []string) string { return strings.Join(w, ", ") }),
		"first":            first,
		"underscores":      wordsOfImageNet(func(w []string) string { return strings.ReplaceAll(w[0], " ", "_") }),
		"last, lower case": wordsOfImageNet(func(w []string) string { return strings.ToLower(w[len(w)-1]) }),
	} {
		lines = slices.Clone(lines)
		if name == "whole" {
			lines[517] = "crane2" // one of two names must change where names must differ
		}
		l, err := Parse([]byte(strings.Join(lines, "\n")))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(im.Names, l.Names); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		l, err = Parse([]byte("background\n" + strings.Join(lines, "\n")))
		if err != nil {
			t.Fatalf("%s with a background: %v", name, err)
		}
		if d := cmp.Diff(append([]string{"background"}, im.Names...), l.Names); d != "" {
			t.Errorf("%s with a background (-want +got):\n%s", name, d)
		}
	}
	other := slices.Clone(first)
	other[134], other[517], other[638], other[639] = "a bird", "a machine", "a suit", "another suit"
	l, err := Parse([]byte(strings.Join(other, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if l.Names[0] != "tench" {
		t.Errorf("a list of other names begins with %s", l.Names[0])
	}
	if len(l.Notes) == 0 {
		t.Error("of a list that is nearly ImageNet's nothing is said")
	}
	other[134], other[517], other[638] = "crane", "crane", "a suit"
	if _, err := Parse([]byte(strings.Join(other, "\n"))); err == nil || !strings.Contains(err.Error(), "give imagenet-1k") {
		t.Errorf("nearly ImageNet's, and crane twice: %v", err)
	}
	slices.Reverse(first)
	if l, err := Parse([]byte(strings.Join(first, "\n"))); err == nil {
		t.Errorf("reversed words, of which two are there twice: %v", l.Names[:3])
	}
}

func mustParse(t *testing.T, text string) *List {
	t.Helper()
	l, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSynsets(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // nil: not ImageNet's
	}{
		"in order":        {"tench, Tinca tinca\ngoldfish, Carassius auratus", []string{"n01440764", "n01443537"}},
		"in any order":    {"goldfish, Carassius auratus\ntench, Tinca tinca", []string{"n01443537", "n01440764"}},
		"crane, a bird":   {"tench, Tinca tinca\ncrane\nice bear, polar bear, Ursus Maritimus, Thalarctos maritimus", []string{"n01440764", "n02012849", "n02134084"}},
		"shortened":       {"tench, Tinca tinca\ngreat white shark, white shark", []string{"n01440764", "n01484850"}},
		"of two":          {"tench, Tinca tinca\ntench, goldfish", nil},
		"some words":      {"tench, Tinca tinca\ngoldfish\ngreat white shark, white shark", []string{"n01440764", "n01443537", "n01484850"}},
		"maillots":        {"maillot\nmaillot, tank suit\nmailbag, postbag", []string{"n03710637", "n03710721", "n03709823"}},
		"of two classes":  {"tench, goldfish\nice bear, polar bear", nil},
		"one other":       {"tench, Tinca tinca\nmy dog", nil},
		"single words":    {"plunger\nhen", nil},
		"crane, in doubt": {"tench, Tinca tinca\ncrane", nil},
	} {
		l, err := mustParse(t, c.text).Synsets()
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: %v", name, l.Names)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(c.want, l.Names); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	whole := wordsOfImageNet(func(w []string) string { return strings.Join(w, ", ") })
	l, err := (&List{Names: whole}).Synsets()
	im, _ := Builtin("imagenet-1k")
	if err != nil || !slices.Equal(l.Names, im.Names) {
		t.Errorf("all words, crane twice: %v", err)
	}
}

func TestLabels(t *testing.T) {
	l := mustParse(t, "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n")
	bird := mustParse(t, "n02012849 crane\nn01440764 tench\n")
	names := mustParse(t, "tench\ngoldfish\n")
	digits := mustParse(t, "1\n0\n7\n")
	from1 := mustParse(t, "1 tench\n2 goldfish\n")
	for _, c := range []struct {
		list  *List
		label string
		want  int
		fails string
	}{
		{l, "0", 0, ""}, {l, "2", 2, ""}, {l, " 1 ", 1, ""}, {l, "-1", -1, ""},
		{l, "3", -1, "numbers 0 to 2"}, {l, "-2", -1, "numbers 0 to 2"},
		{l, "99999999999999999999", -1, "none of its"},
		{l, "n02012849", 1, ""}, {l, "tench", 0, ""}, {l, "Tinca_tinca", 0, ""}, {l, "tench, Tinca tinca", 0, ""},
		{l, "crane", -1, "n02012849 and n03126707"}, {l, "", -1, "none of its"}, {l, "n01443537", -1, "none of its"},
		{l, "1.0", -1, "none of its"},
		{bird, "n03126707", -1, "none of its"}, {bird, "n02012849", 0, ""}, {bird, "crane", 0, ""},
		{names, "n03126707", -1, "none of its"}, {names, "n01440764", 0, ""}, {mustParse(t, "n01440764\nn01443537"), "goldfish", 1, ""},
		{digits, "7", 2, ""}, {digits, "0", -1, "the number of"}, {digits, "2", 2, ""}, {digits, "9", -1, "numbers 0 to 2"},
		{from1, "1", 0, ""}, {from1, "2", 1, ""}, {from1, "0", -1, "numbers 1 to 2"},
	} {
		got, err := c.list.Text(c.label)
		var outside *NotInList
		if c.fails != "" {
			if !errors.As(err, &outside) || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%q: %v, want a *NotInList with %q", c.label, err, c.fails)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%q: %d, %v; want %d", c.label, got, err, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	im, _ := Builtin("imagenet-1k")
	synsets := mustParse(t, "n01440764\nn01443537\nn01484850\n")
	for name, c := range map[string]struct {
		a, b *List
		want Comparison
	}{
		"equal":     {synsets, mustParse(t, "n01440764 tench\nn01443537\nn01484850"), Comparison{Equal, -1, nil, nil}},
		"reordered": {synsets, mustParse(t, "n01440764\nn01484850\nn01443537"), Comparison{Reordered, 1, nil, nil}},
		"respelled": {synsets, mustParse(t, "tench\ngoldfish\ngreat_white_shark"), Comparison{Respelled, 0, nil, nil}},
		"the other way": {mustParse(t, "tench, Tinca tinca\nn01443537\nGreat White Shark"), synsets,
			Comparison{Respelled, 0, nil, nil}},
		"respelled and reordered": {synsets, mustParse(t, "goldfish\ntench\ngreat white shark"), Comparison{Reordered, 0, nil, nil}},
		"fewer":                   {synsets, mustParse(t, "n01440764\nn01443537"), Comparison{Different, 2, []string{"n01484850"}, nil}},
		"others":                  {synsets, mustParse(t, "n01440764\nn01443537\nn01491361"), Comparison{Different, 2, []string{"n01484850"}, []string{"n01491361"}}},
		"background":              {im, &List{Names: append([]string{"background"}, im.Names...)}, Comparison{Different, 0, nil, []string{"background"}}},
		"ImageNet in words":       {im, &List{Names: wordsOfImageNet(func(w []string) string { return strings.Join(w, ", ") })}, Comparison{Respelled, 0, nil, nil}},
	} {
		if d := cmp.Diff(c.want, Compare(c.a, c.b)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestRead reads files, directories and built-in lists.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	write("c.txt", "tench\ngoldfish\n")
	write("tiny/wnids.txt", "n02124075\nn01443537\n")
	write("tiny/words.txt", "n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\n")
	var all strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&all, "n%08d\tword\n", i)
	}
	write("words.txt", all.String())
	dataset := func(dir string) (*List, error) {
		if dir != "tiny" {
			return nil, ErrNotDataset
		}
		return New([]string{"a", "b"}, nil, dir)
	}
	for _, c := range []struct {
		path  string
		n     int
		fails string
	}{
		{"c.txt", 2, ""}, {"tiny/wnids.txt", 2, ""}, {"tiny", 2, ""}, {"imagenet-1k", 1000, ""}, {"builtin:imagenet-1k", 1000, ""},
		{"tiny/words.txt", 0, "the classes are in tiny/wnids.txt"}, {"words.txt", 0, "a dictionary"},
		{"none.txt", 0, "no such file"}, {".", 0, "not a dataset"}, {"builtin:x", 0, "no such class list"},
	} {
		l, err := Read(c.path, dataset)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v, want %q", c.path, err, c.fails)
			}
		} else if err != nil || len(l.Names) != c.n {
			t.Errorf("%s: %v, %v; want %d classes", c.path, l, err, c.n)
		}
	}
	write("imagenet-1k/README.md", "")
	if _, err := Read("imagenet-1k", dataset); err == nil || !strings.Contains(err.Error(), "builtin:imagenet-1k") {
		t.Errorf("a directory called as what is built in: %v", err)
	}
	if l, err := Read("builtin:imagenet-1k", dataset); err != nil || len(l.Names) != 1000 {
		t.Error(err)
	}
	if _, err := New([]string{"a", "a"}, nil, "x"); err == nil {
		t.Error("New took a name twice")
	}
}

// FuzzParse holds that any bytes are a list of different names, by which each
// class is found, or an *Error.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"n01440764 tench\n", "0: a\n1: b", "label\tsynset\n0\tn01440764", `{"0": ["n01440764", "tench"]}`, "{0: 'a',\n1: \"b\"}", "[\"a\", \"\\ud83d\\ude00\"]", "\ufeffa\r\nb", "\xff\xfea\x00", "a,\"b\n", "{\"names\":[\"a\"],\"_type\":\"ClassLabel\"}", "n02119789 1 kit_fox", "- a\n- b", "x 0\ny 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		if len(l.Names) == 0 || l.Words != nil && len(l.Words) != len(l.Names) || l.First < 0 || l.First > 1 {
			t.Fatalf("%+v", l)
		}
		for i, n := range l.Names {
			if at, ok := l.Index(n); !ok || at != i {
				t.Fatalf("%q is %d, found at %d", n, i, at)
			}
			if at, err := l.Number(int64(i + l.First)); err != nil || at != i {
				t.Fatalf("number %d: %d, %v", i, at, err)
			}
		}
		again, err := New(l.Names, l.Words, "")
		if err != nil || Compare(l, again).Relation != Equal {
			t.Fatalf("%v", err)
		}
	})
}

// TestByName takes a number for a place or a name as the list says, and refuses what may be both.
func TestByName(t *testing.T) {
	list, err := New([]string{"0", "10", "2"}, nil, "the list")
	if err != nil {
		t.Fatal(err)
	}
	var doubt *NotInList
	if at, err := list.Text("2"); err != nil || at != 2 {
		t.Errorf("2, of the number 2: %d, %v", at, err)
	}
	swapped := Kept([]string{"0", "2", "10"}, "the list")
	plain, err := New(swapped.Names, nil, "the list")
	if err != nil {
		t.Fatal(err)
	}
	want := `label "2": the list: it is the number of "10" and the name of number 1`
	if _, err := plain.Text("2"); !errors.As(err, &doubt) || !doubt.Several || err.Error() != want {
		t.Errorf("either: %v, want %s", err, want)
	}
	if at, err := plain.Text("1"); err != nil || at != 1 {
		t.Errorf("a number: %d, %v", at, err)
	}
	for _, l := range []*List{swapped, plain.ByName()} {
		if at, err := l.Text("2"); err != nil || at != 1 {
			t.Errorf("a name: %d, %v", at, err)
		}
		if at, err := l.Text("1"); err == nil {
			t.Errorf("a number for a name: %d", at)
		}
	}
}
