package layout

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
)

// column makes a column of a file of rows, of values between blanks; "-" is none.
func column(name, classNames, values string) source.Column {
	c := source.Column{Name: name}
	if classNames != "" {
		c.ClassNames = strings.Fields(classNames)
	}
	for _, v := range strings.Fields(values) {
		l := source.ParseLabel(strings.TrimPrefix(v, "-"))
		if v == "-1" {
			l = source.ParseLabel(v)
		}
		at := slices.Index(c.Values, l)
		if at < 0 {
			at = len(c.Values)
			c.Values = append(c.Values, l)
		}
		c.Rows = append(c.Rows, int32(at))
	}
	return c
}

// TestMetadataNames holds that the numbers of a metadata.parquet are the classes that its schema
// names, in that order, and places in a list that is given are by these names.
func TestMetadataNames(t *testing.T) {
	b, err := os.ReadFile("labelfile/testdata/metadata.parquet")
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Info: source.Info{Kind: source.Folder, Path: "/d", Given: "/d"}}
	for _, name := range []string{"a.jpg", "b.jpg", "d.jpg", "metadata.parquet"} {
		in.Entries = append(in.Entries, source.Entry{Name: name, Size: 1})
	}
	given, err := classlist.New([]string{"collie", "beagle", "pug"}, nil, "list.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    Options
		want []string // the classes, and the label of each image
	}{
		{Options{}, []string{"pug collie beagle", "a.jpg 1", "b.jpg 0", "d.jpg 1"}},
		{Options{Classes: given}, []string{"collie beagle pug", "a.jpg 0", "b.jpg 2", "d.jpg 0"}},
	} {
		c.o.Read = func(source.Entry) ([]byte, error) { return b, nil }
		p, err := Make([]Input{in}, c.o)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{strings.Join(p.Classes, " ")}
		for _, im := range p.Splits[0].Images {
			got = append(got, fmt.Sprint(im.Name, " ", im.Class))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

// TestColumns holds that of several columns the one with names is the class and the
// one with numbers the order, and that columns that differ are refused.
func TestColumns(t *testing.T) {
	for name, c := range map[string]struct {
		columns []source.Column
		layout  string
		classes string // by label
		images  string // the class of each row
		fails   string
	}{
		"our own export":       {columns: []source.Column{column("synset", "", "b a - b"), column("label", "b a c", "0 1 -1 0")}, classes: "b a c", images: "b a b"},
		"numbers beside names": {columns: []source.Column{column("label", "", "1 0 1"), column("synset", "", "a b a")}, classes: "b a", images: "a b a"},
		"words beside synsets": {columns: []source.Column{column("synset", "", "n2 n1"), column("label", "dog cat", "0 1")}, classes: "n2 n1", images: "n2 n1"},
		"one is empty":         {columns: []source.Column{column("synset", "", "- - -"), column("label", "a b", "1 0 -1")}, classes: "a b", images: "b a"},
		"fine and coarse":      {columns: []source.Column{column("fine_label", "cat dog ox", "0 1 2"), column("coarse_label", "pet cattle", "0 0 1")}, fails: "column=coarse_label"},
		"coarse, asked for":    {columns: []source.Column{column("fine_label", "cat dog ox", "0 1 2"), column("coarse_label", "pet cattle", "0 0 1")}, layout: "column=coarse_label", classes: "pet cattle", images: "pet pet cattle"},
		"asked for another":    {columns: []source.Column{column("label", "cat dog", "0 1")}, layout: "column=x", fails: "no column x"},
		"numbers, two names":   {columns: []source.Column{column("label", "", "0 0"), column("synset", "", "a b")}, fails: "different classes"},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{Info: source.Info{Kind: source.Parquet, Path: "/d/x.parquet", Columns: c.columns, LabelColumn: c.columns[0].Name}}
			for range c.columns[0].Rows {
				in.Entries = append(in.Entries, source.Entry{Name: "a.jpg"})
			}
			p, err := Make([]Input{in}, Options{Layout: c.layout})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("%v, want %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var images []string
			for _, im := range p.Splits[0].Images {
				if im.Class < 0 {
					images = append(images, "-")
				} else {
					images = append(images, p.Classes[im.Class])
				}
			}
			if d := cmp.Diff([]string{c.classes, c.images}, []string{strings.Join(p.Classes, " "), strings.Join(images, " ")}); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	imagenet(t)
	in := Input{Info: source.Info{Kind: source.Folder, Path: "/d"}, Entries: []source.Entry{{Name: "cat/a.jpg"}}}
	var none *NoEffect
	if _, err := Make([]Input{in}, Options{Layout: "column=label"}); !errors.As(err, &none) {
		t.Errorf("a column of a folder: %v", err)
	}
}

// imagenet holds that the words by which Hugging Face calls ImageNet's classes are its
// synsets under the same labels, in the file's own order, and with the built-in list given.
func imagenet(t *testing.T) {
	t.Helper()
	im, _ := classlist.Builtin("imagenet-1k")
	var names []string
	for _, w := range im.Words {
		names = append(names, strings.Join(w, ", "))
	}
	names[517] = "crane2" // names of a ClassLabel differ
	for _, given := range []*classlist.List{nil, im} {
		in := Input{Info: source.Info{Kind: source.Parquet, Path: "/d/train-0.parquet", ClassNames: names}}
		for _, label := range []int64{0, 134, 517, 638, 639, 999, -1} {
			in.Entries = append(in.Entries, source.Entry{Name: "x.JPEG", Label: source.Label{Kind: source.NumberLabel, Number: label}})
		}
		p, err := Make([]Input{in}, Options{Classes: given})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(im.Names, p.Classes); d != "" {
			t.Errorf("classes (-imagenet-1k +got):\n%s", d)
		}
		for i, im := range p.Splits[0].Images {
			if int64(im.Class) != in.Entries[i].Label.Number {
				t.Errorf("label %d became %d", in.Entries[i].Label.Number, im.Class)
			}
		}
	}
}
