package shard

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/storage/files"
)

var freeze = flag.Bool("freeze", false, "write testdata/v1 anew; only ever before the first release of a format version")

// places are the columns only a written row has.
var places = cmpopts.IgnoreFields(Row{}, "File", "Offset", "Length", "CRC32C")

// checkFixture holds a dataset to the images that were put in.
func checkFixture(t *testing.T, dir string) {
	d := open(t, dir)
	if diff := cmp.Diff(fixtureClasses, d.Classes(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	for _, name := range fixtureSplits {
		s, err := d.Split(name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Select(Selection{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := sorted(name)
		if diff := cmp.Diff([]int{len(want), len(want)}, []int{s.Len(), v.Len()}); diff != "" {
			t.Fatalf("%s: rows, rows in the view (-want +got):\n%s", name, diff)
		}
		for i, im := range want {
			if diff := cmp.Diff(im.Row, s.Row(i), places, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s row %d (-want +got):\n%s", name, i, diff)
			}
			if diff := cmp.Diff(viewed{im.Path, im.Synset, im.Label, int64(len(im.Bytes))}, viewedAt(v, i), unexported); diff != "" {
				t.Errorf("%s: view's row %d (-want +got):\n%s", name, i, diff)
			}
			b, err := v.Read(i, nil)
			if err != nil || !bytes.Equal(b, im.Bytes) {
				t.Errorf("%s row %d: read %d bytes, %v; want %d", name, i, len(b), err, len(im.Bytes))
			}
			if name == "train" && s.Row(i).File != ShardName("train", im.Synset, 0) {
				t.Errorf("row %d lies in %s", i, s.Row(i).File)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) { checkFixture(t, fixture(t)) }

// TestFrozen opens the dataset that the first release wrote. It must open for
// ever: mend the reader, never the data.
func TestFrozen(t *testing.T) {
	const dir = "testdata/v1"
	if *freeze {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := writeFixture(dir); err != nil {
			t.Fatal(err)
		}
	}
	checkFixture(t, dir)
}

// TestSameBytes writes the dataset twice and wants equal files.
func TestSameBytes(t *testing.T) {
	one, two := filetest.Sums(t, fixture(t)), filetest.Sums(t, fixture(t))
	if diff := cmp.Diff(one, two); diff != "" || len(one) != 11 {
		t.Errorf("%d files, want 11; (-first +second):\n%s", len(one), diff)
	}
}

// TestScan wants of a finished file what Commit said of it.
func TestScan(t *testing.T) {
	for _, count := range []int{0, 1, 63, 64, 65, 200} {
		meta := FileMeta{Split: "train", Synset: "n02123045", Words: "tabby, tabby cat", ClassNames: []string{"a \"b\"", "ü"}, Extra: map[string]string{"source": "x.tar"}}
		var images []*Image
		for i := range count {
			im := fixtureImage(i, 0, string(rune('a'+i%26))+"/"+strings.Repeat("x", i)+".JPEG")
			images = append(images, im)
		}
		path := filepath.Join(t.TempDir(), "train", "synset=n02123045", "part-00000.arrow")
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		want, err := writeShard(path, meta, images)
		if err != nil {
			t.Fatal(err)
		}
		got, gotMeta, err := ScanFile(files.Local(filepath.Dir(path)), filepath.Base(path))
		if err != nil {
			t.Fatalf("%d images: %v", count, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Row{}, "File")); diff != "" {
			t.Errorf("%d images (-committed +scanned):\n%s", count, diff)
		}
		if diff := cmp.Diff(meta, gotMeta); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range want {
			if !bytes.Equal(file[r.Offset:r.Offset+r.Length], images[i].Bytes) {
				t.Errorf("image %d of %d does not lie at %d", i, count, r.Offset)
			}
		}
	}
}

// TestWriterFrees wants every buffer of Arrow's given back, whatever the end.
func TestWriterFrees(t *testing.T) {
	for _, end := range []string{"commit", "abort", "abort early"} {
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		w, err := createFile(files.Local(filepath.Dir(filepath.Join(t.TempDir(), "part-00000.arrow"))), filepath.Base(filepath.Join(t.TempDir(), "part-00000.arrow")), FileMeta{Split: "val"}, mem)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			if err := w.Append(fixtureImage(i, i%4, "x")); err != nil {
				t.Fatal(err)
			}
			if end == "abort early" {
				break
			}
		}
		if end == "commit" {
			if _, err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		} else {
			w.Abort()
		}
		w.Abort() // after the end it does nothing
		if err := w.Append(fixtureImage(1, 1, "late")); err == nil {
			t.Errorf("after %s: an image was accepted", end)
		}
		mem.AssertSize(t, 0)
	}
}

func TestWriterRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "part-00000.arrow")
	w, err := CreateFile(files.Local(filepath.Dir(path)), filepath.Base(path), FileMeta{Split: "val"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(&Image{Row: Row{Path: "empty"}}); err == nil {
		t.Error("an image of no bytes was accepted")
	}
	if err := w.Append(&Image{Bytes: []byte{1}}); err == nil {
		t.Error("an image without a path was accepted")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file has its name before Commit: %v", err)
	}
	w.Abort()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("after Abort there is %v, %v", left, err)
	}
	if _, err := CreateFile(files.Local(filepath.Dir(path)), filepath.Base(path), FileMeta{Extra: map[string]string{"huggingface": "x"}}); err == nil {
		t.Error("metadata with the format's own key was accepted")
	}
}

// TestIndexOrder wants an index in its own order, from rows in any, and a
// writer of sorted rows that refuses others.
func TestIndexOrder(t *testing.T) {
	dir := fixture(t)
	s, err := open(t, dir).Split("train")
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	for i := range s.Len() {
		rows = append(rows, s.Row(i))
	}
	want := s.Info.IndexSHA256
	slices.Reverse(rows)
	first := rows[0].Path
	sum, err := WriteIndex(files.Local(dir), "train", rows)
	if err != nil || sum != want {
		t.Errorf("index of reversed rows has sum %s, %v; want %s", sum, err, want)
	}
	if rows[0].Path != first {
		t.Error("WriteIndex changed the caller's rows")
	}
	w, err := CreateIndex(files.Local(dir), "train")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := errors.Join(w.Append(&rows[0]), w.Append(&rows[1])); err == nil {
		t.Error("rows out of order were accepted")
	}
	if sum, err := w.Commit(); err == nil {
		t.Errorf("an index out of order was committed, sum %s", sum)
	}
}

// TestConcurrentReads reads, with advice, through a cache smaller than the set of files.
func TestConcurrentReads(t *testing.T) {
	d := open(t, fixture(t))
	d.files = newOpenShards(d.dir, 2)
	s, err := d.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Select(Selection{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := sorted("train")
	advisor := d.Advisor(v.Len(), v.Row)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			var buf []byte
			for k := range 200 {
				i := (k*7 + worker*3) % v.Len()
				advisor.WillNeed(i + 5)
				b, err := v.Read(i, buf)
				if err != nil || !bytes.Equal(b, want[i].Bytes) {
					t.Errorf("row %d: %v", i, err)
					return
				}
				advisor.DontNeed(i)
				buf = b
			}
		})
	}
	wg.Wait()
}

// countingDir counts how often each file was opened.
type countingDir struct {
	files.Dir
	opened map[string]int
}

func (c countingDir) Open(name string) (files.Opened, error) {
	c.opened[name]++
	return c.Dir.Open(name)
}

// TestShardsKeptOpen: reading opens what advice has opened no second time, the shard that was not
// used for longest is closed for another, and one that is not there is the reader's to complain of.
func TestShardsKeptOpen(t *testing.T) {
	dir := fixture(t)
	d := open(t, dir)
	opened := map[string]int{}
	d.files = newOpenShards(countingDir{files.Local(dir), opened}, 2)
	s, err := d.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	shard := func(class int) int { return 5 * class } // its first row
	read := func(class int) {
		t.Helper()
		if _, err := s.Read(shard(class), nil); err != nil {
			t.Error(err)
		}
	}
	advisor := d.Advisor(s.Len(), s.Row)
	advisor.WillNeed(shard(0))
	read(0)
	read(1)
	read(0)
	advisor.WillNeed(shard(2) + s.Len()) // 1 goes
	read(2)
	read(0)
	read(1) // again
	want := map[string]int{}
	for class, times := range []int{1, 2, 1} {
		want[s.Row(shard(class)).File] = times
	}
	if diff := cmp.Diff(want, opened); diff != "" {
		t.Errorf("files opened (-want +got):\n%s", diff)
	}
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(s.Row(shard(3)).File))); err != nil {
		t.Fatal(err)
	}
	advisor.WillNeed(shard(3))
	if _, err := s.Read(shard(3), nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a shard that is not there: %v", err)
	}
}

func TestNotADataset(t *testing.T) {
	empty := t.TempDir()
	if _, err := Open(empty); !errors.Is(err, ErrNotDataset) || !strings.Contains(err.Error(), empty) {
		t.Errorf("empty directory: %v", err)
	}
	if _, err := Open(filepath.Join(empty, "absent")); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotDataset) {
		t.Errorf("absent directory: %v", err)
	}
	d := open(t, fixture(t))
	if _, err := d.Split("vall"); !errors.Is(err, ErrNoSplit) || !strings.Contains(err.Error(), "test, train, val") {
		t.Errorf("absent split: %v", err)
	}
}

func TestNewerVersion(t *testing.T) {
	dir := fixture(t)
	path := filepath.Join(dir, ManifestName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte(`"format_version": 1`), []byte(`"format_version": 2`), 1)
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrVersion) {
		t.Errorf("format version 2: %v", err)
	}
}
