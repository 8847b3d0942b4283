package check

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/shard"
)

func TestDuplicates(t *testing.T) {
	synsets := []string{"n02123045", "n02129604", "n07749582"}
	image := func(bytes string, label int, path string) *shard.Image {
		im := &shard.Image{Row: shard.Row{Path: path, Label: int64(label)}, Bytes: []byte(bytes)}
		if label >= 0 {
			im.Synset = synsets[label]
		}
		return im
	}
	d := writeDataset(t, synsets, []splitImages{
		{"train", []*shard.Image{image("1", 0, "a"), image("2", 0, "b"), image("1", 1, "c"), image("4", 1, "d")}},
		{"val", []*shard.Image{image("2", 0, "v1"), image("9", 2, "v2")}},
		{"test", []*shard.Image{image("9", -1, "t1")}},
	})
	var splits []*shard.Split
	for _, name := range []string{"train", "val", "test"} {
		s, err := d.Split(name)
		if err != nil {
			t.Fatal(err)
		}
		splits = append(splits, s)
	}
	want := []Duplicates{
		{LabelsDiffer: true, Copies: []Copy{{"train", "a", 0, "n02123045"}, {"train", "c", 1, "n02129604"}}},
		{SplitsDiffer: true, Copies: []Copy{{"train", "b", 0, "n02123045"}, {"val", "v1", 0, "n02123045"}}},
		{SplitsDiffer: true, Copies: []Copy{{"val", "v2", 2, "n07749582"}, {"test", "t1", -1, ""}}},
	}
	if diff := cmp.Diff(want, FindDuplicates(splits), cmpopts.IgnoreFields(Duplicates{}, "SHA256")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

type splitImages struct {
	name   string
	images []*shard.Image
}

// writeDataset writes a dataset of flat splits and opens it.
func writeDataset(t *testing.T, synsets []string, splits []splitImages) *shard.Dataset {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var classes []shard.Class
	for i, s := range synsets {
		classes = append(classes, shard.Class{Label: i, Synset: s})
	}
	m := shard.Manifest{Splits: map[string]shard.SplitInfo{}}
	var err error
	m.ClassesSHA256, err = shard.WriteClasses(dir, classes)
	must(err)
	for _, s := range splits {
		must(os.MkdirAll(filepath.Join(dir, s.name), 0o777))
		w, err := shard.CreateFile(filepath.Join(dir, filepath.FromSlash(shard.ShardName(s.name, "", 0))), shard.FileMeta{Split: s.name})
		must(err)
		defer w.Abort()
		info := shard.SplitInfo{Rows: int64(len(s.images)), Shards: 1}
		for _, im := range s.images {
			must(w.Append(im))
			info.Bytes += int64(len(im.Bytes))
		}
		rows, err := w.Commit()
		must(err)
		info.IndexSHA256, err = shard.WriteIndex(dir, s.name, rows)
		must(err)
		m.Splits[s.name] = info
	}
	must(shard.WriteManifest(dir, m))
	return open(t, dir)
}
