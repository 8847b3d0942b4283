package check

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage/files"
)

// TestNames makes a dataset as one was made before names had to be UTF-8: it
// opens, and verify and repair say what is wrong with it.
func TestNames(t *testing.T) {
	dir := shardtest.Copy(t)
	for _, name := range []string{shard.ShardName("val", "", 0), "val/" + shard.IndexName} {
		shardtest.Edit(t, dir, name, func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte("ILSVRC2012_val_00000003.JPEG"), []byte("ILSVRC2012_val_0000000\xe9.JPEG"))
		})
	}
	m, err := shard.ReadManifest(files.Local(dir))
	if err != nil {
		t.Fatal(err)
	}
	info := m.Splits["val"]
	if info.IndexSHA256, err = regular.SHA256(filepath.Join(dir, "val", shard.IndexName)); err != nil {
		t.Fatal(err)
	}
	m.Splits["val"] = info
	if err := shard.WriteManifest(files.Local(dir), m); err != nil {
		t.Fatal(err)
	}

	s := shardtest.OpenSplit(t, dir, "val")
	if _, err := s.Read(2, nil); err != nil || s.Row(2).Path != "ILSVRC2012_val_0000000\xe9.JPEG" {
		t.Errorf("row 2 is %q, %v", s.Row(2).Path, err)
	}
	want := []Problem{{"val/part-00000.arrow", `ILSVRC2012_val_0000000\xe9.JPEG`, "a name of it is not UTF-8, so that other readers refuse the file; ingest it again"}}
	got, err := Verify(context.Background(), files.Local(dir), VerifyOptions{})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("verify: %v (-want +got):\n%s", err, diff)
	}
	repaired, err := Repair(context.Background(), files.Local(dir), RepairOptions{})
	if diff := cmp.Diff(Repaired{Problems: want}, repaired); diff != "" || err != nil {
		t.Errorf("repair: %v (-want +got):\n%s", err, diff)
	}
}
