package describe

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
)

// TestSVG parses the drawing of every network and looks for its parts.
func TestSVG(t *testing.T) {
	for _, name := range model.Names() {
		var b bytes.Buffer
		n := modeltest.Network(t, name, model.Options{Aux: true, Dropout: -1})
		if err := WriteSVG(&b, n); err != nil {
			t.Fatal(err)
		}
		boxes, d := 0, xml.NewDecoder(strings.NewReader(b.String()))
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "g" {
				boxes++
			}
		}
		convs := 0
		for _, node := range n.Nodes {
			if node.Op == model.Conv || node.Op == model.Linear {
				convs++
				if !strings.Contains(b.String(), "<title>"+node.Name+":") {
					t.Errorf("%s: %s is not drawn", name, node.Name)
				}
			}
		}
		if boxes < convs || boxes > len(n.Nodes) {
			t.Errorf("%s: %d boxes for %d nodes, %d of them with weights", name, boxes, len(n.Nodes), convs)
		}
	}
}

// TestDrawing holds every drawing to a page across: nothing stands on another thing, and
// nothing is outside of what it belongs to.
func TestDrawing(t *testing.T) {
	for _, name := range model.Names() {
		d := newDrawing(modeltest.Network(t, name, model.Options{Aux: true, Dropout: -1}))
		if ratio := d.w / d.h; ratio < 1.1 || ratio > 1.9 {
			t.Errorf("%s: %.0f by %.0f is no page across", name, d.w, d.h)
		}
		parameters := 0
		for i, c := range d.cards {
			parameters += c.parameters
			if c.x < margin-1e-6 || c.x+c.w > d.w-margin+1e-6 || c.y < topMatter || c.y+c.h > d.h-footer {
				t.Errorf("%s: card %d, %s %s, is off the page", name, i, c.kind, c.block)
			}
			for _, o := range d.cards[:i] {
				if c.x < o.x+o.w && o.x < c.x+c.w && c.y < o.y+o.h && o.y < c.y+c.h {
					t.Errorf("%s: cards %s and %s stand on one another", name, c.block, o.block)
				}
			}
			checkBoxes(t, name, d, c)
		}
		if d := cmp.Diff(d.n.Parameters(), parameters); d != "" {
			t.Errorf("%s: parameters on the cards (-want +got):\n%s", name, d)
		}
	}
}

func checkBoxes(t *testing.T, name string, d *drawing, c *card) {
	t.Helper()
	type place struct {
		from, to float64
		row      int
	}
	var taken []place
	for _, b := range c.boxes {
		p := place{b.x, b.x, b.row}
		if b.bar(d.n) {
			p.from, p.to = b.from, b.to
		}
		if p.from < 0 || p.to > float64(c.columns)-1 || p.row >= c.rows {
			t.Errorf("%s, %s: a box is outside of its card: %+v", name, c.block, p)
		}
		if slices.ContainsFunc(taken, func(o place) bool { return o.row == p.row && p.from < o.to+1 && o.from < p.to+1 }) {
			t.Errorf("%s, %s: a box stands on another: %+v", name, c.block, p)
		}
		taken = append(taken, p)
	}
}

// TestKinds names Inception-v3's blocks.
func TestKinds(t *testing.T) {
	var got []string
	for _, c := range newDrawing(modeltest.Network(t, "inception_v3", model.Options{Aux: true, Dropout: -1})).cards {
		got = append(got, c.kind+" "+c.block)
	}
	want := []string{"Stem ", "Inception A Mixed_5b", "Inception A Mixed_5c", "Inception A Mixed_5d", "Reduction B Mixed_6a",
		"Inception C Mixed_6b", "Inception C Mixed_6c", "Inception C Mixed_6d", "Inception C Mixed_6e", "Aux AuxLogits",
		"Reduction D Mixed_7a", "Inception E Mixed_7b", "Inception E Mixed_7c", "Head "}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("cards (-want +got):\n%s", d)
	}
}
