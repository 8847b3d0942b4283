package check

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage/files"
)

// TestMisplaced swaps two classes' shards, and lays one into another split:
// verify says so, by a fast look too, and repair does not make a dataset of it.
func TestMisplaced(t *testing.T) {
	tabby, tiger := shard.ShardName("train", "n02123045", 0), shard.ShardName("train", "n02129604", 0)
	val := shard.ShardName("val", "", 0)
	for _, c := range []struct {
		name string
		move func(t *testing.T, dir string)
		want []Problem
	}{
		{"swapped", func(t *testing.T, dir string) {
			rename(t, dir, tabby, "aside")
			rename(t, dir, tiger, tabby)
			rename(t, dir, "aside", tiger)
		}, []Problem{
			{File: tabby, What: "it belongs into train/synset=n02129604"},
			{File: tiger, What: "it belongs into train/synset=n02123045"},
		}},
		{"of another split", func(t *testing.T, dir string) {
			rename(t, dir, tiger, "train/synset=n02129604/part-00001.arrow")
			rename(t, dir, val, tiger)
		}, []Problem{{File: tiger, What: `it belongs to split "val"`}}},
	} {
		dir := shardtest.Copy(t)
		c.move(t, dir)
		for _, fast := range []bool{true, false} {
			got, err := Verify(context.Background(), files.Local(dir), VerifyOptions{Fast: fast})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range c.want {
				if !slices.Contains(got, p) {
					t.Errorf("%s, fast %v: found %v, want %v", c.name, fast, got, p)
				}
			}
		}
		got, err := Repair(context.Background(), files.Local(dir), RepairOptions{})
		if diff := cmp.Diff(Repaired{Problems: c.want}, got); diff != "" || err != nil {
			t.Errorf("%s: repair: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}

func rename(t *testing.T, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, filepath.FromSlash(from)), filepath.Join(dir, filepath.FromSlash(to))); err != nil {
		t.Fatal(err)
	}
}
