package export

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"

	"github.com/synshard/synshard/storage/files"
)

// exported is an image as an export has it.
type exported struct {
	bytes []byte
	label int64
}

// views selects the whole of every split.
func views(t *testing.T, d *shard.Dataset) []Split {
	t.Helper()
	var parts []Split
	for _, name := range d.Splits() {
		s, err := d.Split(name)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, Split{name, shardtest.View(t, s)})
	}
	return parts
}

// wantExported holds what was read back, in any order, to what went in.
func wantExported(t *testing.T, form, split string, got []exported) {
	t.Helper()
	var want []exported
	for _, im := range fixtureImages(t, split) {
		want = append(want, exported{im.Bytes, im.Label})
	}
	anyOrder := cmpopts.SortSlices(func(a, b exported) int { return bytes.Compare(a.bytes, b.bytes) })
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(exported{}), anyOrder); diff != "" {
		t.Errorf("%s: %s (-want +got):\n%s", form, split, diff)
	}
}

func classOf(synset string) int64 { return int64(slices.Index(fixtureClasses, synset)) }

// untar gives the members of a tar.
func untar(t *testing.T, name string) map[string][]byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// synsetLabel is the label of SYNSET/NAME, and -1 of NAME.
func synsetLabel(name string) int64 {
	dir := path.Dir(name)
	if dir == "." {
		return -1
	}
	return classOf(dir)
}

var exportReaders = map[string]func(t *testing.T, out, split string) []exported{
	"folder": func(t *testing.T, out, split string) (got []exported) {
		root := filepath.Join(out, split)
		err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			rel, _ := filepath.Rel(root, p)
			b, err := os.ReadFile(p)
			got = append(got, exported{b, synsetLabel(filepath.ToSlash(rel))})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	},
	"tar": func(t *testing.T, out, split string) (got []exported) {
		for name, b := range untar(t, filepath.Join(out, split+".tar")) {
			got = append(got, exported{b, synsetLabel(name)})
		}
		return got
	},
	"webdataset": func(t *testing.T, out, split string) (got []exported) {
		files, _ := filepath.Glob(filepath.Join(out, split+"-*.tar"))
		for _, name := range files {
			members := untar(t, name)
			for member, b := range members {
				key, ext, _ := strings.Cut(member, ".")
				if ext != "jpg" && ext != "png" {
					continue
				}
				e := exported{b, -1}
				if text, ok := members[key+".cls"]; ok {
					e.label, _ = strconv.ParseInt(string(text), 10, 64)
				}
				got = append(got, e)
				checkNote(t, key, split, members[key+".json"], e)
			}
		}
		return got
	},
	"hf": func(t *testing.T, out, split string) (got []exported) {
		if split == "val" {
			split = "validation"
		}
		files, _ := filepath.Glob(filepath.Join(out, "data", split+"-*-of-*.parquet"))
		for _, name := range files {
			eachParquet(t, name, func(b []byte, _ string, label int64) { got = append(got, exported{b, label}) })
		}
		return got
	},
}

// checkNote holds what a sample's JSON says to the image of these bytes.
func checkNote(t *testing.T, key, split string, text []byte, e exported) {
	t.Helper()
	type note struct {
		Path, SHA256, Format, Mode, Synset string
		Label                              *int64
	}
	var got note
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, im := range fixtureImages(t, split) {
		if !bytes.Equal(im.Bytes, e.bytes) {
			continue
		}
		want := note{im.Path, fmt.Sprintf("%x", im.SHA256), im.Format, im.Mode, im.Synset, &im.Label}
		if im.Label < 0 {
			want.Label = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sample %s (-want +got):\n%s", key, diff)
		}
	}
}

// TestExport reads every form back and wants the same images and labels; done
// again it changes nothing, and another export is not mixed into it.
func TestExport(t *testing.T) {
	d := shardtest.Open(t, shardtest.Copy(t))
	parts := views(t, d)
	for _, form := range Forms {
		out := filepath.Join(t.TempDir(), "out")
		var done int64
		var made []string
		o := Options{To: form, ShardBytes: 3000, OnBytes: func(n int64) { done += n }, Made: func(name string) { made = append(made, name) }}
		if err := Write(context.Background(), files.Local(out), parts, o); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		for _, split := range fixtureSplits {
			wantExported(t, form, split, exportReaders[form](t, out, split))
		}
		if done != 1910+10678+4102 {
			t.Errorf("%s: told of %d bytes", form, done)
		}
		if want := map[string]int{"folder": 4, "tar": 4, "webdataset": 7, "hf": 9}[form]; len(made) != want {
			t.Errorf("%s: made %v, want %d", form, made, want)
		}
		before := snapshot(t, out)
		if err := Write(context.Background(), files.Local(out), parts, o); err != nil {
			t.Errorf("%s again: %v", form, err)
		}
		if diff := cmp.Diff(before, snapshot(t, out)); diff != "" {
			t.Errorf("%s (-before +done again):\n%s", form, diff)
		}
		for _, line := range before { // a flipped bit in any file of the data is found
			name, _, _ := strings.Cut(line, " ")
			if strings.Contains(name, "/.") || isDocument(name) {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 4
			if err := os.WriteFile(name, b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := Write(context.Background(), files.Local(out), parts, o); err != nil {
			t.Errorf("%s over damage: %v", form, err)
		}
		if diff := cmp.Diff(before, snapshot(t, out)); diff != "" {
			t.Errorf("%s (-before +made again over damage):\n%s", form, diff)
		}
		if err := Write(context.Background(), files.Local(out), parts[:1], o); err == nil || !strings.Contains(err.Error(), "another export") {
			t.Errorf("%s: a second export into it: %v", form, err)
		}
	}
}

// isDocument says whether a file is one that people go on writing.
func isDocument(name string) bool {
	return slices.Contains([]string{cardName, croissantName}, filepath.Base(name))
}

// snapshot lists files with what they hold.
func snapshot(t *testing.T, dir string) (list []string) {
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		sum, err := regular.SHA256(p)
		list = append(list, p+" "+sum)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestExportRefuses wants nothing written into somebody's directory, nor out
// of damaged images.
func TestExportRefuses(t *testing.T) {
	dir := shardtest.Copy(t)
	parts := views(t, shardtest.Open(t, dir))
	out := t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "mine"), []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Write(context.Background(), files.Local(out), parts, Options{To: "tar"}); err == nil || !strings.Contains(err.Error(), "mine") {
		t.Errorf("into a full directory: %v", err)
	}
	if err := Write(context.Background(), files.Local(t.TempDir()), parts, Options{To: "zip"}); err == nil {
		t.Error("an unknown form was accepted")
	}
	shardtest.FlipImage(t, dir, shard.ShardName("train", "n02129604", 0))
	for _, form := range Forms {
		out := t.TempDir()
		if err := Write(context.Background(), files.Local(out), parts[1:2], Options{To: form}); !errors.Is(err, shard.ErrCorrupt) {
			t.Errorf("%s of a damaged image: %v", form, err)
		}
		if files, _ := filepath.Glob(filepath.Join(out, "*", "train*.parquet")); len(files) > 0 {
			t.Errorf("%s: %v has its name", form, files)
		}
		if files, _ := filepath.Glob(filepath.Join(out, "train*.tar")); len(files) > 0 {
			t.Errorf("%s: %v has its name", form, files)
		}
	}
}

// fixtureClasses are the classes of the dataset that package shard keeps
// frozen, and fixtureSplits its splits.
var (
	fixtureClasses = []string{"n02123045", "n02129604", "n07749582", "n09472597"}
	fixtureSplits  = []string{"train", "val", "test"}
)

// fixtureImages gives the images of a split of the frozen dataset.
func fixtureImages(t testing.TB, split string) (images []shard.Image) {
	t.Helper()
	s := shardtest.OpenSplit(t, shardtest.Frozen, split)
	for i := range s.Len() {
		b, err := s.Read(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, shard.Image{Row: s.Row(i), Bytes: b})
	}
	return images
}
