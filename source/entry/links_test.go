package entry

import (
	"errors"
	"fmt"
	"testing"
)

// TestLinksThatMultiply wants links to directories of links to end.
func TestLinksThatMultiply(t *testing.T) {
	var links []Link
	for i := range 64 {
		for j := range 4 {
			links = append(links, Link{Entry: Entry{Name: fmt.Sprintf("d%d/%d", i+1, j)}, To: fmt.Sprintf("d%d", i)})
		}
	}
	files := []Entry{{Name: "d0/a.jpg"}}
	skip := func(name, reason string, _ bool) { t.Errorf("%s: %s", name, reason) }
	few, err := Follow(files, links[:16], skip)
	if want := 4 + 16 + 64 + 256; err != nil || len(few) != want {
		t.Fatalf("%d files by links, %v; want %d", len(few), err, want)
	}
	defer func(was int) { maxLinked = was }(maxLinked)
	maxLinked = 10000
	if _, err := Follow(files, links, skip); !errors.Is(err, ErrCorrupt) {
		t.Errorf("links that multiply: %v", err)
	}
}
