package shard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/storage/files"
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

// FuzzLists: a dataset's lists of shards and of refused images, and the boxes that an
// export keeps, are ErrCorrupt or name nothing outside the dataset; what is read and
// written again is read as it was.
func FuzzLists(f *testing.F) {
	for _, s := range []string{`{"file":"train/a.arrow","rows":2,"size":3,"crc32c":4}` + "\n" + `{"file":"train/b.arrow"}`, `{"file":"../x","rows":1}`, `{"file":"","rows":-1}`, `{"split":"train","path":"a","reason":"x","file":"rejected/a"}` + "\n" + `{"file":"/etc"}`, `{"sha256":"` + strings.Repeat("0a", 32) + `","path":"a","objects":[{"synset":"n01","xmin":1}]}`, "[1]", "{}\n{"} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "train"), 0o777), os.MkdirAll(filepath.Join(dir, ExportName), 0o777), WriteExportMark(files.Local(dir), map[string]int{"version": 1})); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range []string{"train/" + ShardsName, RejectedName, ExportName + "/" + ObjectsName} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		_, err := ReadExportObjects(files.Local(dir))
		corruptOrNil(t, err)
		shards, err := ReadShards(files.Local(dir), "train", "")
		corruptOrNil(t, err)
		if err == nil {
			readsBack(t, shards, func() (string, error) { return WriteShards(files.Local(dir), "train", shards) }, func(sum string) ([]ShardInfo, error) { return ReadShards(files.Local(dir), "train", sum) })
		}
		for _, s := range shards {
			within(t, s.File)
		}
		rejected, err := ReadRejected(files.Local(dir), "")
		corruptOrNil(t, err)
		if err == nil && len(rejected) > 0 {
			readsBack(t, rejected, func() (string, error) { return WriteRejected(files.Local(dir), rejected) }, func(sum string) ([]Rejection, error) { return ReadRejected(files.Local(dir), sum) })
		}
		for _, r := range rejected {
			if r.File != "" {
				within(t, r.File)
			}
		}
	})
}

// readsBack holds a list to what is read of it once it is written; the order is the
// writer's.
func readsBack[T any](t *testing.T, list []T, write func() (string, error), read func(sum string) ([]T, error)) {
	t.Helper()
	sum, err := write()
	if err != nil {
		t.Fatal(err)
	}
	again, err := read(sum)
	if err != nil {
		t.Fatal(err)
	}
	less := func(a, b T) bool { return fmt.Sprintf("%#v", a) < fmt.Sprintf("%#v", b) }
	if diff := cmp.Diff(list, again, cmpopts.EquateEmpty(), cmpopts.SortSlices(less)); diff != "" {
		t.Errorf("written and read (-was +is):\n%s", diff)
	}
}

func within(t *testing.T, file string) {
	t.Helper()
	if p := filepath.Join("/d", filepath.FromSlash(file)); file != "" && p != "/d" && !strings.HasPrefix(p, "/d/") {
		t.Errorf("%q leads elsewhere", file)
	}
}

// FuzzFeatures: the metadata that shards carry for Hugging Face are ErrCorrupt, or the
// names that were put there.
func FuzzFeatures(f *testing.F) {
	f.Add(`{"info":{"features":{"label":{"names":["a","b"],"_type":"ClassLabel"}}}}`, "tench, Tinca tinca")
	f.Add(`{"info":{"features":{"label":[]}}}`, "\xff\n")
	f.Fuzz(func(t *testing.T, text, name string) {
		_, err := hfNames(text)
		corruptOrNil(t, err)
		if !utf8.ValidString(name) {
			return // ensured before
		}
		own, err := hfFeatures([]string{name, "b"})
		if err != nil {
			t.Fatal(err)
		}
		names, err := hfNames(own)
		if diff := cmp.Diff([]string{name, "b"}, names); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}
