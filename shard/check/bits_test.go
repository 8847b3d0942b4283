package check

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// smallShard writes the shard of the small dataset, whose second class is called so.
func smallShard(t testing.TB, dir, second string) ([]shard.Row, shard.ShardInfo) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(shard.ShardName("train", "a", 0)))
	w, err := shard.CreateFile(files.Local(filepath.Dir(path)), filepath.Base(path), shard.FileMeta{Split: "train", Synset: "a", ClassNames: []string{"a", second}})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Append(&shard.Image{Row: shard.Row{Path: "x.jpg", Synset: "a", Width: 1, Height: 1, Format: "JPEG"}, Bytes: []byte("an image")})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return rows, w.Info()
}

// small writes a dataset as small as one can be that has every kind of file: a
// shard, a refused image, options.
func small(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	classes := []shard.Class{{Label: 0, Synset: "a"}, {Label: 1, Synset: "b"}}
	m := shard.Manifest{Splits: map[string]shard.SplitInfo{}, Options: []byte(`{"entries": "00ff"}`)}
	var err error
	m.ClassesSHA256, err = shard.WriteClasses(files.Local(dir), classes)
	must(err)
	file := shard.ShardName("train", "a", 0)
	must(os.MkdirAll(filepath.Dir(filepath.Join(dir, filepath.FromSlash(file))), 0o777))
	rows, listed := smallShard(t, dir, "b")
	info := shard.SplitInfo{Rows: 1, Bytes: rows[0].Length, Shards: 1}
	info.IndexSHA256, err = shard.WriteIndex(files.Local(dir), "train", rows)
	must(err)
	info.ShardsSHA256, err = shard.WriteShards(files.Local(dir), "train", []shard.ShardInfo{listed})
	must(err)
	m.Splits["train"] = info
	bad := []byte("no image")
	r := shard.Rejection{Split: "train", Synset: "a", Path: "bad.jpg", Source: "s", Reason: "it is none", Bytes: int64(len(bad)), SHA256: fmt.Sprintf("%x", sha256.Sum256(bad)), File: "rejected/train/a/bad.jpg"}
	must(os.MkdirAll(filepath.Join(dir, "rejected/train/a"), 0o777))
	must(os.WriteFile(filepath.Join(dir, r.File), bad, 0o666))
	m.Rejected = 1
	m.RejectedSHA256, err = shard.WriteRejected(files.Local(dir), []shard.Rejection{r})
	must(err)
	must(os.WriteFile(filepath.Join(dir, shard.LockName), nil, 0o666))
	must(shard.WriteManifest(files.Local(dir), m))
	found, err := verifyAll(dir)
	if err != nil || len(found) > 0 {
		t.Fatalf("sound, and verify finds %v, %v", found, err)
	}
	return dir
}

// verifyAll verifies and gives what is wrong and what is foreign.
func verifyAll(dir string) ([]string, error) {
	var out []string
	found, err := Verify(context.Background(), files.Local(dir), VerifyOptions{Workers: 1, OnForeign: func(file string) { out = append(out, file) }})
	for _, p := range found {
		out = append(out, p.String())
	}
	return out, err
}

// filesOf lists the files of a dataset.
func filesOf(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestEveryByte flips a bit of every byte of every file of a dataset, and every bit
// of the manifest, which alone has its sum in itself; cuts and lengthens each file;
// loses each; and puts others beside. Verify finds all of it.
func TestEveryByte(t *testing.T) {
	raced.Skip(t, "TestDamage is watched")
	t.Parallel()
	dir := small(t)
	names := filesOf(t, dir)
	if len(names) < 8 {
		t.Fatalf("only %v", names)
	}
	flips := 0
	for _, name := range names {
		path := filepath.Join(dir, filepath.FromSlash(name))
		clean, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		look := func(what string) {
			found, err := verifyAll(dir)
			if err == nil && len(found) == 0 {
				t.Errorf("%s: %s, and nothing is found", name, what)
			}
			if err != nil && name != shard.ManifestName { // a version of the future is an error
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		try := func(what string, b []byte) {
			if err := os.WriteFile(path, b, 0o666); err != nil {
				t.Fatal(err)
			}
			look(what)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		put := func(at int, b byte) {
			if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
		for at, b := range clean {
			for bit := range 8 {
				if bit != (at*5+3)%8 && name != shard.ManifestName {
					continue
				}
				put(at, b^1<<bit)
				look(fmt.Sprintf("bit %d of byte %d flipped", bit, at))
				flips++
			}
			put(at, b)
		}
		f.Close()
		for _, n := range []int{1, 8, 100} {
			try(fmt.Sprintf("%d zeros more", n), append(bytes.Clone(clean), make([]byte, n)...))
			if n <= len(clean) {
				try(fmt.Sprintf("%d bytes cut", n), clean[:len(clean)-n])
			}
		}
		if name != shard.LockName && name != shard.ManifestName {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if found, err := verifyAll(dir); err != nil || len(found) == 0 {
				t.Errorf("%s is gone: %v, %v", name, found, err)
			}
		}
		if err := os.WriteFile(path, clean, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d flips in %d files", flips, len(names))
	for _, name := range []string{"notes.txt", "train/.x.tmp-0123456789ab", "train/synset=a/more", "test/part-00000.arrow", "rejected/train/a/b.jpg"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
		found, err := verifyAll(dir)
		if !slices.ContainsFunc(found, func(s string) bool { return strings.HasPrefix(s, name) }) || err != nil {
			t.Errorf("%s lies there, and verify finds %v, %v", name, found, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestListTells puts a sound shard with another name of a class in the place of one: the list
// tells them apart, though index and rows agree.
func TestListTells(t *testing.T) {
	dir := small(t)
	file := shard.ShardName("train", "a", 0)
	smallShard(t, dir, "c")
	want := []Problem{{File: file, What: "it does not have the crc32c of the list of shards"}}
	got, err := Verify(context.Background(), files.Local(dir), VerifyOptions{})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("verify: %v (-want +got):\n%s", err, diff)
	}
	repaired, err := Repair(context.Background(), files.Local(dir), RepairOptions{AcceptLoss: true})
	if diff := cmp.Diff(Repaired{Problems: want}, repaired); diff != "" || err != nil {
		t.Errorf("repair: %v (-want +got):\n%s", err, diff)
	}
}
