package labelfile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/source"
)

// manyStars is a card whose one pattern has a great many ways to fit nothing.
var manyStars = "---\nconfigs:\n- data_files: '" + strings.Repeat("**/", 30) + "x'\n---\n"

// TestPatternsEnd: a pattern of many ** is held against a deep path in a moment.
func TestPatternsEnd(t *testing.T) {
	placed(t, []byte(manyStars), strings.Repeat("a/", 60)+"y")
}

func placed(t *testing.T, text []byte, file string) {
	t.Helper()
	began := time.Now()
	card, err := ParseCard(text)
	if err == nil {
		split, listed, named := card.SplitOf(file)
		if split != "" && !listed || listed && !named || card == nil && named {
			t.Errorf("%q is of %q: listed %v, named %v", file, split, listed, named)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a card of %d bytes places a file in %v", len(text), took)
	}
}

// FuzzCard: a dataset card is an error, or says of any file in a moment whether it is listed.
func FuzzCard(f *testing.F) {
	f.Add([]byte("---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: [data/train-*, 'x/**/y.parquet']\n- config_name: b\n---\ntext"), "data/train-0.parquet")
	f.Add([]byte("---\nconfigs:\n- data_files: \"[\"\n---\n"), "[")
	f.Add([]byte(manyStars[:60]+"'\n---\n"), "a/b/c/d/e")
	f.Add([]byte("---\n\"configs\": !x {}\n---\n"), "")
	f.Fuzz(func(t *testing.T, text []byte, file string) { placed(t, text, file) })
}

// FuzzSample: the files of labels of a sample are errors, or say a label, and the same one in
// whichever order they come.
func FuzzSample(f *testing.F) {
	f.Add([]byte("3"), []byte(`{"label": 3, "synset": "n01751748"}`))
	f.Add([]byte("tench"), []byte(`{"wnid": "", "cls": "3", "sha256": "x", "path": "a"}`))
	f.Add([]byte("1.0"), []byte(`{"label": 1e0}`))
	f.Add([]byte("4"), []byte(`{"label": 3} and more`))
	f.Add([]byte(" \n"), []byte(`{"class": [1]}`))
	f.Fuzz(func(t *testing.T, cls, text []byte) {
		var a, b Sample
		errA := firstOf(a.Add("cls", cls), func() error { return a.Add("json", text) })
		errB := firstOf(b.Add("json", text), func() error { return b.Add("cls", cls) })
		if (errA == nil) != (errB == nil) {
			t.Fatalf("%v, and %v in the other order", errA, errB)
		}
		if errA != nil {
			return
		}
		if diff := cmp.Diff(fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b)); diff != "" {
			t.Errorf("in the other order (-cls first +json first):\n%s", diff)
		}
		if a.Label.Kind == source.NameLabel && a.Label.Name == "" {
			t.Error("a label without a name")
		}
	})
}

func firstOf(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// FuzzMetadata: a metadata file beside images is an error, or a table with a value of each
// column for each path.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte("file_name,label,weight\na.jpg,pug,1\nb.jpg,,2\n"), uint8(0))
	f.Add([]byte(`{"file_name": "a.jpg", "label": {"x": 1}}`+"\n"+`{"file_name": "b.jpg"}`), uint8(1))
	f.Add([]byte("label\n1\n"), uint8(0))
	f.Fuzz(func(t *testing.T, text []byte, which uint8) {
		table, err := Metadata([]string{"metadata.csv", "metadata.jsonl", "metadata.parquet"}[which%3], text)
		if err != nil {
			return
		}
		for _, c := range append(table.Columns, table.Others...) {
			if len(c.Rows) != len(table.Paths) {
				t.Errorf("column %q: %d rows of %d paths", c.Name, len(c.Rows), len(table.Paths))
			}
			for _, r := range c.Rows {
				if r < 0 || int(r) >= len(c.Values) {
					t.Fatalf("column %q: value %d of %d", c.Name, r, len(c.Values))
				}
			}
		}
	})
}
