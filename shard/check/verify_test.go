package check

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/synshard/synshard/shard"
)

// fixture copies the dataset that package shard keeps frozen into a directory
// of the test's own.
func fixture(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/v1")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t testing.TB, dir string) *shard.Dataset {
	t.Helper()
	d, err := shard.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func flip(t *testing.T, f *os.File, at int64) {
	t.Helper()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// TestDamage does one thing to a dataset and wants it found: by Open or Split,
// by the fast look and by the whole one.
func TestDamage(t *testing.T) {
	edit := func(name string, f func(b []byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, filepath.FromSlash(name))
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, f(b), 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	flipAt := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	tiger := shard.ShardName("train", "n02129604", 0)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		file   string // of the problem
		what   string
		fast   bool // found by the fast look too
	}{
		{"nothing", func(*testing.T, string) {}, "", "", true},
		{"index flipped", edit("val/"+shard.IndexName, flipAt(900)), "val/" + shard.IndexName, "sha256", true},
		{"index missing", func(t *testing.T, dir string) { remove(t, dir, "val/"+shard.IndexName) }, "val/" + shard.IndexName, "missing", true},
		{"classes flipped", edit(shard.ClassesName, flipAt(500)), shard.ClassesName, "sha256", true},
		{"manifest broken", edit(shard.ManifestName, func(b []byte) []byte { return b[:len(b)/2] }), shard.ManifestName, "JSON", true},
		{"shard missing", func(t *testing.T, dir string) { remove(t, dir, tiger) }, tiger, "missing", true},
		{"shard cut", edit(tiger, func(b []byte) []byte { return b[:len(b)-100] }), tiger, "end as an Arrow file", true},
		{"shard empty", edit(tiger, func([]byte) []byte { return nil }), tiger, "no Arrow file", true},
		{"image flipped", flipImage, tiger, "crc32c", false},
		{"stray shard", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, tiger))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "train", "synset=n02129604", "part-00001.arrow"), b, 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, shard.ShardName("train", "n02129604", 1), "no row", true},
		{"other split's shard", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, shard.ShardName("test", "", 0)))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, shard.ShardName("val", "", 0)), b, 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, shard.ShardName("val", "", 0), "in the index", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fixture(t)
			c.damage(t, dir)
			for _, fast := range []bool{false, true} {
				got, err := Verify(context.Background(), dir, VerifyOptions{Fast: fast, Workers: 2})
				if err != nil {
					t.Fatal(err)
				}
				if c.file == "" || fast && !c.fast {
					if len(got) != 0 {
						t.Errorf("fast %v: found %v", fast, got)
					}
					continue
				}
				if !slices.ContainsFunc(got, func(p Problem) bool { return p.File == c.file && strings.Contains(p.What, c.what) }) {
					t.Errorf("fast %v: found %v, want %s: %s", fast, got, c.file, c.what)
				}
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
		t.Fatal(err)
	}
}

// flipImage flips a bit in the last image of the tigers.
func flipImage(t *testing.T, dir string) {
	t.Helper()
	rows, _, err := shard.ScanFile(filepath.Join(dir, shard.ShardName("train", "n02129604", 0)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(rows[4].File)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flip(t, f, rows[4].Offset+rows[4].Length/2)
}

// TestFlippedShard flips a bit in every third byte of a shard's record batches, whole or
// not: what a flip changes in columns or images, the whole look finds.
func TestFlippedShard(t *testing.T) {
	dir := fixture(t)
	path := filepath.Join(dir, shard.ShardName("test", "", 0))
	whole, _, err := shard.ScanFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clean, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	s, err := d.Split("test")
	if err != nil {
		t.Fatal(err)
	}
	found, b := 0, slices.Clone(clean)
	for at := 0; at < len(b); at += 3 {
		b[at] ^= 0x10
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		rows, _, _ := shard.ScanFile(path) // a changed row is what matters, damage too
		if !slices.EqualFunc(rows, whole, func(x, y shard.Row) bool { x.File = y.File; return sameRow(&x, &y) }) {
			var p problems
			v := verifier{d, s, VerifyOptions{}, &p}
			if err := v.file(context.Background(), s.Files()[0], []int32{0, 1, 2}); err != nil {
				t.Fatal(err)
			}
			if len(p.list) == 0 {
				t.Fatalf("byte %d flipped: nothing found", at)
			}
			found++
		}
		b[at] = clean[at]
	}
	if found < 700 {
		t.Errorf("%d flips changed what is read", found)
	}
}
