package check

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage/files"
)

// TestRepairDoubtsClasses flips bits of a class list whose sum is lost with the
// manifest: none is taken for what was written.
func TestRepairDoubtsClasses(t *testing.T) {
	o := RepairOptions{WordNet: nativetest.WordNet(t)}
	dir := shardtest.Copy(t)
	classes := shardtest.Open(t, dir).Classes()
	for i := range classes {
		classes[i].Describe(o.WordNet)
	}
	if _, err := shard.WriteClasses(files.Local(dir), classes); err != nil {
		t.Fatal(err)
	}
	path, manifest := filepath.Join(dir, shard.ClassesName), filepath.Join(dir, shard.ManifestName)
	repaired := func() Repaired {
		if err := os.RemoveAll(manifest); err != nil {
			t.Fatal(err)
		}
		got, err := Repair(context.Background(), files.Local(dir), o)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := repaired(); len(got.Lost)+len(got.Problems) > 0 {
		t.Fatalf("nothing is damaged, and %+v", got)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at, b := range filetest.Flips(whole, 0, 31) {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		got := repaired()
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Lost)+len(got.Problems) == 0 && !bytes.Equal(after, whole) {
			t.Errorf("bit %d of byte %d is taken for what was written", at%8, at)
		}
		if err := os.WriteFile(path, whole, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
