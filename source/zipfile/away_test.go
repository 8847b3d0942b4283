package zipfile

import (
	"archive/zip"
	"bytes"
	"errors"
	"testing"

	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/source/entry/entrytest"
)

// TestAway: a zip that cannot be read is not called damaged.
func TestAway(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range []string{"a.jpg", "b.jpg"} {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(bytes.Repeat([]byte(name), 10_000))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole := entrytest.Hold("a.zip", b.Bytes())
	skip := func(string, string, bool) {}
	away := New(entrytest.Failing(whole, 0), skip)
	_, listing := away.List(t.Context())
	z := New(whole, skip)
	entries, err := z.List(t.Context())
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	z.File = entrytest.Failing(whole, 0)
	_, reading := z.Read(&entries[1], nil)
	for what, err := range map[string]error{"listing": listing, "reading": reading} {
		if !errors.Is(err, entrytest.ErrAway) || errors.Is(err, entry.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
