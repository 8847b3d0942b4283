package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/golden"
)

// TestColumnsOfOthers reads the same rows as pyarrow, Polars and DuckDB write
// them; scripts/golden/source_columns.py made the files.
func TestColumnsOfOthers(t *testing.T) {
	dir := filepath.Join("testdata", "columns")
	var truth map[string]struct {
		Columns []string
		Names   bool
	}
	golden.Read(t, filepath.Join(dir, "truth.json"), &truth)
	tail := string(make([]byte, 50))
	images := []string{"one" + tail, "two" + tail, "", "four" + tail}
	wnids := []string{"n01440764", "n01443537", "n01484850"}
	numbers := []Label{number(0), number(2), {}, number(1)}
	synsets := []Label{name(wnids[0]), name(wnids[2]), {}, name(wnids[1])}
	for file, is := range truth {
		t.Run(file, func(t *testing.T) {
			s, err := Open(t.Context(), []string{filepath.Join(dir, file)}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			info, entries := s.Infos()[0], s.Entries()
			var columns []string
			for _, c := range info.Columns {
				columns = append(columns, c.Name)
			}
			if diff := cmp.Diff(is.Columns, columns); diff != "" {
				t.Errorf("columns of labels (-want +got):\n%s", diff)
			}
			want := numbers
			if c := is.Columns[len(is.Columns)-1]; c == "synset" || c == "wnid" || file == "text-label.parquet" {
				want = synsets
			}
			named := []string{"a.jpg", "b.jpg", "a.jpg", "row-00000003"}
			var labels []Label
			for i, e := range entries {
				labels = append(labels, e.Label)
				if e.Size != -1 {
					t.Errorf("entry %d has %d bytes before it is read", i, e.Size)
				}
				switch {
				case !is.Names && !strings.HasPrefix(e.Name, "row-"):
					t.Errorf("entry %d is called %s, and the rows have no names", i, e.Name)
				case is.Names && i != 2 && e.Name != named[i]: // row 2 has no image
					t.Errorf("entry %d is called %s, want %s", i, e.Name, named[i])
				}
			}
			if diff := cmp.Diff(want, labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
			if hf := strings.HasPrefix(file, "hf-") || info.Kind == Arrow && info.ClassNames != nil; hf {
				if diff := cmp.Diff(wnids, info.ClassNames); diff != "" {
					t.Errorf("class names (-want +got):\n%s", diff)
				}
			}
			readRows(t, s, images)
		})
	}
}

// readRows reads all rows in order and then at random, backwards.
func readRows(t *testing.T, s *Set, want []string) {
	t.Helper()
	var got []string
	err := s.Each(t.Context(), s.Entries(), func(e Entry, b []byte, err error) error {
		if (want[len(got)] == "") != errors.Is(err, ErrUnreadable) {
			t.Errorf("row %d: %v", len(got), err)
		}
		got = append(got, string(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Each (-want +got):\n%s", diff)
	}
	entries := s.Entries()
	for i := len(entries) - 1; i >= 0; i-- {
		b, err := s.Read(entries[i], make([]byte, 0, 10))
		if string(b) != want[i] || (want[i] == "") != errors.Is(err, ErrUnreadable) {
			t.Errorf("row %d: Read gives %q, %v", i, b, err)
		}
	}
	// Some rows, and not in order.
	some := []Entry{entries[3], entries[0]}
	got = nil
	if err := s.Each(t.Context(), some, func(e Entry, b []byte, err error) error { got = append(got, string(b)); return err }); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{want[3], want[0]}, got); diff != "" {
		t.Errorf("Each of some (-want +got):\n%s", diff)
	}
}

// TestColumnsUnread holds that columns of classes of which a row is no one name or number are
// known, and that others are read beside them.
func TestColumnsUnread(t *testing.T) {
	for file, want := range map[string]string{
		"unread-lists.parquet": "label", "unread-lists.arrow": "label", "unread-structs.parquet": "label", "unread-beside.parquet": "labels",
		"unread-tags.parquet": "tags", "unread-tags-old.parquet": "tags", "lists.parquet": "", "hf-none.parquet": "",
	} {
		s, err := Open(t.Context(), []string{filepath.Join("testdata", "columns", file)}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		info := s.Infos()[0]
		beside := want == "" || want == "labels"
		if got := strings.Join(info.Unread, " "); got != want || (len(info.Columns) == 1) != beside {
			t.Errorf("%s: %q is not read, and %d columns are; want %q", file, got, len(info.Columns), want)
		}
		s.Close()
	}
}

func TestColumnsRefused(t *testing.T) {
	for file, want := range map[string]string{
		"refused-feather1.feather":    "Feather file of version 1",
		"refused-no-image.parquet":    "no column of images among label",
		"refused-paths.parquet":       "column image holds paths",
		"refused-two-images.parquet":  "several columns may be the images: left, right",
		"refused-label-twice.parquet": "2 columns are called label",
		"refused-label-twice.arrow":   "2 columns are called label",
		"refused-image-twice.parquet": "2 columns are called image",
		"refused-image-twice.arrow":   "2 columns are called image",
	} {
		refused(t, filepath.Join("testdata", "columns", file), file, want)
	}
}

func TestStreamWithoutItsEnd(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "columns", "stream.arrow"))
	if err != nil {
		t.Fatal(err)
	}
	for cut, want := range map[int]int{0: 0, 8: 1} {
		_, left, _ := openTest(t, Options{}, write(t, "a.arrow", b[:len(b)-cut]))
		if len(left) != want {
			t.Errorf("%d bytes cut off: %v", cut, left)
		}
	}
}
