package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func number(n int64) Label { return Label{Kind: NumberLabel, Number: n} }
func name(s string) Label  { return Label{Kind: NameLabel, Name: s} }

func TestList(t *testing.T) {
	root := folderOf(t, contents{
		"n1/a.jpg": "a", "n2/b.jpg": "b",
		"l.csv": "path,label,synset\nn1/a.jpg,7,n01440764\nn2\\b.jpg,8,n01443537\ngone.jpg,7,n01440764\n",
	})
	s, err := Open(t.Context(), []string{filepath.Join(root, "l.csv")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := []Entry{
		{Name: "n1/a.jpg", Size: 1, Label: name("n01440764")},
		{Name: "n2/b.jpg", Size: 1, Label: name("n01443537")},
		{Name: "gone.jpg", Size: -1, Label: name("n01440764")},
	}
	got := s.Entries()
	for i := range got {
		got[i].Modified = 0
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Entry{})); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	info := s.Infos()[0]
	columns := []Column{
		{Name: "label", Values: []Label{number(7), number(8)}, Rows: []int32{0, 1, 0}},
		{Name: "synset", Values: []Label{name("n01440764"), name("n01443537")}, Rows: []int32{0, 1, 0}},
	}
	if diff := cmp.Diff(Info{Kind: List, LabelColumn: "synset", Columns: columns}, Info{Kind: info.Kind, LabelColumn: info.LabelColumn, Columns: info.Columns}); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	var read []string
	err = s.Each(t.Context(), s.Entries(), func(e Entry, b []byte, err error) error {
		if (e.Name == "gone.jpg") != errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: %v", e.Name, err)
		}
		read = append(read, string(b))
		return nil
	})
	if diff := cmp.Diff([]string{"a", "b", ""}, read); diff != "" || err != nil {
		t.Errorf("%v, read (-want +got):\n%s", err, diff)
	}
}

func TestOpenPaths(t *testing.T) {
	root := folderOf(t, contents{"a\nb.jpg": "ab", "c.jpg": "c"})
	ab, c := filepath.Join(root, "a\nb.jpg"), filepath.Join(root, "c.jpg")
	for _, in := range []struct {
		text string
		zero bool
		want []string
	}{
		{c + "\r\n\n" + c, false, []string{"c", "c"}},
		{ab + "\x00" + c + "\x00", true, []string{"ab", "c"}},
	} {
		s, err := OpenPaths(t.Context(), strings.NewReader(in.text), in.zero, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range s.Entries() {
			b, err := s.Read(e, nil)
			if err != nil {
				t.Error(err)
			}
			got = append(got, string(b))
		}
		if diff := cmp.Diff(in.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in.text, diff)
		}
		s.Close()
	}
	if _, err := OpenPaths(t.Context(), strings.NewReader("\n"), false, Options{}); err == nil {
		t.Error("an empty list was opened")
	}
}

func TestListIsToldFromOtherText(t *testing.T) {
	root := folderOf(t, contents{"a.jpg": "a", "list": "a.jpg 1\n", "notes": "some words\n", "paths": "a.jpg\n", "x.json": "{}"})
	for file, want := range map[string]bool{"list": true, "notes": false, "paths": true, "x.json": false} {
		s, err := Open(t.Context(), []string{filepath.Join(root, file)}, Options{})
		if (err == nil) != want || err != nil && !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", file, err)
		}
		if err == nil {
			s.Close()
		}
	}
	if err := os.WriteFile(filepath.Join(root, "odd"), []byte("a\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := OpenAs(t.Context(), List, []string{filepath.Join(root, "odd")}, Options{})
	if err != nil || len(s.Entries()) != 1 {
		t.Fatalf("%v", err)
	}
	s.Close()
	if _, err := OpenAs(t.Context(), Parquet, []string{filepath.Join(root, "list")}, Options{}); err == nil {
		t.Error("a list was opened as Parquet")
	}
}
