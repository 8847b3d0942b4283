package memory

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/internal/controlgroup"
)

func TestGroups(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"memory.max": "max\n", "a/memory.max": "3000\n", "a/b/memory.max": "4000\n", "c/memory.max": "5000\n", "d/memory.max": "none\n",
		"memory/x/memory.limit_in_bytes": "2000\n", "memory/memory.limit_in_bytes": "9223372036854771712\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]int64{
		"":                                       math.MaxInt64,
		"0::/\n":                                 math.MaxInt64,
		"0::/a/b\n":                              3000, // of the group above
		"0::/c\n":                                5000,
		"0::/d\n":                                math.MaxInt64,
		"0::/gone/far\n":                         math.MaxInt64,
		"12:cpu,memory:/x\n3:cpuset:/a\n0::/c\n": 2000,
		"12:memory:/\n":                          9223372036854771712,
		"nonsense\n":                             math.MaxInt64,
	} {
		if got := bound(controlgroup.In(root, []byte(text), "memory")); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	if n := Limit(); n < 64<<20 || n == math.MaxInt64 {
		t.Errorf("%d bytes", n)
	}
}
