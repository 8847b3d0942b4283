package prediction

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
)

// TestBrowse: a browser gives, in passing and one by one, the rows that Read gives.
func TestBrowse(t *testing.T) {
	files, err := filepath.Glob("testdata/v1/predictions.*")
	if err != nil {
		t.Fatal(err)
	}
	resaved, err := filepath.Glob("testdata/resaved/*")
	if err != nil {
		t.Fatal(err)
	}
	browsed := 0
	for _, path := range append(files, resaved...) {
		want, err := Read(path, nil)
		if errors.Is(err, ErrFormat) {
			continue // a sidecar, or one that needs classes
		}
		if err != nil {
			t.Fatal(err)
		}
		browsed++
		var passed []Row
		b, err := browse(path, func(i int, r *Row) error {
			if i != len(passed) {
				t.Errorf("%s: row %d comes as %d", path, len(passed), i)
			}
			own := *r
			own.Top, own.Prob = slices.Clone(r.Top), slices.Clone(r.Prob)
			passed = append(passed, own)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		got := &Set{Classes: b.Classes, K: b.K, All: want.All}
		for i := range b.Len() {
			r, err := b.Row(i)
			if err != nil {
				t.Fatal(err)
			}
			got.Paths, got.Truth, got.Failed = append(got.Paths, r.Path), append(got.Truth, int32(r.Label)), append(got.Failed, r.Top == nil)
			if r.Error != "" {
				got.fail(i, r.Error)
			}
			for j := range b.K {
				class, share := int32(-1), float32(0)
				if r.Top != nil {
					class, share = int32(r.Top[j]), r.Prob[j]
				}
				got.Top, got.Prob = append(got.Top, class), append(got.Prob, share)
			}
			if d := gocmp.Diff(passed[i], r); d != "" {
				t.Errorf("%s: row %d (-in passing +by number):\n%s", path, i, d)
			}
		}
		numbers := []int{b.Len() - 1, 0, b.Len() / 2, 0}
		rows, err := b.Rows(numbers)
		if err != nil {
			t.Fatal(err)
		}
		for k, i := range numbers {
			if d := gocmp.Diff(passed[i], rows[k]); d != "" {
				t.Errorf("%s: row %d of several (-in passing +by number):\n%s", path, i, d)
			}
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("%s (-read +browsed):\n%s", path, d)
		}
	}
	if browsed < 5 {
		t.Errorf("only %d files were read", browsed)
	}
}

// TestBrowseEmbeddings: embeddings come with the rows they are of, as they were written.
func TestBrowseEmbeddings(t *testing.T) {
	want := map[int][]float32{}
	b, err := browse("testdata/v1/predictions.arrow", nothing)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Width == 0 {
		t.Fatal("the fixture has no embeddings")
	}
	rec, err := openArrowFile("testdata/v1/predictions.arrow")
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	failed := 0
	for g := range b.Groups() {
		if err := b.Embeddings(g, func(i int, v []float32) error {
			if b.GroupOf(i) != g {
				t.Errorf("row %d is not of group %d", i, g)
			}
			want[i] = append([]float32(nil), v...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range b.Len() {
		r, err := b.Row(i)
		if err != nil {
			t.Fatal(err)
		}
		if r.Top == nil {
			failed++
		}
		if (r.Top == nil) != (want[i] == nil) || want[i] != nil && len(want[i]) != b.Width {
			t.Errorf("row %d: %d numbers of an embedding; failed: %v", i, len(want[i]), r.Top == nil)
		}
	}
	if failed == 0 || failed == b.Len() {
		t.Errorf("%d of %d rows of the fixture failed", failed, b.Len())
	}
}

// TestEmbeddingsOf: the embeddings of some rows are those of all, whether they can be read one by one or not.
func TestEmbeddingsOf(t *testing.T) {
	apart := map[bool]int{}
	files, err := filepath.Glob("testdata/resaved/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, "testdata/v1/predictions.arrow", "testdata/v1/predictions.arrows", "testdata/v1/predictions.parquet") {
		b, err := browse(path, nothing)
		if errors.Is(err, ErrFormat) {
			continue // text, which needs classes
		}
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if b.Width == 0 {
			continue
		}
		apart[b.Apart]++
		all := map[int][]float32{}
		for g := range b.Groups() {
			if err := b.Embeddings(g, func(i int, v []float32) error { all[i] = slices.Clone(v); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for step := 1; step <= b.Len(); step++ {
			var rows []int
			want, got := map[int][]float32{}, map[int][]float32{}
			for i := step - 1; i < b.Len(); i += step {
				rows = append(rows, i)
				if all[i] != nil {
					want[i] = all[i]
				}
			}
			if err := b.EmbeddingsOf(rows, func(i int, v []float32) error { got[i] = slices.Clone(v); return nil }); err != nil {
				t.Fatal(err)
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Errorf("%s: every %d (-all +some):\n%s", path, step, d)
			}
		}
	}
	if apart[true] < 2 || apart[false] < 2 {
		t.Errorf("%d files whose embeddings can be read one by one, %d others", apart[true], apart[false])
	}
}

// TestSmallHalves: numbers below the least normal float16 come back as what they are, whatever the format.
func TestSmallHalves(t *testing.T) {
	want := []float32{0x1p-24, -3 * 0x1p-20, 0x1p-15, 0, 1}
	row := Row{Path: "p", Label: -1, Top: []int{0}, Prob: []float32{1}, Embedding: want}
	for _, format := range []Format{Arrow, Parquet, NDJSON} {
		path := filepath.Join(t.TempDir(), "p")
		out, err := Begin(OutputOptions{Path: path, Format: format, Columns: Columns{TopK: 1, Embedding: "fp16", Width: len(want)},
			Header: Header{BatchRows: 1, Identity: Identity{Model: "m", Backend: "b", Input: "i", Spec: model.Spec{Model: "m", Width: 1, InputSize: 8, Resize: 8,
				Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"c"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if err := errors.Join(out.Write(Chunk{To: 1}, []Row{row}), out.Join([]Chunk{{To: 1}})); err != nil {
			t.Fatal(err)
		}
		if format == NDJSON {
			if b, err := os.ReadFile(path); err != nil || !bytes.Contains(b, []byte("[5.9605e-08,-2.861e-06,3.0518e-05,0,1]")) {
				t.Errorf("%s, %v", b, err)
			}
			continue
		}
		b, err := browse(path, nothing)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		var got []float32
		if err := b.EmbeddingsOf([]int{0}, func(_ int, v []float32) error { got = slices.Clone(v); return nil }); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v: %v", format, got, want, err)
		}
	}
}

// TestBrowseDamaged: a flipped bit is found before a row is believed.
func TestBrowseDamaged(t *testing.T) {
	sound, err := os.ReadFile("testdata/v1/predictions.arrow")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "p.arrow")
	found, step := 0, 61
	if raced.Enabled {
		step *= 7 // what reads is started the same way each time
	}
	for at := 16; at < len(sound)-16; at += step {
		b := append([]byte(nil), sound...)
		b[at] ^= 2
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		_, readErr := Read(path, nil)
		p, err := browse(path, nothing)
		if (readErr == nil) != (err == nil) {
			t.Errorf("byte %d flipped: Read says %v, Browse %v", at, readErr, err)
		}
		if err == nil {
			p.Close()
		} else {
			found++
		}
	}
	if found == 0 {
		t.Error("no damage was found")
	}
}

// TestBrowseEnds: what is no longer wanted is not read on, nor what is refused of a row.
func TestBrowseEnds(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	refused := errors.New("refused")
	for _, path := range []string{"testdata/v1/predictions.arrow", "testdata/v1/predictions.parquet", "testdata/v1/predictions.csv"} {
		for _, c := range []struct {
			ctx  context.Context
			want error
		}{{gone, context.Canceled}, {t.Context(), refused}} {
			b, err := Browse(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Scan(c.ctx, func(int, *Row) error { return refused }); !errors.Is(err, c.want) || errors.Is(err, ErrFormat) {
				t.Errorf("%s: %v, want %v", path, err, c.want)
			}
			b.Close()
		}
	}
}

// browse opens a file and goes through it.
func browse(path string, each func(int, *Row) error) (*Browser, error) {
	b, err := Browse(path, nil)
	if err != nil {
		return nil, err
	}
	if err := b.Scan(context.Background(), each); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func nothing(int, *Row) error { return nil }
