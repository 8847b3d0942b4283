package ingest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage/files"
)

// TestShrunkBoxes makes an image of 500 x 375 pixels smaller to 171 x 128, and its boxes with it;
// other boxes are refused later, and the same ones are there already.
func TestShrunkBoxes(t *testing.T) {
	dir := t.TempDir()
	image, err := pixel.EncodeJPEG(500, 375, make([]byte, 500*375*3), 90)
	if err != nil {
		t.Fatal(err)
	}
	small, err := pixel.EncodeJPEG(90, 80, make([]byte, 90*80*3), 90)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "in/cat/a.jpg", string(image), "in/cat/b.jpg", string(small))
	annotate := func(name, box string) {
		put(t, dir, "boxes/"+name+".xml", "<annotation><object><name>cat</name><bndbox>"+box+"</bndbox></object></annotation>")
	}
	annotate("a", "<xmin>10</xmin><ymin>20</ymin><xmax>250</xmax><ymax>375</ymax>")
	annotate("b", "<xmin>1</xmin><ymin>2</ymin><xmax>90</xmax><ymax>80</ymax>")
	o := of(filepath.Join(dir, "in"))
	o.Out, o.Resize, o.Boxes = files.Local(filepath.Join(dir, "out")), 128, []string{filepath.Join(dir, "boxes")}
	run(t, o)
	s := shardtest.OpenSplit(t, o.Out.String(), "train")
	want := [][]shard.Object{
		{{Synset: "cat", XMin: 3, YMin: 7, XMax: 86, YMax: 128}}, // times 171/500 and 128/375
		{{Synset: "cat", XMin: 1, YMin: 2, XMax: 90, YMax: 80}},  // small enough
	}
	if diff := cmp.Diff(want, [][]shard.Object{s.Row(0).Objects, s.Row(1).Objects}); diff != "" {
		t.Errorf("boxes (-want +got):\n%s", diff)
	}
	wantRun(t, o, Summary{Images: 2, Classes: 1, Already: true})
	annotate("b", "<xmin>1</xmin><ymin>2</ymin><xmax>89</xmax><ymax>80</ymax>")
	differs(t, o, "boxes can only be given with them")
	if err := os.Remove(filepath.Join(dir, "boxes/b.xml")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "boxes/a.xml", "<annotation><object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>")
	differs(t, o, "boxes can only be given with them")
	differs(t, Options{Boxes: o.Boxes, Out: o.Out}, "boxes can only be given with them")
}
