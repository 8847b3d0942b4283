package source

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFolderLeavesOut holds what a folder leaves out: images that are hidden, one by one, what
// programs leave behind, as a whole, and directories in which there is nothing. Head tells
// what a file is whose name does not.
func TestFolderLeavesOut(t *testing.T) {
	root := folderOf(t, contents{
		"cat/a.jpg": "a", "cat/.b.jpg": "b", ".photos/x/c.jpg": "c", ".photos/notes.txt": "n", ".git/d.jpg": "d", "dog/.DS_Store": "s", "bird/12345": "\xff\xd8\xff\xe0 and more than sixteen bytes",
	})
	for _, dir := range []string{"fish/deep", ".hollow"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string][]string{}
	s, err := Open(t.Context(), []string{root}, Options{OnSkip: func(k Skip) {
		what := k.Reason
		if k.Image {
			what += ", an image"
		}
		got[what] = append(got[what], k.Name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := map[string][]string{
		"a hidden image, or an image in a hidden folder, an image": {".photos/x/c.jpg", "cat/.b.jpg"},
		JunkReason:  {".git", ".photos/notes.txt", "dog/.DS_Store"},
		EmptyReason: {"dog", "fish/deep"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	heads := map[string]bool{}
	for _, e := range s.Entries() {
		b, err := s.Head(e)
		if err != nil {
			t.Fatal(err)
		}
		heads[e.Name] = ImageBytes(b)
	}
	if diff := cmp.Diff(map[string]bool{"cat/a.jpg": false, "bird/12345": true}, heads); diff != "" {
		t.Errorf("images by their first bytes (-want +got):\n%s", diff)
	}
}
