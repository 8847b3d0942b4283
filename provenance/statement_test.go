package provenance

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStatements holds chains to what in-toto and SLSA make of them.
func TestStatements(t *testing.T) {
	builder := RunDetails{Builder{ID: builderID}}
	for name, c := range map[string]struct {
		chain Chain
		want  []Statement
	}{
		"nothing known": {
			Chain{Things: []*Thing{{Kind: Model, Path: "m.pth", Digest: Digest{SHA256, "aa"}}}},
			[]Statement{{statementType, []Resource{{"m.pth", map[string]string{"sha256": "aa"}, map[string]string{"kind": "model"}}}, predicateType,
				Predicate{BuildDefinition{builderID + "/model", map[string]string{}, []Resource{}}, builder}}},
		},
		"a run without a digest, its files and who made it": {
			Chain{Things: []*Thing{{
				Kind: Run, Path: "run", Facts: []Fact{{"steps", "2"}, {madeBy, "synshard 1"}, {"command", "synshard train d"}},
				Files: []Input{{Kind: File, Name: "model.onnx", Digest: Digest{SHA256, "bb"}}},
			}}},
			[]Statement{{statementType, []Resource{
				{"run", nil, map[string]string{"kind": "run"}},
				{"run/model.onnx", map[string]string{"sha256": "bb"}, map[string]string{"kind": "file"}},
			}, predicateType, Predicate{
				BuildDefinition{builderID + "/run", map[string]string{"steps": "2", "command": "synshard train d"}, []Resource{}},
				RunDetails{Builder{builderID, map[string]string{"made_by": "synshard 1"}}},
			}}},
		},
		"an input at hand and one that is not": {
			Chain{
				Things: []*Thing{
					{Kind: Predictions, Path: "p.csv", Digest: Digest{SHA256, "cc"}, From: []Input{
						{Kind: Model, Name: "resnet50", Digest: Digest{SHA256, "dd"}},
						{Kind: Source, Name: "images", Digest: Digest{"names_sizes_times_sha256", "ee"}, Facts: []Fact{{"selection", "2 of 3"}}},
					}},
					{Kind: Model, Path: "m.onnx", Digest: Digest{SHA256, "dd"}},
				},
				Found: map[[2]int]int{{0, 0}: 1},
			},
			[]Statement{
				{statementType, []Resource{{"p.csv", map[string]string{"sha256": "cc"}, map[string]string{"kind": "predictions"}}}, predicateType,
					Predicate{BuildDefinition{builderID + "/predictions", map[string]string{}, []Resource{
						{"resnet50", map[string]string{"sha256": "dd"}, map[string]string{"kind": "model", "at": "m.onnx"}},
						{"images", map[string]string{"names_sizes_times_sha256": "ee"}, map[string]string{"kind": "source", "selection": "2 of 3"}},
					}}, builder}},
				{statementType, []Resource{{"m.onnx", map[string]string{"sha256": "dd"}, map[string]string{"kind": "model"}}}, predicateType,
					Predicate{BuildDefinition{builderID + "/model", map[string]string{}, []Resource{}}, builder}},
			},
		},
	} {
		if diff := cmp.Diff(c.want, c.chain.Statements()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// The names are in-toto's and SLSA's.
	text, err := json.Marshal((&Chain{Things: []*Thing{{Kind: Dataset, Path: "d", Digest: Digest{SHA256, "ff"}}}}).Statements())
	want := `[{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"d","digest":{"sha256":"ff"},"annotations":{"kind":"dataset"}}],` +
		`"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://github.com/synshard/synshard/dataset",` +
		`"externalParameters":{},"resolvedDependencies":[]},"runDetails":{"builder":{"id":"https://github.com/synshard/synshard"}}}}]`
	if diff := cmp.Diff(want, string(text)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestQuoted: a call as a shell takes it.
func TestQuoted(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  string
	}{
		{nil, ""},
		{[]string{"synshard", "train", "a/b", "--set=lr=0.1"}, "synshard train a/b --set=lr=0.1"},
		{[]string{"train", "two words", "", "it's", "$HOME", "a;b"}, `train 'two words' '' 'it'\''s' '$HOME' 'a;b'`},
	} {
		if got := quoted(c.words); got != c.want {
			t.Errorf("%q: %s, want %s", c.words, got, c.want)
		}
	}
}
