package ingest

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/shard/shardtest"

	"github.com/synshard/synshard/storage/files"
)

// TestForeign reads what datasets, pyarrow and webdataset wrote.
func TestForeign(t *testing.T) {
	want := []string{"n01443537 1 p1 0", "n01443537 1 p2 0", "n02391049 0 p0 0", "n02391049 0 p3 0"}
	names := list(t, "n02391049", "n01443537") // the ClassLabel's of hf
	for name, o := range map[string]Options{
		"hf":    of("testdata/hf.parquet"),
		"plain": of("testdata/plain.parquet"),
		"web":   of("testdata/web.tar"),
	} {
		t.Run(name, func(t *testing.T) {
			if o.Out = files.Local(filepath.Join(t.TempDir(), "ds")); name != "hf" {
				o.Classes = names
			}
			run(t, o)
			s := shardtest.OpenSplit(t, o.Out.String(), "train")
			var got []string
			for i := range s.Len() {
				r := s.Row(i)
				got = append(got, fmt.Sprint(r.Synset, " ", r.Label, " ", imagenet.Stem(r.Path), " ", len(r.Objects)))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}
