package check

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage/files"
)

// TestDamage does one thing to a dataset and wants it found: by Open or Split,
// by the fast look and by the whole one.
func TestDamage(t *testing.T) {
	edit := func(name string, f func(b []byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			shardtest.Edit(t, dir, name, f)
		}
	}
	flipAt := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	tiger := shard.ShardName("train", "n02129604", 0)
	copyTo := func(from, to string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(from)))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, filepath.FromSlash(to)), b, 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	lose := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { remove(t, dir, name) }
	}
	stray, val := shard.ShardName("train", "n02129604", 1), shard.ShardName("val", "", 0)
	valIndex := "val/" + shard.IndexName
	problem := func(file, image, what string) Problem { return Problem{file, image, what} }
	var elsewhere []Problem // what images of test are in the place of those of val
	for i := range 3 {
		elsewhere = append(elsewhere, problem(val, fmt.Sprintf("ILSVRC2012_test_%08d.JPEG", i+1), "no row of the index lies where it does"))
	}
	for i := range 8 {
		elsewhere = append(elsewhere, problem(val, fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i+1), "it is not where the index says"))
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		fast   []Problem // found by the fast look
		whole  []Problem // and by the whole one besides
	}{
		{"nothing", func(*testing.T, string) {}, nil, nil},
		{"index flipped", edit(valIndex, flipAt(900)), []Problem{problem(valIndex, "", "DIR/val/index.arrow: its sha256 is not the manifest's")}, nil},
		{"index missing", lose(valIndex), []Problem{problem(valIndex, "", "DIR/val/index.arrow is missing")}, nil},
		{"classes flipped", edit(shard.ClassesName, flipAt(500)), []Problem{problem(shard.ClassesName, "", "DIR/classes.arrow: its sha256 is not the manifest's")}, nil},
		{"classes missing", lose(shard.ClassesName), []Problem{problem(shard.ClassesName, "", "DIR/classes.arrow is missing")}, nil},
		{"manifest broken", edit(shard.ManifestName, func(b []byte) []byte { return b[:len(b)/2] }),
			[]Problem{problem(shard.ManifestName, "", "DIR/dataset.json: unexpected end of JSON input")}, nil},
		{"shard missing", lose(tiger), []Problem{problem(tiger, "", "it is missing")}, nil},
		{"shard cut", edit(tiger, func(b []byte) []byte { return b[:len(b)-100] }), []Problem{problem(tiger, "", "it does not end as an Arrow file")}, nil},
		{"shard empty", edit(tiger, func([]byte) []byte { return nil }), []Problem{problem(tiger, "", "no bytes: not an Arrow file or stream")}, nil},
		{"shard's footer", edit(tiger, flipAt(-8)), []Problem{problem(tiger, "", "footer of 67536 bytes in a file of 8402")}, nil},
		{"a batch's head", edit(tiger, flipHead), []Problem{problem(tiger, "", "message of 4294967294 bytes at 1976")}, nil},
		{"image flipped", func(t *testing.T, dir string) { shardtest.FlipImage(t, dir, tiger) }, nil, []Problem{problem(tiger, "n02129604_5.JPEG", "it does not have its crc32c")}},
		{"stray shard", copyTo(tiger, stray), []Problem{problem(stray, "", "no row of the index lies in it")}, nil},
		{"other split's shard", copyTo(shard.ShardName("test", "", 0), val),
			[]Problem{problem(val, "", "3 rows, but 8 in the index"), problem(val, "", `it belongs to split "test"`)}, elsewhere},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := shardtest.Copy(t)
			c.damage(t, dir)
			for _, fast := range []bool{true, false} {
				got, err := Verify(context.Background(), files.Local(dir), VerifyOptions{Fast: fast, Workers: 2})
				if err != nil {
					t.Fatal(err)
				}
				for i := range got {
					got[i].What = strings.ReplaceAll(got[i].What, dir, "DIR")
				}
				want := c.fast
				if !fast {
					want = slices.Concat(c.fast, c.whole)
				}
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("fast %v (-want +got):\n%s", fast, diff)
				}
			}
		})
	}
}

// flipHead flips a bit where a record batch's message begins.
func flipHead(b []byte) []byte {
	f, err := arrowipc.OpenBytes(b)
	if err != nil {
		panic(err)
	}
	b[f.Batches()[0].At] ^= 1
	return b
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedShard flips a bit in every third byte of a shard's record batches, whole or
// not: what a flip changes in columns or images, the whole look finds.
func TestFlippedShard(t *testing.T) {
	raced.Skip(t, "one goroutine does it all")
	dir := shardtest.Copy(t)
	path := filepath.Join(dir, shard.ShardName("test", "", 0))
	whole, _, err := shard.ScanFile(files.Local(filepath.Dir(path)), filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	clean, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := shardtest.Open(t, dir)
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
		rows, _, _ := shard.ScanFile(files.Local(filepath.Dir(path)), filepath.Base(path)) // a changed row is what matters, damage too
		if !slices.EqualFunc(rows, whole, func(x, y shard.Row) bool { x.File = y.File; return sameRow(&x, &y) }) {
			var p problems
			v := verifier{dir: files.Local(dir), d: d, name: "test", s: s, p: &p}
			if err := v.whole(context.Background(), s.Files()[0], []int32{0, 1, 2}); err != nil {
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

// TestFlippedNames changes the name of a class, as Hugging Face reads it, at a
// shard's front and at its end: either is found, though no row is another.
func TestFlippedNames(t *testing.T) {
	dir := shardtest.Copy(t)
	file := shard.ShardName("test", "", 0)
	path := filepath.Join(dir, file)
	clean, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{bytes.Index(clean, []byte(`"lemon"`)), bytes.LastIndex(clean, []byte(`"lemon"`))} {
		b := slices.Clone(clean)
		b[at+1]++
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := Verify(context.Background(), files.Local(dir), VerifyOptions{})
		if diff := cmp.Diff([]Problem{{File: file, What: "the schemas at its front and at its end differ"}}, got); diff != "" || err != nil {
			t.Errorf("byte %d: %v (-want +got):\n%s", at, err, diff)
		}
	}
}
