package prediction

import (
	"errors"
	"os"
	"path/filepath"
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
