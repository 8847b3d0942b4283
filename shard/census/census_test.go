package census

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/wordnet"
)

// A diamond, with a leaf below it: 1 -> 2, 3 -> 4 -> 5.
const nouns = `  1 WordNet 3.0
00000001 03 n 01 top 0 002 ~ 00000002 n 0000 ~ 00000003 n 0000 | top
00000002 03 n 01 left 0 002 @ 00000001 n 0000 ~ 00000004 n 0000 | left
00000003 03 n 01 right 0 002 @ 00000001 n 0000 ~ 00000004 n 0000 | right
00000004 03 n 01 both 0 003 @ 00000002 n 0000 @ 00000003 n 0000 ~ 00000005 n 0000 | both
00000005 03 n 01 leaf 0 001 @ 00000004 n 0000 | leaf
`

func graph(t *testing.T) *wordnet.Graph {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data.noun"), []byte(nouns), 0o666); err != nil {
		t.Fatal(err)
	}
	g, err := wordnet.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestCount counts a dataset of two splits, in which images of one class, of both and of
// none lie.
func TestCount(t *testing.T) {
	synsets := []string{"n00000004", "n00000005", "other"}
	image := func(bytes string, label int64, path string) *shard.Image {
		im := &shard.Image{Row: shard.Row{Path: path, Label: label}, Bytes: []byte(bytes)}
		if label >= 0 {
			im.Synset = synsets[label]
		}
		return im
	}
	dir := t.TempDir()
	shardtest.Write(t, dir, synsets,
		shardtest.Split{Name: "train", BySynset: true, Images: []*shard.Image{image("1", 0, "a"), image("22", 1, "b"), image("333", 1, "c"), image("7", 2, "o")}},
		shardtest.Split{Name: "val", Images: []*shard.Image{image("4444", 1, "v"), image("55555", -1, "w")}})
	set := shardtest.Open(t, dir)
	var views []View
	for _, name := range []string{"val", "train"} { // in this order
		views = append(views, View{name, shardtest.View(t, shardtest.OpenSplit(t, dir, name))})
	}
	splits, found := Count(set, views)
	if diff := cmp.Diff([]Split{
		{Name: "val", Tally: Tally{2, 9}, Shards: 1, Synsets: 1},
		{Name: "train", Tally: Tally{4, 7}, Shards: 3, Synsets: 3},
	}, splits); diff != "" {
		t.Errorf("splits (-want +got):\n%s", diff)
	}
	val := views[0]
	val.View = val.Where(func(i int) bool { return false })
	train := views[1]
	train.View = train.Where(func(i int) bool { return train.Synset(i) == synsets[1] })
	if some, _ := Count(set, []View{val, train}); some[0].Shards != 0 || some[1].Shards != 1 {
		t.Errorf("shards of none and of one synset: %+v", some)
	}
	want := []Synset{
		{Tally: Tally{1, 5}, Splits: map[string]Tally{"val": {1, 5}}},
		{Synset: "n00000004", Tally: Tally{1, 1}, Splits: map[string]Tally{"train": {1, 1}}},
		{Synset: "n00000005", Tally: Tally{3, 9}, Splits: map[string]Tally{"train": {2, 5}, "val": {1, 4}}},
		{Synset: "other", Tally: Tally{1, 1}, Splits: map[string]Tally{"train": {1, 1}}},
	}
	if diff := cmp.Diff(want, found, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("synsets (-want +got):\n%s", diff)
	}
	leaf := &Node{Synset: "n00000005", Words: []string{"leaf"}, Tally: Tally{3, 9}}
	both := &Node{Synset: "n00000004", Words: []string{"both"}, Tally: Tally{4, 10}, Children: []*Node{leaf}}
	right := &Node{Synset: "n00000003", Words: []string{"right"}, Tally: Tally{4, 10}}
	beside := []*Node{{Tally: Tally{1, 5}}, {Synset: "other", Tally: Tally{1, 1}}}
	tree := func(left *Node) []*Node {
		return append([]*Node{{Synset: "n00000001", Words: []string{"top"}, Tally: Tally{4, 10}, Children: []*Node{left, right}}}, beside...)
	}
	left := &Node{Synset: "n00000002", Words: []string{"left"}, Tally: Tally{4, 10}}
	whole := *left
	whole.Children = []*Node{both} // the shortest way, and of equals the one of the lesser ids
	for depth, want := range map[int][]*Node{0: tree(&whole), 4: tree(&whole), 2: tree(left)} {
		if diff := cmp.Diff(want, Tree(found, graph(t), depth), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("tree of depth %d (-want +got):\n%s", depth, diff)
		}
	}
}
