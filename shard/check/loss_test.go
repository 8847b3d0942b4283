package check

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage/files"
)

// TestLoss loses parts of a dataset, and what would tell of them: repair names what
// is gone and writes nothing, and where the loss is accepted makes a sound dataset of
// what is left, which does not say any more what it was made from.
func TestLoss(t *testing.T) {
	const manifest, classes, list, index = shard.ManifestName, shard.ClassesName, "train/" + shard.ShardsName, "train/" + shard.IndexName
	tiger, val := shard.ShardName("train", "n02129604", 0), shard.ShardName("val", "", 0)
	gone := Problem{File: tiger, What: "it is missing, with 5 images"}
	fewer := Problem{File: "train", What: "15 images in 3 shards, where there were 20 in 4"}
	maybe := Problem{File: classes, What: "class n02129604 (label 1) has no image, and nothing tells whether it had any"}
	for _, c := range []struct {
		name string
		lose []string
		want []Problem
		left int // images to train
	}{
		{"a shard", []string{tiger}, []Problem{gone}, 15},
		{"a shard, and the list", []string{tiger, list}, []Problem{gone}, 15},
		{"a shard, index and list", []string{tiger, list, index}, []Problem{fewer}, 15},
		{"a shard, and the manifest", []string{tiger, manifest}, []Problem{gone}, 15},
		{"a shard, manifest and list", []string{tiger, manifest, list}, []Problem{gone}, 15},
		{"a split's shard", []string{val}, []Problem{{File: val, What: "it is missing, with 8 images"}}, 20},
		{"a split", []string{"val"}, []Problem{{File: "val", What: "0 images in 0 shards, where there were 8 in 1"}}, 20},
		{"a split and the manifest", []string{val, manifest}, []Problem{{File: val, What: "it is missing, with 8 images"}}, 20},
		{"all that has images of a class, and all that tells", []string{tiger, manifest, list, index, "val", "test"}, []Problem{maybe}, 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := summed(t)
			note(t, dir)
			for _, name := range c.lose {
				if err := os.RemoveAll(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
					t.Fatal(err)
				}
			}
			before := filesOf(t, dir)
			got, err := Repair(context.Background(), files.Local(dir), RepairOptions{})
			if diff := cmp.Diff(Repaired{Lost: c.want}, got); diff != "" || err != nil {
				t.Fatalf("%v (-want +got):\n%s", err, diff)
			}
			if diff := cmp.Diff(before, filesOf(t, dir)); diff != "" {
				t.Errorf("refused, and files differ (-want +got):\n%s", diff)
			}
			got, err = Repair(context.Background(), files.Local(dir), RepairOptions{AcceptLoss: true})
			if diff := cmp.Diff(c.want, got.Lost); diff != "" || err != nil || len(got.Wrote) == 0 {
				t.Fatalf("accepted: %v, wrote %v (-want +got):\n%s", err, got.Wrote, diff)
			}
			if left, err := verifyAll(dir); err != nil || len(left) > 0 {
				t.Errorf("afterwards %v, %v", left, err)
			}
			d := shardtest.Open(t, dir)
			if d.Manifest.Options != nil {
				t.Errorf("options of the manifest: %+v", d.Manifest.Options)
			}
			if rows := d.Manifest.Splits["train"].Rows; rows != int64(c.left) {
				t.Errorf("%d rows, not %d", rows, c.left)
			}
			if diff := cmp.Diff(shardtest.Open(t, shardtest.Frozen).Classes(), d.Classes()); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
		})
	}
}

// note puts something into the manifest's options, as an ingest does.
func note(t *testing.T, dir string) {
	t.Helper()
	m, err := shard.ReadManifest(files.Local(dir))
	if err == nil {
		m.Options = []byte(`{"made": "of this"}`)
		err = shard.WriteManifest(files.Local(dir), m)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRejectedLost loses refused images and their list.
func TestRejectedLost(t *testing.T) {
	kept := "rejected/train/a/bad.jpg"
	for _, c := range []struct {
		name, lose string
		want       []Problem
		left       int64
	}{
		{"an image", kept, []Problem{{File: kept, What: "a refused image that was kept: it is missing"}}, 1},
		{"the list", shard.RejectedName, []Problem{
			{File: shard.RejectedName, What: "0 lines, where there were 1"}, {File: shard.RejectedName, What: "it is not what was written, and cannot be made anew"},
		}, 0},
	} {
		dir := small(t)
		remove(t, dir, c.lose)
		got, err := Repair(context.Background(), files.Local(dir), RepairOptions{})
		if diff := cmp.Diff(Repaired{Lost: c.want}, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
		if _, err = Repair(context.Background(), files.Local(dir), RepairOptions{AcceptLoss: true}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if found, err := Verify(context.Background(), files.Local(dir), VerifyOptions{}); err != nil || len(found) > 0 || shardtest.Open(t, dir).Manifest.Rejected != c.left {
			t.Errorf("%s: afterwards %v, %v", c.name, found, err)
		}
	}
}

// TestUnfinished wants an ingest to be continued, and not repaired away.
func TestUnfinished(t *testing.T) {
	dir := small(t)
	remove(t, dir, shard.ManifestName)
	remove(t, dir, shard.ClassesName)
	if err := os.Mkdir(filepath.Join(dir, ".ingest"), 0o777); err != nil {
		t.Fatal(err)
	}
	if got, err := Repair(context.Background(), files.Local(dir), RepairOptions{}); !errors.Is(err, ErrUnfinished) {
		t.Errorf("%+v, %v", got, err)
	}
	got, err := Repair(context.Background(), files.Local(dir), RepairOptions{AcceptLoss: true})
	want := []Problem{
		{File: ".ingest", What: "an ingest has not finished; what it has not written is lost"},
		{File: shard.ClassesName, What: "class b (label 1) has no image, and nothing tells whether it had any"},
	}
	if diff := cmp.Diff(want, got.Lost); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := os.Stat(filepath.Join(dir, ".ingest")); err == nil {
		t.Error("the ingest's state is left")
	}
	if diff := cmp.Diff([]shard.Class{{Label: 0, Synset: "a"}, {Label: 1, Synset: "b"}}, shardtest.Open(t, dir).Classes(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	if found, err := verifyAll(dir); err != nil || len(found) > 0 {
		t.Errorf("afterwards %v, %v", found, err)
	}
}
