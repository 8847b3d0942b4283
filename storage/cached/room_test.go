package cached

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTrim removes what was used longest ago, and never what is in use.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "kind", name) }
	keep := func(name string, age time.Duration) (release func() error) {
		release, err := Use(at(name))
		if err == nil {
			err = os.MkdirAll(at(name), 0o777)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(at(name), "bytes"), make([]byte, 100_000), 0o666)
		}
		if err == nil {
			then := time.Now().Add(-age)
			err = os.Chtimes(at(name)+lockEnd, then, then)
		}
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	inUse := keep("oldest, in use", 4*time.Hour)
	for name, age := range map[string]time.Duration{"old": 3 * time.Hour, "middle": 2 * time.Hour, "new": time.Hour} {
		if err := keep(name, age)(); err != nil {
			t.Fatal(err)
		}
	}
	left := func(bound int64) (names []string) {
		t.Helper()
		if err := Trim(dir, bound); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"oldest, in use", "old", "middle", "new"} {
			if _, err := os.Stat(at(name)); err == nil {
				names = append(names, name)
			}
		}
		return names
	}
	got := [][]string{left(1 << 20), left(350_000), left(0)}
	if err := inUse(); err != nil {
		t.Fatal(err)
	}
	got = append(got, left(0))
	want := [][]string{{"oldest, in use", "old", "middle", "new"}, {"oldest, in use", "middle", "new"}, {"oldest, in use"}, nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
