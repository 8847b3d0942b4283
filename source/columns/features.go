package columns

import (
	"encoding/json"
	"fmt"
)

// FeaturesKey is the key of Hugging Face's metadata in a file of columns.
const FeaturesKey = "huggingface"

// Feature is what Hugging Face's metadata say of a column.
type Feature struct {
	Type  string   `json:"_type"` // such as Image, ClassLabel, Value
	Names []string `json:"names"` // of a ClassLabel's numbers, in order
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
		}
	}
	return out, nil
}
