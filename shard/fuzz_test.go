package shard

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// seed adds a file of the frozen dataset.
func seed(f *testing.F, name string) {
	b, err := os.ReadFile(filepath.Join("testdata/v1", filepath.FromSlash(name)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
}

// corruptOrNil is all that a parser may answer.
func corruptOrNil(t *testing.T, err error) {
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Fatalf("%v", err)
	}
}

func FuzzShard(f *testing.F) {
	seed(f, ShardName("val", "", 0))
	seed(f, ShardName("train", "n02129604", 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := scanBytes(b)
		corruptOrNil(t, err)
		for _, r := range rows {
			if r.Offset < 0 || r.Length < 0 || r.Offset+r.Length > int64(len(b)) {
				t.Fatalf("a row lies at %d, %d bytes, of %d", r.Offset, r.Length, len(b))
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	seed(f, "train/index.arrow")
	seed(f, "test/index.arrow")
	f.Fuzz(func(t *testing.T, b []byte) { corruptOrNil(t, readAll(parseIndex(b))) })
}

func FuzzClasses(f *testing.F) {
	seed(f, ClassesName)
	f.Fuzz(func(t *testing.T, b []byte) {
		classes, err := parseClasses(b)
		corruptOrNil(t, err)
		for i, c := range classes {
			if c.Label != i {
				t.Fatalf("class %d has label %d", i, c.Label)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	seed(f, ManifestName)
	f.Add([]byte(`{"format_version":2}`))
	f.Add([]byte(`{"format_version":1,"splits":{"../x":{}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if errors.Is(err, ErrVersion) {
			return
		}
		corruptOrNil(t, err)
		if err != nil {
			return
		}
		for name := range m.Splits {
			if filepath.Dir(filepath.Join("d", name)) != "d" {
				t.Fatalf("split %q leads elsewhere", name)
			}
		}
	})
}
