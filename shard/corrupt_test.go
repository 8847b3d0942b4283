package shard

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/storage/files"
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
				if _, _, err := ScanFile(files.Local(filepath.Dir(path)), filepath.Base(path)); !errors.Is(err, ErrCorrupt) {
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
	raced.Skip(t, "one goroutine does it all")
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
	r, err := newFileReader(bytes.NewReader(b), int64(len(b)), "val/part-00000.arrow")
	if err != nil {
		return nil, err
	}
	return r.rows()
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

// TestPlacesOutside wants no file outside the dataset opened, whatever an index
// says that agrees with its manifest.
func TestPlacesOutside(t *testing.T) {
	for _, file := range []string{"../secret", "/etc/passwd", "", "val/../../x"} {
		dir := fixture(t)
		m, err := ReadManifest(files.Local(dir))
		if err != nil {
			t.Fatal(err)
		}
		info := m.Splits["val"]
		info.Rows = 1
		if info.IndexSHA256, err = WriteIndex(files.Local(dir), "val", []Row{{Path: "x", File: file, Offset: 8, Length: 10}}); err != nil {
			t.Fatal(err)
		}
		m.Splits["val"] = info
		if err := WriteManifest(files.Local(dir), m); err != nil {
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
