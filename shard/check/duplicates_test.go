package check

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
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
	dir := t.TempDir()
	shardtest.Write(t, dir, synsets,
		shardtest.Split{Name: "train", Images: []*shard.Image{image("1", 0, "a"), image("2", 0, "b"), image("1", 1, "c"), image("4", 1, "d")}},
		shardtest.Split{Name: "val", Images: []*shard.Image{image("2", 0, "v1"), image("9", 2, "v2")}},
		shardtest.Split{Name: "test", Images: []*shard.Image{image("9", -1, "t1")}},
		shardtest.Split{Name: "extra", Images: []*shard.Image{image("4", 1, "x1")}})
	d := shardtest.Open(t, dir)
	got, err := FindDuplicates(d)
	if err != nil {
		t.Fatal(err)
	}
	want := []Duplicates{ // extra, the first by name, stands behind the usual ones
		{LabelsDiffer: true, Copies: []Copy{{"train", "a", 0, "n02123045"}, {"train", "c", 1, "n02129604"}}},
		{SplitsDiffer: true, Copies: []Copy{{"train", "b", 0, "n02123045"}, {"val", "v1", 0, "n02123045"}}},
		{SplitsDiffer: true, Copies: []Copy{{"train", "d", 1, "n02129604"}, {"extra", "x1", 1, "n02129604"}}},
		{SplitsDiffer: true, Copies: []Copy{{"val", "v2", 2, "n07749582"}, {"test", "t1", -1, ""}}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Duplicates{}, "SHA256")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
