package shard

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestFlippedImages inverts every byte of every image of a shard, one at a
// time: each is caught by Read, and by ScanFile.
func TestFlippedImages(t *testing.T) {
	dir := fixture(t)
	s, err := open(t, dir).Split("val")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "val", "part-00000.arrow")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	flipped := 0
	for i := range s.Len() {
		r := s.Row(i)
		for at := r.Offset; at < r.Offset+r.Length; at++ {
			flip(t, file, at)
			if _, err := s.Read(i, nil); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), r.File) || !strings.Contains(err.Error(), r.Path) {
				t.Fatalf("byte %d of row %d flipped: %v", at-r.Offset, i, err)
			}
			if at%31 == 0 {
				if _, _, err := ScanFile(path); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("byte %d of row %d flipped: scan: %v", at-r.Offset, i, err)
				}
			}
			flip(t, file, at)
			flipped++
		}
	}
	if flipped < 1000 {
		t.Fatalf("%d bytes flipped", flipped)
	}
	if _, err := s.Read(0, nil); err != nil {
		t.Fatalf("after the last was mended: %v", err)
	}
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

// TestFlippedFiles inverts every byte of a shard, of an index and of a class
// list in memory: the parsers end in ErrCorrupt or in rows, and take no more
// memory than a few times the file's size.
func TestFlippedFiles(t *testing.T) {
	dir := fixture(t)
	for _, c := range []struct {
		file  string
		parse func(b []byte) error
	}{
		{ShardName("val", "", 0), func(b []byte) error { _, err := scanBytes(b); return err }},
		{"val/" + IndexName, func(b []byte) error { return readAll(parseIndex(b)) }},
		{ClassesName, func(b []byte) error { _, err := parseClasses(b); return err }},
	} {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(c.file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.parse(b); err != nil {
			t.Fatalf("%s whole: %v", c.file, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range b {
			for _, mask := range []byte{0xff, 0x01, 0x80} {
				b[i] ^= mask
				if err := c.parse(b); err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%s with byte %d flipped by %#x: %v", c.file, i, mask, err)
				}
				b[i] ^= mask
			}
		}
		runtime.ReadMemStats(&after)
		if per := (after.TotalAlloc - before.TotalAlloc) / uint64(3*len(b)); per > uint64(64<<10+16*len(b)) {
			t.Errorf("%s of %d bytes: %d bytes taken to parse it", c.file, len(b), per)
		}
		for n := range b {
			if err := c.parse(b[:n:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s cut to %d bytes: %v", c.file, n, err)
			}
		}
	}
}

func scanBytes(b []byte) ([]Row, error) {
	ipc, err := openIPC(bytes.NewReader(b), int64(len(b)), shardFields)
	if err != nil {
		return nil, err
	}
	if _, err := shardMeta(ipc.meta); err != nil {
		return nil, err
	}
	return scanRows(ipc, "val/part-00000.arrow")
}

// readAll looks at every row of an index that parsed.
func readAll(x *index, err error) error {
	if err != nil {
		return err
	}
	for i := range x.len() {
		r := x.row(i)
		if r.Length <= 0 || x.label(i) != r.Label || !bytes.Equal(x.sha(i), r.SHA256[:]) {
			return errors.New("a row differs from its columns")
		}
	}
	return nil
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
	tiger := ShardName("train", "n02129604", 0)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		file   string // of the problem
		what   string
		fast   bool // found by the fast look too
	}{
		{"nothing", func(*testing.T, string) {}, "", "", true},
		{"index flipped", edit("val/"+IndexName, flipAt(900)), "val/" + IndexName, "sha256", true},
		{"index missing", func(t *testing.T, dir string) { remove(t, dir, "val/"+IndexName) }, "val/" + IndexName, "missing", true},
		{"classes flipped", edit(ClassesName, flipAt(500)), ClassesName, "sha256", true},
		{"manifest broken", edit(ManifestName, func(b []byte) []byte { return b[:len(b)/2] }), ManifestName, "JSON", true},
		{"shard missing", func(t *testing.T, dir string) { remove(t, dir, tiger) }, tiger, "missing", true},
		{"shard cut", edit(tiger, func(b []byte) []byte { return b[:len(b)-100] }), tiger, "end as an Arrow file", true},
		{"shard empty", edit(tiger, func([]byte) []byte { return nil }), tiger, "0 bytes", true},
		{"image flipped", flipImage, tiger, "crc32c", false},
		{"stray shard", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, tiger))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "train", "synset=n02129604", "part-00001.arrow"), b, 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, ShardName("train", "n02129604", 1), "no row", true},
		{"other split's shard", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, ShardName("test", "", 0)))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, ShardName("val", "", 0)), b, 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, ShardName("val", "", 0), "in the index", true},
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
	rows, _, err := ScanFile(filepath.Join(dir, ShardName("train", "n02129604", 0)))
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

// TestFlippedShard inverts every byte of a shard's record batches, whole or
// not: what a flip changes in columns or images, the whole look finds.
func TestFlippedShard(t *testing.T) {
	dir := fixture(t)
	path := filepath.Join(dir, ShardName("test", "", 0))
	whole, _, err := ScanFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clean, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := &Dataset{Dir: dir, Manifest: m, splits: map[string]*Split{}, files: newFileCache(dir)}
	s, err := d.Split("test")
	if err != nil {
		t.Fatal(err)
	}
	found, b := 0, slices.Clone(clean)
	for at := range b {
		b[at] ^= 0x10
		rows, _ := scanBytes(b)
		if !slices.EqualFunc(rows, whole, func(x, y Row) bool { x.File = y.File; return sameRow(&x, &y) }) {
			if err := os.WriteFile(path, b, 0o666); err != nil {
				t.Fatal(err)
			}
			var p problems
			if err := s.verifyFile(context.Background(), s.index.files[0], []int32{0, 1, 2}, VerifyOptions{}, &p); err != nil {
				t.Fatal(err)
			}
			if len(p.list) == 0 {
				t.Fatalf("byte %d flipped: nothing found", at)
			}
			found++
		}
		b[at] = clean[at]
	}
	if found < 2000 {
		t.Errorf("%d flips changed what is read", found)
	}
}

// TestPlacesOutside wants no file outside the dataset opened, whatever an index
// says that agrees with its manifest.
func TestPlacesOutside(t *testing.T) {
	for _, file := range []string{"../secret", "/etc/passwd", "", "val/../../x"} {
		dir := fixture(t)
		m, err := ReadManifest(dir)
		if err != nil {
			t.Fatal(err)
		}
		info := m.Splits["val"]
		info.Rows = 1
		if info.IndexSHA256, err = WriteIndex(dir, "val", []Row{{Path: "x", File: file, Offset: 8, Length: 10}}); err != nil {
			t.Fatal(err)
		}
		m.Splits["val"] = info
		if err := WriteManifest(dir, m); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, dir).Split("val"); !errors.Is(err, ErrCorrupt) {
			t.Errorf("file %q: %v", file, err)
		}
	}
}

// TestReadErrors wants errors of the system to be themselves, not corruption.
func TestReadErrors(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs a user whom permissions bind")
	}
	dir := fixture(t)
	s, err := open(t, dir).Split("val")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, ShardName("val", "", 0)), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(0, nil); !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrCorrupt) {
		t.Errorf("unreadable shard: %v", err)
	}
}
