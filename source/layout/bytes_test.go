package layout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/source"
)

// TestNamesOfBytes wants classes and names in them that are not UTF-8 as text,
// found in a class list of such text, and told from names that look like it.
func TestNamesOfBytes(t *testing.T) {
	list := "LOC_synset_mapping.txt"
	names := []string{list, "train/b\xe9te/caf\xe9.jpg", `train/b\xe9te/1.jpg`, "train/chat/a/\xff.jpg"}
	in := Input{Info: source.Info{Path: "/d/x", Kind: source.Folder}}
	for _, name := range names {
		in.Entries = append(in.Entries, source.Entry{Name: name, Size: 1})
	}
	p, err := Make([]Input{in}, Options{Read: func(source.Entry) ([]byte, error) {
		return []byte("chat\nb\\xe9te\nb\\x5cxe9te\n"), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	type image struct {
		class int32
		path  string
	}
	var got []image
	for _, im := range p.Splits[0].Images {
		got = append(got, image{im.Class, im.Path})
	}
	if diff := cmp.Diff([]image{{1, `caf\xe9.jpg`}, {2, "1.jpg"}, {0, `a/\xff.jpg`}}, got, cmp.AllowUnexported(image{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
