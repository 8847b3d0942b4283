package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/filetest"
)

// TestAnyTree packs trees of odd names in every way and wants the same entries.
func TestAnyTree(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		files := randomTree(rng)
		packed := pack(t, files)
		want := contents{}
		for name, b := range files {
			if !Junk(name) {
				want[name] = b
			}
		}
		same := func(what, prefix string, o Options, paths ...string) {
			t.Helper()
			got, _, err := openTest(t, o, paths...)
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, what, err)
			}
			plain := contents{}
			for name, b := range got {
				rest, ok := strings.CutPrefix(name, prefix)
				if !ok {
					t.Errorf("seed %d, %s: %q", seed, what, name)
				}
				plain[rest] = b
			}
			if diff := cmp.Diff(want, plain); diff != "" {
				t.Errorf("seed %d, %s (-want +got):\n%s", seed, what, diff)
			}
		}
		nested := pack(t, contents{"in.TAR": string(packed), "x/._in.tar": "junk"})
		same("folder", "", Options{}, folderOf(t, files))
		same("tar", "", Options{}, write(t, "a.tar", packed))
		same("tar.gz", "", Options{}, write(t, "a.tgz", filetest.Gzip(packed)))
		same("pipe", "", Options{Stdin: bytes.NewReader(packed)}, "-")
		same("tar in tar", "in.TAR/", Options{}, write(t, "a.tar", nested))
		same("tar in tar, listed", "in.TAR/", Options{Deep: true}, write(t, "a.tar", nested))
		same("tar in tar.gz", "in.TAR/", Options{}, write(t, "a.tgz", filetest.Gzip(nested)))
		if !strings.Contains(strings.Join(slices.Collect(maps.Keys(files)), ""), `\`) {
			same("zip", "", Options{}, write(t, "a.zip", zipOf(t, files, func(h *zip.FileHeader) { h.Method = uint16(rng.IntN(2) * 8) })))
		}
	}
}

// randomTree draws a few classes with a few files each, of names as people have
// them.
func randomTree(rng *rand.Rand) contents {
	parts := []string{"n01440764", "été", "a b", "x\ny", "'q\"", strings.Repeat("long", 40), "tench, Tinca tinca", "%2F", "-rf", "cafe\u0301", ".hidden", "Thumbs.db", "日本語", "c.tar.d", "#1", `back\slash`}
	ends := []string{".jpg", ".JPEG", ".png", "", ".txt"}
	files := contents{"plain/a.jpg": "a"}
	for i := range 1 + rng.IntN(12) {
		var name []string
		for range 1 + rng.IntN(3) {
			name = append(name, parts[rng.IntN(len(parts))])
		}
		base := fmt.Sprintf("%s_%d%s", parts[rng.IntN(len(parts))], i, ends[rng.IntN(len(ends))])
		files[strings.Join(append(name, base), "/")] = strings.Repeat("x", rng.IntN(3)*rng.IntN(2000)) + base
	}
	for name := range files {
		for _, dir := range slices.Collect(maps.Keys(files)) {
			if strings.HasPrefix(name, dir+"/") {
				delete(files, dir) // it is a directory too
			}
		}
	}
	return files
}

func TestNamesThatAreNotUTF8(t *testing.T) {
	files := contents{"caf\xe9/\xff.jpg": "x"}
	if utf8.ValidString("caf\xe9") {
		t.Fatal("it is UTF-8")
	}
	check(t, files, nil, Options{}, folderOf(t, files))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, data := range files {
		err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Typeflag: tar.TypeReg, Format: tar.FormatGNU}), writeString(w, data))
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	check(t, files, nil, Options{}, write(t, "a.tar", b.Bytes()))
}

func writeString(w io.Writer, s string) error {
	_, err := io.WriteString(w, s)
	return err
}

// TestTarSizes writes sizes that no file has into a header.
func TestTarSizes(t *testing.T) {
	sound := pack(t, contents{"a.jpg": "a", "b.jpg": "b"})
	size := func(field string) []byte {
		b := bytes.Clone(sound)
		copy(b[124:136], field)
		var sum int
		copy(b[148:156], "        ")
		for _, c := range b[:tarBlock] {
			sum += int(c)
		}
		copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
		return b
	}
	check(t, contents{"a.jpg": "a", "b.jpg": "b"}, nil, Options{}, write(t, "a.tar", size("\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"))) // base 256
	for what, field := range map[string]string{
		"negative":   "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"a terabyte": "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00",
		"the most":   "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
		"too much":   "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"octal":      "77777777777\x00",
	} {
		for _, p := range []string{write(t, "a.tar", size(field)), write(t, "a.tgz", filetest.Gzip(size(field)))} {
			if _, _, err := openTest(t, Options{}, p); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s in %s: %v", what, filepath.Base(p), err)
			}
		}
	}
}

func TestThingsThatAreNoFiles(t *testing.T) {
	root := folderOf(t, contents{"n1/a.jpg": "a"})
	fifo := filepath.Join(root, "n1", "fifo.jpg")
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Skip(err)
	}
	check(t, contents{"n1/a.jpg": "a"}, skips{"n1/fifo.jpg": "not a regular file: a FIFO (image)"}, Options{}, root)
	for _, p := range []string{fifo, "/dev/zero", "/dev/null"} {
		refused(t, p, "not a regular file")
	}
	list := write(t, "l.csv", []byte("path,label\n"+fifo+",0\n/dev/zero,1\n"))
	s, err := Open(t.Context(), []string{list}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, e := range s.Entries() {
		if _, err := s.Read(e, nil); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: %v", e.Name, err)
		}
	}
}

// TestManyReaders reads all containers at random from many goroutines.
func TestManyReaders(t *testing.T) {
	packed := pack(t, classes)
	paths := []string{write(t, "a.tar", packed), write(t, "a.zip", zipOf(t, classes, nil)), folderOf(t, classes), filepath.Join("testdata", "columns", "groups.parquet"), filepath.Join("testdata", "columns", "file.arrow")}
	s, err := Open(t.Context(), paths, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	entries := s.Entries()
	want := make([]string, len(entries))
	for i, e := range entries {
		b, _ := s.Read(e, nil)
		want[i] = string(b)
	}
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(k), 0))
			var buf []byte
			for range 200 {
				i := rng.IntN(len(entries))
				b, err := s.Read(entries[i], buf)
				if err != nil && !errors.Is(err, ErrUnreadable) || string(b) != want[i] {
					t.Errorf("%s: %q, %v", entries[i].Name, b, err)
				}
				if cap(b) > 0 {
					buf = b
				}
			}
			if err := s.Each(t.Context(), entries, func(Entry, []byte, error) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestColumnsAtRandom reads a file of more images than are kept, forward by
// several, backward and by chance.
func TestColumnsAtRandom(t *testing.T) {
	s, err := Open(t.Context(), []string{filepath.Join("testdata", "columns", "rows.parquet")}, Options{})
	if errors.Is(err, os.ErrNotExist) {
		t.Fatal("scripts/golden/source_columns.py makes it")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	entries := s.Entries()
	order := rand.New(rand.NewPCG(5, 6)).Perm(len(entries))
	near := make([]int, len(entries)) // as workers ask: in order but for a few
	for i := range near {
		near[i] = i ^ 7
		if near[i] >= len(near) {
			near[i] = i
		}
	}
	for _, order := range [][]int{near, order[:100]} {
		for _, i := range order {
			b, err := s.Read(entries[i], nil)
			if want := fmt.Sprintf("image %d", i); err != nil || string(b) != want {
				t.Fatalf("row %d: %q, %v", i, b, err)
			}
		}
	}
}
