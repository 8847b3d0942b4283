package prediction

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRows: what goes by is what Read holds, of every format and as often as asked; jobs come in
// the order of their rows, and damage is found.
func TestRows(t *testing.T) {
	files, err := filepath.Glob("testdata/v1/predictions.*")
	if err != nil {
		t.Fatal(err)
	}
	all := func(r *Rows) (rows []Row, err error) {
		err = r.Each(func(i int, row *Row) error {
			if i != len(rows) {
				t.Errorf("row %d comes as number %d", i, len(rows))
			}
			rows = append(rows, *row)
			rows[i].Probabilities = append([]float32(nil), row.Probabilities...)
			return nil
		})
		return rows, err
	}
	for _, file := range files {
		if filepath.Ext(file) == ".json" {
			continue
		}
		set, err := Read(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := all(set.Rows())
		if err != nil || len(want) != set.Len() {
			t.Fatalf("%s: %d rows, %v", file, len(want), err)
		}
		r, err := OpenRows([]string{file}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := all(r)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s (-held +gone through): %v\n%s", file, err, diff)
			}
		}
	}
	b, err := os.ReadFile("testdata/v1/predictions.arrow")
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	damaged := filepath.Join(t.TempDir(), "damaged.arrow")
	if err := os.WriteFile(damaged, b, 0o666); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRows([]string{damaged}, nil)
	if err == nil {
		_, err = all(r)
	}
	if !errors.Is(err, ErrFormat) {
		t.Errorf("a damaged file: %v", err)
	}
	if _, err := OpenRows(files[:2], nil); !errors.Is(err, ErrJobs) {
		t.Errorf("two files that are no jobs: %v", err)
	}
}

// TestContradictions: rows that say two things of one are no sound predictions, in text and in
// columns.
func TestContradictions(t *testing.T) {
	classes := []string{"ant", "bee", "cat", "dog"}
	const head = "path,label,synset,pred_label_1,pred_label_2,pred_synset_1,pred_synset_2,pred_prob_1,pred_prob_2,error\n"
	for text, want := range map[string]string{
		"a.jpg,1,bee,1,0,bee,ant,0.6,0.3,":                                   "",
		"a.jpg,1,bee,1,0,bee,ant,0.4,0.4005,":                                "", // rounded
		"a.jpg,1,Biene,1,0,Biene,Ameise,0.6,0.3,":                            "", // translated
		"a.jpg,,wasp,1,0,bee,ant,0.6,0.3,":                                   "", // no class of the model
		"a.jpg,1,bee,,,,,,,broken":                                           "",
		"a.jpg,1,cat,1,0,bee,ant,0.6,0.3,":                                   "label 1 of the classes given is class bee, and synset says cat",
		"a.jpg,1,bee,1,0,bee,ant,0.6,0.3,\nb.jpg,1,bee,1,0,dog,ant,0.6,0.3,": "row 1: pred_label 1 of the classes given is class bee, and pred_synset says dog",
		"a.jpg,1,bee,1,0,bee,cat,0.6,0.3,":                                   "row 0: pred_label 0 of the classes given is class ant, and pred_synset says cat",
		"a.jpg,1,bee,1,1,bee,bee,0.6,0.3,":                                   "row 0 predicts class 1 (bee) twice",
		"a.jpg,1,bee,1,0,bee,ant,0.3,0.6,":                                   "row 0: pred_prob 0.6 comes after 0.3",
		"a.jpg,1,ant,,,,,,,broken":                                           "label 1 of the classes given is class bee, and synset says ant",
	} {
		_, err := ReadFrom(strings.NewReader(head+text+"\n"), classes)
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	line := `{"path":"a","label":1,"synset":"bee","pred_label":[1,0],"pred_synset":["bee","dog"],"pred_prob":[0.6,0.3]}`
	if _, err := ReadFrom(strings.NewReader(line), classes); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "pred_synset says dog") {
		t.Errorf("NDJSON: %v", err)
	}
	b, err := os.ReadFile("testdata/v1/predictions.parquet")
	if err != nil {
		t.Fatal(err)
	}
	set, err := ReadFrom(bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := filling{Set: &Set{Classes: set.Classes}}
	err = readColumnsOf(t, b, func(p predicted) error {
		if len(p.names) == 0 && len(p.labels) > 0 || p.label >= 0 && p.synset == "" {
			t.Errorf("%s: names %q, synset %q", p.path, p.names, p.synset)
		}
		if p.label >= 0 {
			p.synset = set.Classes[(p.label+1)%int64(len(set.Classes))]
		}
		return other.add(p)
	})
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "and synset says") {
		t.Errorf("columns: %v", err)
	}
}

func TestRepeated(t *testing.T) {
	long := make([]int64, 40)
	for i := range long {
		long[i] = int64(40 - i)
	}
	for _, list := range [][]int64{nil, {1}, {2, 1}, long} {
		if v, twice := repeated(list); twice {
			t.Errorf("%v has %d twice", list, v)
		}
	}
	if v, twice := repeated([]int64{3, 1, 3}); !twice || v != 3 {
		t.Errorf("%d %v", v, twice)
	}
	if v, twice := repeated(append(long, 17)); !twice || v != 17 {
		t.Errorf("of many: %d %v", v, twice)
	}
}

func readColumnsOf(t *testing.T, b []byte, keep func(predicted) error) error {
	t.Helper()
	table, err := openTable(bytes.NewReader(b), int64(len(b)), Parquet)
	if err != nil {
		t.Fatal(err)
	}
	return readTable(table, false, keep)
}
