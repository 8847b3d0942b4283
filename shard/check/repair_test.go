package check

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage/files"
)

// TestRepair loses files and wants the same bytes back.
func TestRepair(t *testing.T) {
	derived := []string{
		"train/" + shard.IndexName, "val/" + shard.IndexName, "test/" + shard.IndexName, shard.ManifestName, shard.ClassesName,
		"train/" + shard.ShardsName, "val/" + shard.ShardsName, "test/" + shard.ShardsName,
	}
	for _, c := range []struct {
		name  string
		lost  []string
		wrote []string
	}{
		{"nothing", nil, nil},
		{"an index", []string{"val/" + shard.IndexName}, []string{"val/" + shard.IndexName}},
		{"the indexes", derived[:3], []string{"test/" + shard.IndexName, "train/" + shard.IndexName, "val/" + shard.IndexName}},
		{"the manifest", []string{shard.ManifestName}, []string{shard.ManifestName}},
		{"a list of shards", derived[6:7], derived[6:7]},
		{"manifest and index", []string{shard.ManifestName, "train/" + shard.IndexName}, []string{"train/" + shard.IndexName, shard.ManifestName}},
	} {
		dir := summed(t)
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
		got, err := Repair(context.Background(), files.Local(dir), RepairOptions{Workers: 1, OnBytes: func(n int64) { bytes += n }})
		if err != nil || bytes == 0 {
			t.Errorf("%s lost: %d bytes read, %v", c.name, bytes, err)
		}
		forgot := slices.Contains(c.lost, shard.ManifestName)
		if diff := cmp.Diff(Repaired{Wrote: c.wrote, Forgot: forgot}, got); diff != "" {
			t.Errorf("%s lost: what was written (-want +got):\n%s", c.name, diff)
		}
		if forgot {
			delete(before, shard.ManifestName) // what the ingest noted is lost
		}
		after := map[string][]byte{}
		for name := range before {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			after[name] = b
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s lost: paths (-before +after):\n%s", c.name, diff)
		}
		if diff := cmp.Diff(content(t, shardtest.Frozen), content(t, dir)); diff != "" {
			t.Errorf("%s lost: what is read differs (-want +got):\n%s", c.name, diff)
		}
		if left, err := Verify(context.Background(), files.Local(dir), VerifyOptions{}); err != nil || len(left) > 0 {
			t.Errorf("%s lost: afterwards %v, %v", c.name, left, err)
		}
	}
}

// summed is the fixture with the sums that a repair gives a dataset of before.
func summed(t *testing.T) string {
	t.Helper()
	dir := shardtest.Copy(t)
	got, err := Repair(context.Background(), files.Local(dir), RepairOptions{})
	want := Repaired{Wrote: []string{"test/" + shard.ShardsName, "train/" + shard.ShardsName, "val/" + shard.ShardsName, shard.ManifestName}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	return dir
}

// TestRepairClasses loses the class list, and gets synsets and labels back and
// from WordNet the words; that they are not those of before is a loss.
func TestRepairClasses(t *testing.T) {
	dir := shardtest.Copy(t)
	remove(t, dir, shard.ClassesName)
	o := RepairOptions{WordNet: nativetest.WordNet(t)}
	lost := []Problem{{File: shard.ClassesName, What: "made anew it is another: words, glosses, paths or ILSVRC2012_IDs of classes, or classes without an image, are missing"}}
	refused, err := Repair(context.Background(), files.Local(dir), o)
	if diff := cmp.Diff(Repaired{Lost: lost}, refused); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	o.AcceptLoss = true
	made, err := Repair(context.Background(), files.Local(dir), o)
	if err != nil || !slices.Contains(made.Wrote, shard.ClassesName) {
		t.Fatalf("%+v, %v", made, err)
	}
	got := shardtest.Open(t, dir).Classes()
	if diff := cmp.Diff(shardtest.Open(t, shardtest.Frozen).Classes(), got, cmpopts.IgnoreFields(shard.Class{}, "Words", "Gloss", "Path")); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"tiger", "Panthera tigris"}, got[1].Words); diff != "" {
		t.Errorf("words of the tiger (-want +got):\n%s", diff)
	}
	p := got[1].Path
	if diff := cmp.Diff([]string{"n00001740", got[1].Synset}, []string{p[0], p[len(p)-1]}); diff != "" {
		t.Errorf("the ends of the way to the tiger, %v (-want +got):\n%s", p, diff)
	}
}

// TestRepairRefuses wants nothing written where a shard is damaged or another
// process writes.
func TestRepairRefuses(t *testing.T) {
	dir := shardtest.Copy(t)
	tiger := shard.ShardName("train", "n02129604", 0)
	shardtest.FlipImage(t, dir, tiger)
	remove(t, dir, "val/"+shard.IndexName)
	got, err := Repair(context.Background(), files.Local(dir), RepairOptions{})
	want := Repaired{Problems: []Problem{{File: tiger, What: `image "n02129604_5.JPEG" does not have its sha256`}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "val", shard.IndexName)); err == nil {
		t.Error("an index was written beside a damaged shard")
	}

	dir = shardtest.Copy(t)
	lock, err := durable.TryLock(filepath.Join(dir, shard.LockName))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if _, err := Repair(context.Background(), files.Local(dir), RepairOptions{}); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("while locked: %v", err)
	}
	if _, err := Repair(context.Background(), files.Local(t.TempDir()), RepairOptions{}); !errors.Is(err, shard.ErrNotDataset) {
		t.Errorf("an empty directory: %v", err)
	}
}

// content is what a dataset gives to its readers: its classes and the rows of
// every split, each image read and so held to its sum.
func content(t *testing.T, dir string) (out struct {
	Classes []shard.Class
	Rows    map[string][]shard.Row
}) {
	t.Helper()
	d := shardtest.Open(t, dir)
	out.Classes, out.Rows = d.Classes(), map[string][]shard.Row{}
	for _, name := range d.Splits() {
		s, err := d.Split(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Len() {
			if _, err := s.Read(i, nil); err != nil {
				t.Error(err)
			}
			out.Rows[name] = append(out.Rows[name], s.Row(i))
		}
	}
	return out
}

// TestRepairDoubts damages a shard of a dataset that has lost what vouches for it. What
// a repair then calls sound is what was written.
func TestRepairDoubts(t *testing.T) {
	t.Parallel()
	shards := "train/" + shard.ShardsName
	for _, c := range []struct {
		name string
		lost []string
	}{
		{"the manifest and the lists", []string{shard.ManifestName, shards}},
		{"the list", []string{shards}},
		{"the manifest and the index", []string{shard.ManifestName, "train/" + shard.IndexName}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := small(t)
			for _, name := range c.lost {
				remove(t, dir, name)
			}
			file := filepath.Join(dir, filepath.FromSlash(shard.ShardName("train", "a", 0)))
			clean, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for at, b := range filetest.Flips(clean, 3, 41) {
				if err := os.WriteFile(file, b, 0o666); err != nil {
					t.Fatal(err)
				}
				got, err := Repair(context.Background(), files.Local(dir), RepairOptions{Workers: 1})
				if len(got.Problems)+len(got.Lost) == 0 && err == nil {
					t.Fatalf("bit %d of byte %d flipped, and repair wrote %v", at%8, at, got.Wrote)
				}
			}
			if err := os.WriteFile(file, clean, 0o666); err != nil {
				t.Fatal(err)
			}
			got, err := Repair(context.Background(), files.Local(dir), RepairOptions{Workers: 1})
			if len(got.Problems)+len(got.Lost) > 0 || err != nil {
				t.Errorf("undamaged: %+v, %v", got, err)
			}
		})
	}
}

// TestRepairDoubtsNames: a shard with other names of classes, whole in itself, is not taken
// where no list vouches for it; accepted, it is.
func TestRepairDoubtsNames(t *testing.T) {
	dir := summed(t)
	remove(t, dir, shard.ManifestName)
	for _, split := range []string{"train", "val", "test"} {
		remove(t, dir, split+"/"+shard.ShardsName)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "train", "synset=*", "*.arrow"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%v, %v", paths, err)
	}
	in, err := shard.OpenFile(files.Local(filepath.Dir(paths[1])), filepath.Base(paths[1]))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	meta := in.Meta
	meta.ClassNames = slices.Clone(meta.ClassNames)
	meta.ClassNames[0] = strings.ToUpper(meta.ClassNames[0])
	w, err := shard.CreateFile(files.Local(filepath.Dir(paths[1])), filepath.Base(paths[1]), meta)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.EachImage(w.Append); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(dir, paths[1])
	if err != nil {
		t.Fatal(err)
	}
	want := Repaired{Lost: []Problem{{File: rel, What: "its names of classes are not those of other shards, and no list of shards has its sum"}}}
	got, err := Repair(context.Background(), files.Local(dir), RepairOptions{})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := Repair(context.Background(), files.Local(dir), RepairOptions{AcceptLoss: true}); err != nil || len(got.Wrote) == 0 {
		t.Errorf("accepted: %+v, %v", got, err)
	}
}
