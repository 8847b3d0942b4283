package imagenet

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/shard"
)

// TestCoordinates: fractions of pixels are cut off, what is no number is named.
func TestCoordinates(t *testing.T) {
	b := Boxes{}
	if err := b.add("a.xml", []byte("<annotation><object><name>cat</name><bndbox><xmin>1.9</xmin><ymin> 2 </ymin><xmax>3e1</xmax><ymax>-0.5</ymax></bndbox></object></annotation>")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Boxes{"a": {shard.Object{Synset: "cat", XMin: 1, YMin: 2, XMax: 30}}}, b); diff != "" {
		t.Errorf("boxes (-want +got):\n%s", diff)
	}
	for _, text := range []string{"left", "99999999999", "NaN"} {
		err := b.add("b.xml", []byte("<annotation><object><bndbox><xmin>"+text+"</xmin></bndbox></object></annotation>"))
		if err == nil || !strings.Contains(err.Error(), `b.xml: "`+text+`" is not a coordinate`) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
