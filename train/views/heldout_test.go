package views

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
)

// set is a dataset of two hundred images of each of two classes, all in split train.
func set(t *testing.T) *shard.Dataset {
	t.Helper()
	synsets := []string{"n00000001", "n00000002"}
	var images []*shard.Image
	for i := range 400 {
		s := synsets[i%2]
		images = append(images, &shard.Image{Row: shard.Row{Path: fmt.Sprintf("%s_%d.JPEG", s, i), Synset: s, Label: int64(i % 2)}, Bytes: []byte{1}})
	}
	dir := t.TempDir()
	shardtest.Write(t, dir, synsets, shardtest.Split{Name: "train", Images: images})
	return shardtest.Open(t, dir)
}

func paths(v *shard.View) map[string]bool {
	out := map[string]bool{}
	for i := range v.Len() {
		out[v.Path(i)] = true
	}
	return out
}

func valPaths(s loader.Source) map[string]bool { return paths(s.(*shard.View)) }

// TestFolds: k folds have nothing in common and are all images, what is trained on is the
// rest, and a fraction of 1/k is the first fold.
func TestFolds(t *testing.T) {
	const k = 5
	d, all := set(t), map[string]int{}
	for fold := range k {
		v, err := Open(d, Options{Split: "train", ValSplit: "val", HeldOut: HeldOut{Fold: fold, Folds: k, Seed: 3}})
		if err != nil {
			t.Fatal(err)
		}
		train, val := paths(v.Train), valPaths(v.val)
		if len(val) < 50 || len(val) > 110 {
			t.Errorf("fold %d has %d images of 400", fold, len(val))
		}
		for p := range val {
			all[p]++
			if train[p] {
				t.Errorf("fold %d: %s is both", fold, p)
			}
		}
		if len(train)+len(val) != 400 {
			t.Errorf("fold %d: %d and %d images", fold, len(train), len(val))
		}
		if id := v.MadeFrom(); id["fold"] != fmt.Sprintf("%d/5", fold) || id["split-seed"] != "3" || id["val-split"] != "" {
			t.Errorf("identity %v", id)
		}
		if fold > 0 {
			continue
		}
		f, err := Open(d, Options{Split: "train", HeldOut: HeldOut{Fraction: 1. / k, Seed: 3}})
		if err != nil || !maps.Equal(valPaths(f.val), val) {
			t.Errorf("a fraction of 1/%d is not the first fold: %v", k, err)
		}
	}
	if len(all) != 400 || slices.Max(slices.Collect(maps.Values(all))) != 1 {
		t.Errorf("%d of 400 images are in a fold, some in several", len(all))
	}
}

// TestHeldOutOfASelection: what is limited is what is learnt.
func TestHeldOutOfASelection(t *testing.T) {
	d := set(t)
	v, err := Open(d, Options{Split: "train", Selection: shard.Selection{LimitPerSynset: 20}, HeldOut: HeldOut{Fraction: 0.5}})
	if err != nil {
		t.Fatal(err)
	}
	if v.Train.Len() > 40 || v.Train.Len() < 5 || v.val.Len() < 120 {
		t.Errorf("%d images to learn, %d to validate on", v.Train.Len(), v.val.Len())
	}
	for _, h := range []HeldOut{{Fraction: -0.1}, {Fraction: 1}, {Folds: 1}, {Fold: 2, Folds: 2}, {Fold: -1, Folds: 2}, {Fraction: 0.1, Folds: 2}} {
		if _, err := Open(d, Options{Split: "train", HeldOut: h}); err == nil {
			t.Errorf("%+v is taken", h)
		}
	}
	if _, err := Open(d, Options{Split: "train", HeldOut: HeldOut{Fraction: 1e-9}}); err == nil || !strings.Contains(err.Error(), "too small a fraction") {
		t.Errorf("nothing held out: %v", err)
	}
}
