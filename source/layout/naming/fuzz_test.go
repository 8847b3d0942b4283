package naming

import (
	"slices"
	"strings"
	"testing"

	"github.com/synshard/synshard/source/classlist"
)

// FuzzName: what a name tells is one of the splits there are, a synset as synsets are
// written, or a part of the name.
func FuzzName(f *testing.F) {
	for _, s := range []string{"train/n01440764/n01440764_1.JPEG", "imagenet21k_train", "n02085620-Chihuahua", "ILSVRC2012_val_00000001_n01751748.JPEG", "a.tar.gz", ".tar", "/", "train2017.X1", "ILSVRC2012_test_00000001.JPEG", "00012", "\xff_val"} {
		f.Add(s)
	}
	var files Files
	f.Fuzz(func(t *testing.T, name string) {
		like, _ := LikeSplit(name)
		list, _ := ListSplit(name)
		for _, split := range []string{SplitWord(name), like, list, FileSplit(name), ILSVRCSplit(name)} {
			if split != "" && !slices.Contains(Splits, split) {
				t.Errorf("%q tells of a split %q", name, split)
			}
		}
		synset, ok := Synset(name)
		for _, s := range []string{synset, SynsetIn(name)} {
			if s != "" && (!classlist.IsSynset(s) || !strings.Contains(name, s)) {
				t.Errorf("%q tells of a synset %q", name, s)
			}
		}
		if ok != (synset != "") {
			t.Errorf("%q: %q, %v", name, synset, ok)
		}
		dir, base := Cut(name)
		if joined := dir + "/" + base; base != Base(name) || joined != name && joined != "/"+name || !strings.HasPrefix(base, Stem(name)) || !strings.HasPrefix(name, WithoutArchiveEnd(name)) {
			t.Errorf("%q is %q and %q, with the stem %q; no archive's end %q", name, dir, base, Stem(name), WithoutArchiveEnd(name))
		}
		if reason, _, out := files.LeftOut(name); out != (reason != "") {
			t.Errorf("%q is left out for %q: %v", name, reason, out)
		}
	})
}
