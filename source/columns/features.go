package columns

import (
	"encoding/json"
	"fmt"
)

// FeaturesKey is the key of Hugging Face's metadata in a file of columns.
const FeaturesKey = "huggingface"

// Feature is what Hugging Face's metadata say of a column.
type Feature struct {
	Type  string   `json:"_type"`   // such as Image, ClassLabel, Value
	Names []string `json:"names"`   // of a ClassLabel's numbers, in order
	Of    *Feature `json:"feature"` // what a list (Sequence, List, LargeList) is of
}

// classes says whether a column's values are classes, or lists of such.
func (f Feature) classes() bool {
	return f.Type == "ClassLabel" || f.Of != nil && f.Of.classes()
}

// Features reads Hugging Face's metadata, "" being none: what they say of each column.
// Features of shapes that do not matter here are passed over.
func Features(text string) (map[string]Feature, error) {
	if text == "" {
		return nil, nil
	}
	var v struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("metadata huggingface: %w", err)
	}
	out := map[string]Feature{}
	for name, raw := range v.Info.Features {
		var f Feature
		if json.Unmarshal(raw, &f) == nil { // else a list of features, or another nesting
			out[name] = f
			continue
		}
		var list []Feature // as it was written before there was a Sequence
		if json.Unmarshal(raw, &list) == nil && len(list) == 1 {
			out[name] = Feature{Of: &list[0]}
		}
	}
	return out, nil
}
