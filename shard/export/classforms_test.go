package export

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/shard"
)

// TestWriteClasses: names that would break a line go through line in the forms of
// lines, and stay as they are in JSON, which has its own escapes.
func TestWriteClasses(t *testing.T) {
	classes := []shard.Class{
		{Label: 0, Synset: "n01440764", ILSVRC2012ID: 449, Words: []string{"tench", "Tinca tinca"}, Gloss: "a fish"},
		{Label: 1, Synset: "two\nlines", ILSVRC2012ID: 7},
	}
	line := func(s string) string { return strings.ReplaceAll(s, "\n", "|") }
	for form, want := range map[ClassForm]string{
		ClassTSV:         "label\tsynset\tilsvrc2012_id\twords\tgloss\n0\tn01440764\t449\ttench, Tinca tinca\ta fish\n1\ttwo|lines\t7\t\t\n",
		ClassTorchvision: `{"0": ["n01440764","tench"], "1": ["two\nlines","two\nlines"]}` + "\n",
		ClassTF1001:      "background\ntench\ntwo|lines\n",
		ClassILSVRC:      "7\ttwo|lines\t\n449\tn01440764\ttench, Tinca tinca\n",
		ClassKaggle:      "n01440764 tench, Tinca tinca\ntwo|lines two|lines\n",
		ClassHF:          `{"names":["tench, Tinca tinca","two\nlines"],"_type":"ClassLabel"}` + "\n",
	} {
		var b strings.Builder
		if err := WriteClasses(&b, form, classes, line); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form, diff)
		}
	}
	var b strings.Builder
	if err := WriteClasses(&b, ClassILSVRC, []shard.Class{{Synset: "n1"}}, line); err == nil || b.Len() > 0 {
		t.Errorf("a class without an ID: error %v, and %q was written", err, b.String())
	}
	if err := WriteClasses(&b, "keras", classes, line); err == nil || !strings.Contains(err.Error(), "kaggle") {
		t.Errorf("a form that is none: %v", err)
	}
}
