package layout

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/source"
)

// TestSplitColumn holds that a column that says each row's split is obeyed, whatever its
// usual name, that a word for no split leaves an image out, and that a flag against it
// is refused.
func TestSplitColumn(t *testing.T) {
	for name, c := range map[string]struct {
		kind   source.Kind
		splits source.Column
		split  string // --as-split
		want   string // split=rows ...
		fails  string
	}{
		"words":             {source.List, column("split", "", "train Valid test train"), "", "test=1 train=2 val=1", ""},
		"of Parquet":        {source.Parquet, column("Data Set", "", "train train test test"), "", "test=2 train=2", ""},
		"as a ClassLabel":   {source.Parquet, column("split", "train validation", "0 1 1 0"), "", "train=2 val=2", ""},
		"whether it is val": {source.List, column("is_valid", "", "False True False True"), "", "train=2 val=2", ""},
		"not for training":  {source.List, column("is_training_image", "", "1 0 1 0"), "", `train=2 left out=2: the column is_training_image says "0", which is none of train, val, test`, ""},
		"numbers":           {source.List, column("is_test", "", "0 1 0 0"), "", "test=1 train=3", ""},
		"not all say one":   {source.List, column("split", "", "val - - -"), "", "train=3 val=1", ""},
		"another word":      {source.List, column("split", "", "train val extra extra"), "", `train=1 val=1 left out=2: the column split says "extra", which is none of train, val, test`, ""},
		"no split at all":   {source.List, column("subset", "", "red blue red blue"), "", "train=4", ""},
		"against a flag":    {source.List, column("split", "", "train val train val"), "val", "", "splits of its own: train, val"},
	} {
		t.Run(name, func(t *testing.T) {
			label := column("label", "", "a b a b")
			in := Input{Info: source.Info{Kind: c.kind, Path: "/d/x.csv", Columns: []source.Column{label}, LabelColumn: "label", Splits: []source.Column{c.splits}}}
			for k := range label.Rows {
				in.Entries = append(in.Entries, source.Entry{Name: fmt.Sprintf("%d.jpg", k)})
			}
			p, err := Make([]Input{in}, Options{Split: c.split})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, want one of %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range p.Splits {
				got = append(got, fmt.Sprintf("%s=%d", s.Name, len(s.Images)))
			}
			for _, s := range p.Skipped {
				got = append(got, fmt.Sprintf("left out=%d: %s", s.Count, s.Reason))
			}
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestSplitListsUnread holds that lists of splits beside images are told of where
// all images came to be of one split, and not where directories say the splits.
func TestSplitListsUnread(t *testing.T) {
	for name, c := range map[string]struct {
		files string
		want  string
	}{
		"CUB-200":  {"images/1.a/x.jpg images/2.b/y.jpg train_test_split.txt classes.txt", "train_test_split.txt"},
		"Food-101": {"images/a/x.jpg images/b/y.jpg meta/test.json meta/classes.txt", "meta/test.json"},
		"Places":   {"train/a/x.jpg val/a/y.jpg train.txt val.txt", ""},
		"notes":    {"a/x.jpg b/y.jpg test_results.txt train.py README.txt", ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{Info: source.Info{Kind: source.Folder, Path: "/d"}}
			for f := range strings.FieldsSeq(c.files) {
				in.Entries = append(in.Entries, source.Entry{Name: f})
			}
			p, err := Make([]Input{in}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, n := range p.Notes {
				if _, after, ok := strings.Cut(n, "all images are of train: "); ok {
					got, _, _ = strings.Cut(after, " may list")
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d, p.Notes)
			}
		})
	}
}
