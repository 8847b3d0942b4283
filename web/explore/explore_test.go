package explore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/wordnet"
)

// A graph in which two ways lead to the leaf 5, and 3 is a class above others:
// 1 -> 2 -> 4, 5; 1 -> 3 -> 5, 6; 7 has no images.
var edges = map[int][]int{2: {1}, 3: {1}, 4: {2}, 5: {2, 3}, 6: {3}, 7: {3}}

func id(n int) string { return fmt.Sprintf("n%08d", n) }

func graph(t testing.TB) *wordnet.Graph {
	t.Helper()
	var b strings.Builder
	for n := 1; n <= 7; n++ {
		fmt.Fprintf(&b, "%08d 03 n 01 word%d 0 %03d", n, n, len(edges[n]))
		for _, up := range edges[n] {
			fmt.Fprintf(&b, " @ %08d n 0000", up)
		}
		fmt.Fprintf(&b, " | gloss %d\n", n)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data.noun"), []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	g, err := wordnet.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// classes of the dataset and of the model; the last is no synset.
var classes = []string{id(3), id(4), id(5), id(6), "odd one"}

func image(t testing.TB, path string, label int) *shard.Image {
	t.Helper()
	b, err := pixel.EncodeJPEG(16, 16, bytes.Repeat([]byte{byte(40 * (label + 1))}, 16*16*3), 90)
	if err != nil {
		t.Fatal(err)
	}
	im := &shard.Image{Bytes: b, Row: shard.Row{Path: path, Label: int64(label), Width: 16, Height: 16, Format: "JPEG", Mode: "RGB"}}
	if label >= 0 {
		im.Synset = classes[label]
	}
	return im
}

// open makes a dataset: train has n images of class n and more without a class; val has two
// of each, in turns.
func open(t testing.TB, g *wordnet.Graph) (*Explorer, *shard.Dataset) {
	t.Helper()
	var train, val []*shard.Image
	for label := range classes {
		for k := range label + 1 {
			train = append(train, image(t, fmt.Sprintf("%d-%d.jpg", label, k), label))
		}
	}
	for k := range 2 {
		for label := range classes {
			val = append(val, image(t, fmt.Sprintf("val-%d%d.jpg", k, label), label))
		}
	}
	val = append(val, image(t, "val-none.jpg", -1))
	dir := t.TempDir()
	shardtest.Write(t, dir, classes, shardtest.Split{Name: "train", BySynset: true, Images: train}, shardtest.Split{Name: "val", Images: val})
	set := shardtest.Open(t, dir)
	e, err := Open(set, g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e, set
}

// TestCounts holds counts and pages to what going through all rows gives.
func TestCounts(t *testing.T) {
	g := graph(t)
	e, set := open(t, g)
	for n := 1; n <= 7; n++ {
		key, images, own, bytes := id(n), []Ref(nil), 0, int64(0)
		for _, name := range set.Splits() {
			split, err := set.Split(name)
			if err != nil {
				t.Fatal(err)
			}
			for row := range split.Len() {
				at, err := wordnet.ParseID(split.Synset(row))
				if err != nil || !g.IsA(at, wordnet.ID(n)) {
					continue
				}
				images = append(images, Ref{name, row})
				bytes += split.Row(row).Length
				if int(at) == n {
					own++
				}
			}
		}
		node, ok := e.Node(key)
		if !ok {
			t.Fatalf("no %s", key)
		}
		if d := gocmp.Diff([]int64{int64(len(images)), bytes, int64(own)}, []int64{node.Below.Images, node.Below.Bytes, node.Own.Images}); d != "" {
			t.Errorf("%s (-counted +node):\n%s", key, d)
		}
		var paged []Ref
		for from := 0; ; from += 3 {
			page, total, err := e.Images(key, "", true, from, 3)
			if err != nil || total != len(images) {
				t.Fatalf("%s: %d images, want %d: %v", key, total, len(images), err)
			}
			for _, im := range page {
				paged = append(paged, im.Ref)
				if got, err := e.Image(im.Ref); err != nil || gocmp.Diff(im, got) != "" {
					t.Errorf("%v: %v %s", im.Ref, err, gocmp.Diff(im, got))
				}
			}
			if len(page) == 0 {
				break
			}
		}
		byPlace := func(a, b Ref) int {
			return strings.Compare(fmt.Sprintf("%s %09d", a.Split, a.Row), fmt.Sprintf("%s %09d", b.Split, b.Row))
		}
		slices.SortFunc(paged, byPlace)
		if d := gocmp.Diff(images, paged); d != "" {
			t.Errorf("%s: pages (-rows +pages):\n%s", key, d)
		}
	}
	roots, _ := e.Children("")
	var keys []string
	for _, n := range roots {
		keys = append(keys, n.Key)
	}
	if d := gocmp.Diff([]string{id(1), "class-4", Unlabelled}, keys); d != "" {
		t.Errorf("roots: %s", d)
	}
	if below, without := e.Children(id(3)); len(below) != 2 || without != 1 {
		t.Errorf("below 3: %d with images, %d without", len(below), without)
	}
	if d := gocmp.Diff(2, len(e.Paths(id(5)))); d != "" {
		t.Errorf("ways to 5: %s", d)
	}
}

// TestBeside walks through all images of a class by its neighbours, there and back.
func TestBeside(t *testing.T) {
	e, _ := open(t, graph(t))
	images, total, err := e.Images(id(6), "val", false, 0, 10)
	if err != nil || total != 2 {
		t.Fatal(total, err)
	}
	type beside struct {
		Before, After *Ref
		Number, Of    int
	}
	for i, want := range []beside{{nil, &images[1].Ref, 0, 2}, {&images[0].Ref, nil, 1, 2}} {
		var got beside
		got.Before, got.After, got.Number, got.Of = e.Beside(&images[i])
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("image %d (-want +got):\n%s", i, diff)
		}
	}
}

// unmet is a class of the model that is no truth and no prediction.
const unmet = "n99999998"

// predict writes predictions of the split: class k of the truth is taken for k+1 in the
// second of each two images. input is what infer would have called them.
func predict(t *testing.T, set *shard.Dataset, input string, order func(n int) []int) string {
	t.Helper()
	split, err := set.Split("val")
	if err != nil {
		t.Fatal(err)
	}
	var rows []prediction.Row
	for _, i := range order(split.Len()) {
		r := split.Row(i)
		row := prediction.Row{Path: r.Path, Synset: r.Synset, Label: r.Label, Error: "gone"}
		if r.Path != "val-04.jpg" { // that one failed
			top := int(max(r.Label, 0))
			if strings.HasPrefix(r.Path, "val-1") {
				top = (top + 1) % len(classes)
			}
			angle := float64(i) / 10
			row.Error, row.Top, row.Prob = "", []int{top, (top + 1) % len(classes)}, []float32{0.5 + float32(i)/100, 0.1}
			row.Embedding = []float32{float32(math.Cos(angle)), float32(math.Sin(angle))}
		}
		rows = append(rows, row)
	}
	o := prediction.OutputOptions{Path: filepath.Join(t.TempDir(), "p.arrow"), Format: prediction.Arrow,
		Header: prediction.Header{BatchRows: 4, Identity: prediction.Identity{Model: "m", Backend: "b", Input: input,
			Spec: model.Spec{Model: "m", Width: 1, InputSize: 8, Resize: 8, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: append(slices.Clone(classes), unmet)}}},
		Columns: prediction.Columns{TopK: 2, Embedding: "fp32", Width: 2}}
	out, err := prediction.Begin(o)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var chunks []prediction.Chunk
	for from := 0; from < len(rows); from += 4 {
		c := prediction.Chunk{Number: len(chunks), From: from, To: min(from+4, len(rows))}
		if err := out.Write(c, rows[c.From:c.To]); err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, c)
	}
	if err := out.Join(chunks); err != nil {
		t.Fatal(err)
	}
	return o.Path
}

func inOrder(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func backwards(n int) []int {
	out := inOrder(n)
	slices.Reverse(out)
	return out[:n-1] // and not all
}

// read opens predictions and reads them; they are there then, and not before.
func read(t testing.TB, e *Explorer, path string) *Predictions {
	t.Helper()
	p, err := e.OpenPredictions(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, reading := e.Reading(); !reading || e.Predictions() != nil {
		t.Errorf("%v, they are being read: %v", e.Predictions(), reading)
	}
	if err := p.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, reading := e.Reading(); reading || e.Predictions() != p {
		t.Errorf("%v, they are still being read: %v", e.Predictions(), reading)
	}
	return p
}

// TestPredictions: rows are joined to their images by what infer said of its input, or by
// name whatever their order; figures, mistakes and the matrix are those of counting rows.
func TestPredictions(t *testing.T) {
	for name, order := range map[string]func(int) []int{"in order": inOrder, "backwards": backwards} {
		t.Run(name, func(t *testing.T) {
			e, set := open(t, graph(t))
			input := "somewhere"
			if name == "in order" {
				split, _ := set.Split("val")
				input = split.Identity(shard.Selection{})
			}
			p := read(t, e, predict(t, set, input, order))
			if p.Joined() != p.Len() {
				t.Errorf("%d of %d rows have their images", p.Joined(), p.Len())
			}
			for i := range p.Len() {
				row, err := p.Row(i)
				if err != nil {
					t.Fatal(err)
				}
				ref, ok := p.ImageOf(i)
				im, err := e.Image(ref)
				if !ok || err != nil {
					t.Fatalf("row %d, %s: image %v: %v", i, row.Path, ref, err)
				}
				back, ok := p.RowOf(ref)
				type joined struct {
					Path string
					Row  int
					Back bool
				}
				if diff := gocmp.Diff(joined{row.Path, i, true}, joined{im.Path, back, ok}); diff != "" {
					t.Errorf("row %d (-want +got):\n%s", i, diff)
				}
			}
			if _, ok := p.RowOf(Ref{"train", 0}); ok {
				t.Error("an image of train has a prediction")
			}
			checkMistakes(t, p)
			checkMatrix(t, p)
		})
	}
}

// checkMistakes holds pages of mistakes to a count by rows, between all nodes.
func checkMistakes(t *testing.T, p *Predictions) {
	t.Helper()
	isA := func(class int, key string) bool {
		if key == "" || p.keys[class] == key {
			return true
		}
		at, err := wordnet.ParseID(p.keys[class])
		above, err2 := wordnet.ParseID(key)
		return err == nil && err2 == nil && p.e.graph.IsA(at, above)
	}
	for _, truth := range []string{"", id(1), id(2), id(3), id(5), "class-4"} {
		for _, predicted := range []string{"", id(2), id(3), id(6)} {
			var want []string
			for i := range p.Len() {
				r, err := p.Row(i)
				if err != nil {
					t.Fatal(err)
				}
				if r.Label >= 0 && r.Top != nil && r.Top[0] != int(r.Label) && isA(int(r.Label), truth) && isA(r.Top[0], predicted) {
					want = append(want, fmt.Sprintf("%.4f %s", 1-r.Prob[0], r.Path))
				}
			}
			slices.Sort(want)
			var got []string
			for from := 0; from <= len(want); from++ {
				page, total, err := p.Mistakes(Between{truth, predicted}, from, 1)
				if err != nil || total != len(want) {
					t.Fatalf("%q for %q: %d, want %d: %v", truth, predicted, total, len(want), err)
				}
				for _, m := range page {
					got = append(got, fmt.Sprintf("%.4f %s", 1-m.Prob[0], m.Path))
				}
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Errorf("%q for %q (-rows +pages):\n%s", truth, predicted, d)
			}
		}
		images, right, inside := 0, 0, 0
		for i := range p.Len() {
			r, _ := p.Row(i)
			if r.Label < 0 || !isA(int(r.Label), truth) {
				continue
			}
			images++
			if r.Top != nil && r.Top[0] == int(r.Label) {
				right++
			}
			if r.Top != nil && isA(r.Top[0], truth) {
				inside++
			}
		}
		got, _ := p.Figures(truth)
		if d := gocmp.Diff(Figures{images, right, inside}, got); d != "" {
			t.Errorf("figures of %q: %s", truth, d)
		}
	}
}

// checkMatrix wants every predicted row in one cell, however far the tree is folded.
func checkMatrix(t *testing.T, p *Predictions) {
	t.Helper()
	for most := 2; most < 8; most++ {
		m := p.Confusion("", most)
		sum, images := 0, 0
		for i := range m.Branches {
			images += m.Branches[i].Images
			sum += m.Elsewhere[i]
			for _, n := range m.Cells[i] {
				sum += n
			}
		}
		f, _ := p.Figures("")
		if failed := p.Report.Failed; len(m.Branches) > most || m.Left == 0 && (images != f.Images || sum != f.Images-failed) {
			t.Errorf("at most %d branches: %d branches, %d left, %d images, %d in cells, want %d and %d", most, len(m.Branches), m.Left, images, sum, f.Images, f.Images-failed)
		}
	}
	linked, apart := 0, 0
	for _, key := range []string{"", id(1), id(2), id(3)} {
		for most := 2; most < 8; most++ {
			m := p.Confusion(key, most)
			for i, row := range m.Branches {
				used := row.Images
				for k := range m.Branches {
					used += m.Cells[k][i]
				}
				if used == 0 {
					t.Errorf("%q in at most %d parts: nothing is %s, nor was taken for it", key, most, row.Key)
				}
				for j, column := range m.Branches {
					_, total, err := p.Mistakes(Between{row.Key, column.Key}, 0, 0)
					if err != nil {
						t.Fatal(err)
					}
					switch same := total == m.Cells[i][j]; {
					case i == j || !row.Whole || !column.Whole:
						if !same {
							apart++
						}
					case !same:
						t.Errorf("%q in at most %d parts: %s for %s: %d in the cell, %d mistakes", key, most, row.Key, column.Key, m.Cells[i][j], total)
					default:
						linked += total
					}
				}
			}
		}
	}
	if linked == 0 || apart == 0 {
		t.Errorf("%d mistakes in cells that are lists, and %d cells that are none", linked, apart)
	}
	if m := p.Confusion(id(3), 10); m.Node != id(3) || len(m.Branches) != 3 {
		t.Errorf("the matrix of a class above others: %+v", m)
	}
}

// TestNeighbours: nearest first, the image itself left out; a row without an embedding has none.
func TestNeighbours(t *testing.T) {
	e, set := open(t, graph(t))
	read(t, e, predict(t, set, "x", inOrder))
	p := e.Predictions()
	for range 2 { // the second time it is remembered
		found, err := p.Neighbours(context.Background(), 0)
		near := found.Near
		if err != nil || len(near) != p.Len()-2 || found.Classes != nil || found.Of != p.Len()-1 || found.Among != found.Of {
			t.Fatalf("%+v: %v", found, err)
		}
		for k, n := range near {
			want := k + 1
			if want >= 4 {
				want++ // that one failed
			}
			if n.Number != want || math.Abs(n.Similarity-math.Cos(float64(want)/10)) > 1e-6 || !n.Found {
				t.Errorf("neighbour %d: %+v", k, n)
			}
		}
	}
	if found, err := p.Neighbours(context.Background(), 4); err != nil || found.Near != nil {
		t.Errorf("of a row that failed: %v %v", found, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Neighbours(ctx, 1); err == nil {
		t.Error("a search went on for nobody")
	}
	if err := p.nearest.turn.Acquire(context.Background(), 1); err != nil { // somebody searches
		t.Fatal(err)
	}
	if found, err := p.Neighbours(context.Background(), 0); err != nil || len(found.Near) == 0 {
		t.Errorf("what was found waits for a search: %v, %v", found, err)
	}
	if _, err := p.Neighbours(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("who left waits for a search: %v", err)
	}
}

// TestNeighboursAmong: of embeddings that are too many, those are looked at that are of images first predicted as
// what the image itself might be, the likeliest first, and evenly drawn ones where these are too many, too.
func TestNeighboursAmong(t *testing.T) {
	e, set := open(t, graph(t))
	path := predict(t, set, "x", inOrder)
	for most := 1; most < 10; most++ {
		p, err := e.OpenPredictions(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.nearest.most = 2 * most // embeddings are of two numbers
		if err := p.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range p.Len() {
			r, err := p.Row(i)
			if err != nil {
				t.Fatal(err)
			}
			found, err := p.Neighbours(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			checkAmong(t, p, r, i, found, most)
		}
	}
}

func checkAmong(t *testing.T, p *Predictions, r prediction.Row, i int, found Neighbours, most int) {
	t.Helper()
	var classes []string
	var rows []int
	of := 0
	for _, class := range r.Top {
		own := []int{} // of the class
		for k := range p.Len() {
			if other, err := p.Row(k); err != nil {
				t.Fatal(err)
			} else if other.Top != nil && other.Top[0] == class {
				own = append(own, k)
			}
		}
		if n := min(len(own), most-len(rows)); n > 0 {
			classes, of = append(classes, p.Classes[class]), of+len(own)
			for k := range n {
				rows = append(rows, own[k*len(own)/n])
			}
		}
	}
	rows = slices.DeleteFunc(rows, func(k int) bool { return k == i })
	var got []int
	for k, n := range found.Near {
		got = append(got, n.Number)
		if want := math.Cos(float64(n.Number-i) / 10); math.Abs(n.Similarity-want) > 1e-6 || k > 0 && n.Similarity > found.Near[k-1].Similarity {
			t.Errorf("at most %d, of row %d: row %d has %g, want %g, nearest first", most, i, n.Number, n.Similarity, want)
		}
	}
	slices.Sort(rows)
	slices.Sort(got)
	if !slices.Equal(rows, got) || !slices.Equal(classes, found.Classes) || found.Among != len(rows) || r.Top != nil && found.Of != of-1 {
		t.Errorf("at most %d, of row %d: rows %v, want %v, of %v: %+v", most, i, got, rows, classes, found)
	}
}

// TestWithoutWordNet: classes are a list, and their addresses stay.
func TestWithoutWordNet(t *testing.T) {
	e, set := open(t, nil)
	read(t, e, predict(t, set, "x", inOrder))
	roots, _ := e.Children("")
	if len(roots) != len(classes)+1 {
		t.Errorf("%d roots", len(roots))
	}
	if _, total, err := e.Images(id(5), "", true, 0, 1); err != nil || total != 5 {
		t.Errorf("%d images: %v", total, err)
	}
	if m := e.Predictions().Confusion("", 10); len(m.Branches) != len(classes) {
		t.Errorf("%d branches", len(m.Branches))
	}
	for text, want := range map[string]string{"ODD": "class-4", id(6): id(6)} {
		if found, all := e.Search(text, 5); all != 1 || found[0].Key != want {
			t.Errorf("search for %q: %d", text, all)
		}
	}
}

func TestSearch(t *testing.T) {
	e, _ := open(t, graph(t))
	found, all := e.Search("word", 3)
	if len(found) != 3 || all != 7 {
		t.Errorf("%d of %d found", len(found), all)
	}
	for i, n := range found {
		if n.Below.Images == 0 {
			t.Errorf("result %d has no images, and stands before such as have", i)
		}
	}
	for _, text := range []string{"", "  ", "nothing of the kind", id(99)} {
		if _, all := e.Search(text, 3); all != 0 {
			t.Errorf("%q: %d found", text, all)
		}
	}
}
