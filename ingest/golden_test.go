package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/shard"
)

// TestForeign reads what datasets, pyarrow and webdataset wrote.
func TestForeign(t *testing.T) {
	want := []string{"n01443537 0 p1 0", "n01443537 0 p2 0", "n02391049 1 p0 0", "n02391049 1 p3 0"}
	names := []string{"n02391049", "n01443537"}
	for name, o := range map[string]Options{
		"hf":    {Parquet: []string{"testdata/hf.parquet"}},
		"plain": {Parquet: []string{"testdata/plain.parquet"}, Classes: names},
		"web":   {WebDataset: []string{"testdata/web.tar"}, Classes: names},
	} {
		t.Run(name, func(t *testing.T) {
			o.Out = filepath.Join(t.TempDir(), "ds")
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
				if got := fmt.Sprint(r.Synset, " ", r.Label, " ", stem(r.Path), " ", len(r.Objects)); i >= len(want) || got != want[i] {
					t.Errorf("row %d: %s", i, got)
				}
			}
			if s.Len() != len(want) {
				t.Errorf("%d rows", s.Len())
			}
		})
	}
}

// FuzzParquet gives damaged files to the reader, which may refuse them and do
// no more.
func FuzzParquet(f *testing.F) {
	for _, name := range []string{"testdata/hf.parquet", "testdata/plain.parquet"} {
		f.Add([]byte(read(f, name)))
	}
	path := filepath.Join(f.TempDir(), "x.parquet")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if _, sizes, err := parquetHead(in); err == nil {
			for _, n := range sizes {
				if n < 0 {
					t.Fatalf("a row group of %d bytes", n)
				}
			}
		}
	})
}

// FuzzZip lists and reads damaged zips.
func FuzzZip(f *testing.F) {
	dir := f.TempDir()
	put(f, dir, "in/a/1.jpg", "x", "in/b/2.jpg", "yy")
	path := filepath.Join(dir, "x.zip")
	zipped(f, filepath.Join(dir, "in"), path)
	f.Add([]byte(read(f, path)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		j := &job{}
		defer j.close()
		list, err := j.openTree(path)
		if err != nil {
			return
		}
		for _, e := range list {
			if e.size > 1<<20 {
				continue
			}
			if got, err := e.read(); err == nil && int64(len(got)) != e.size {
				t.Fatalf("%s: %d bytes of %d", e.name, len(got), e.size)
			}
		}
	})
}
