package columns

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzFeatures: Hugging Face's metadata are an error, or features that are read again
// from their own JSON as they were.
func FuzzFeatures(f *testing.F) {
	for _, s := range []string{"", `{"info":{"features":{"label":{"names":["a","b"],"_type":"ClassLabel"},"objects":[{}],"image":{"_type":"Image"}}}}`, `{"info":{"features":{"a":null,"b":{"names":[1]}}}}`, `{"info":[]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Features(text)
		if err != nil || text == "" {
			return
		}
		own, err := json.Marshal(map[string]any{"info": map[string]any{"features": got}})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Features(string(own))
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Errorf("%v (-was +read again):\n%s", err, diff)
		}
	})
}
