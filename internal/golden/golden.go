// Package golden reads what the scripts in scripts/golden wrote down: figures
// of other people's programs that tests hold ours to.
package golden

import (
	"encoding/json"
	"os"
	"testing"
)

// Read decodes a file of JSON into v, a pointer.
func Read(t testing.TB, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
