package shard

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/durable"
)

// TestRepair loses files and wants the same bytes back.
func TestRepair(t *testing.T) {
	derived := []string{"train/" + IndexName, "val/" + IndexName, "test/" + IndexName, ManifestName, ClassesName}
	for _, c := range []struct {
		name  string
		lost  []string
		wrote []string
	}{
		{"nothing", nil, nil},
		{"an index", []string{"val/" + IndexName}, []string{"val/" + IndexName}},
		{"the indexes", derived[:3], []string{"test/" + IndexName, "train/" + IndexName, "val/" + IndexName}},
		{"the manifest", []string{ManifestName}, []string{ManifestName}},
		{"manifest and index", []string{ManifestName, "train/" + IndexName}, []string{"train/" + IndexName, ManifestName}},
	} {
		dir := fixture(t)
		before := map[string][]byte{}
		for _, name := range derived {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			before[name] = b
		}
		for _, name := range c.lost {
			remove(t, dir, name)
		}
		var bytes int64
		wrote, bad, err := Repair(context.Background(), dir, RepairOptions{Workers: 1, OnBytes: func(n int64) { bytes += n }})
		if err != nil || len(bad) > 0 || !slices.Equal(wrote, c.wrote) || bytes == 0 {
			t.Errorf("%s lost: wrote %v, problems %v, %v; want %v", c.name, wrote, bad, err, c.wrote)
		}
		for _, name := range derived {
			b, err := os.ReadFile(filepath.Join(dir, name))
			want := before[name]
			if name == ManifestName && slices.Contains(c.lost, name) {
				continue // what the ingest noted is lost
			}
			if err != nil || !slices.Equal(b, want) {
				t.Errorf("%s lost: %s differs afterwards, %v", c.name, name, err)
			}
		}
		checkFixture(t, dir)
		if left, err := Verify(context.Background(), dir, VerifyOptions{}); err != nil || len(left) > 0 {
			t.Errorf("%s lost: afterwards %v, %v", c.name, left, err)
		}
	}
}

// TestRepairClasses loses the class list, and gets synsets and labels back and
// from WordNet the words.
func TestRepairClasses(t *testing.T) {
	dir := fixture(t)
	remove(t, dir, ClassesName)
	wrote, bad, err := Repair(context.Background(), dir, RepairOptions{WordNet: miniWordNet(t)})
	if err != nil || len(bad) > 0 || !slices.Contains(wrote, ClassesName) {
		t.Fatalf("wrote %v, problems %v, %v", wrote, bad, err)
	}
	got := open(t, dir).Classes()
	if diff := cmp.Diff(fixtureClasses, got, cmpopts.IgnoreFields(Class{}, "Words", "Gloss", "Path")); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	if c := got[1]; len(c.Words) < 2 || c.Words[0] != "tiger" || c.Path[0] != "n00001740" || c.Path[len(c.Path)-1] != c.Synset {
		t.Errorf("the tiger is %+v", c)
	}
}

// TestRepairRefuses wants nothing written where a shard is damaged or another
// process writes.
func TestRepairRefuses(t *testing.T) {
	dir := fixture(t)
	flipImage(t, dir)
	remove(t, dir, "val/"+IndexName)
	wrote, bad, err := Repair(context.Background(), dir, RepairOptions{})
	if err != nil || len(wrote) > 0 || len(bad) != 1 || bad[0].File != ShardName("train", "n02129604", 0) {
		t.Errorf("wrote %v, problems %v, %v", wrote, bad, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "val", IndexName)); err == nil {
		t.Error("an index was written beside a damaged shard")
	}

	dir = fixture(t)
	lock, err := durable.TryLock(filepath.Join(dir, LockName))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, _, err := Repair(context.Background(), dir, RepairOptions{}); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("while locked: %v", err)
	}
	if _, _, err := Repair(context.Background(), t.TempDir(), RepairOptions{}); !errors.Is(err, ErrNotDataset) {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestDuplicates(t *testing.T) {
	dir := t.TempDir()
	var splits []*Split
	files := map[string][]*Image{
		"train": {fixtureImage(1, 0, "a"), fixtureImage(2, 0, "b"), fixtureImage(1, 1, "c"), fixtureImage(4, 1, "d")},
		"val":   {fixtureImage(2, 0, "v1"), fixtureImage(9, 2, "v2")},
		"test":  {fixtureImage(9, -1, "t1")},
	}
	for _, name := range fixtureSplits {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		rows, err := writeShard(filepath.Join(dir, filepath.FromSlash(ShardName(name, "", 0))), FileMeta{Split: name}, files[name])
		if err != nil {
			t.Fatal(err)
		}
		sum, err := WriteIndex(dir, name, rows)
		if err != nil {
			t.Fatal(err)
		}
		x, err := readIndex(dir, name, SplitInfo{Rows: int64(len(rows)), IndexSHA256: sum})
		if err != nil {
			t.Fatal(err)
		}
		splits = append(splits, &Split{Name: name, index: x})
	}
	got := FindDuplicates(splits)
	want := []Duplicates{
		{Labels: true, Copies: []Copy{{"train", "a", 0, "n02123045"}, {"train", "c", 1, "n02129604"}}},
		{Splits: true, Copies: []Copy{{"train", "b", 0, "n02123045"}, {"val", "v1", 0, "n02123045"}}},
		{Splits: true, Copies: []Copy{{"val", "v2", 2, "n07749582"}, {"test", "t1", -1, ""}}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Duplicates{}, "SHA256")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
