package ingest

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/shard"
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
			if o.Out = filepath.Join(t.TempDir(), "ds"); name != "hf" {
				o.Classes = names
			}
			run(t, o)
			set, err := shard.Open(o.Out)
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			s, err := set.Split("train")
			if err != nil {
				t.Fatal(err)
			}
			for i := range s.Len() {
				r := s.Row(i)
				if got := fmt.Sprint(r.Synset, " ", r.Label, " ", imagenet.Stem(r.Path), " ", len(r.Objects)); i >= len(want) || got != want[i] {
					t.Errorf("row %d: %s", i, got)
				}
			}
			if s.Len() != len(want) {
				t.Errorf("%d rows", s.Len())
			}
		})
	}
}
