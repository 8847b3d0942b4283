package source

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/golden"
)

// TestArchivesOfOthers reads one tree as GNU tar, bsdtar, Python and Info-ZIP
// pack it; scripts/golden/source_archives.py made the files.
func TestArchivesOfOthers(t *testing.T) {
	dir := filepath.Join("testdata", "archives")
	var truth struct {
		Files, Links map[string]string
		Holes        string
	}
	golden.Read(t, filepath.Join(dir, "truth.json"), &truth)
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		base := filepath.Base(file)
		kind, _, _ := strings.Cut(base, ".")
		if kind == "truth" || kind == "encrypted" {
			continue
		}
		want := contents{}
		for name, sum := range truth.Files {
			short := !strings.Contains(kind, "ustar") && !strings.Contains(kind, "v7") || len(name) < 100
			if short && !(kind == "python-stored" && name == truth.Holes) {
				want[name] = sum
			}
		}
		if !strings.HasPrefix(kind, "python") && kind != "prefixed" || strings.HasSuffix(base, ".tar.gz") {
			follow := want
			want = contents{}
			for name, sum := range follow {
				want[name] = sum
				for link, to := range truth.Links {
					to = path.Join(path.Dir(link), to)
					if name == to {
						want[link] = sum
					} else if rest, ok := strings.CutPrefix(name, to+"/"); ok {
						want[link+"/"+rest] = sum
					}
				}
			}
			want["n04/soft.jpg"] = truth.Files["n02/block.jpg"] // a link in a linked directory
		}
		left := skips{}
		if kind == "python-lzma" {
			for name := range want {
				left[name] = "compressed by LZMA, which is not read (image)"
			}
			want = contents{}
		}
		t.Run(base, func(t *testing.T) {
			checkSums(t, want, left, file)
			if rest, ok := strings.CutSuffix(base, ".tar.gz"); ok && kind != "two" {
				checkSums(t, want, left, write(t, rest+".tar", gunzip(t, file)))
			}
		})
	}
	// Sparse files in a tar within a tar, read in place and front to back.
	inner := contents{}
	for name, sum := range truth.Files {
		inner["in.tar/"+name] = sum
	}
	soft, block := "n01/soft.jpg", truth.Files["n02/block.jpg"]
	inner["in.tar/"+soft], inner["in.tar/n04/soft.jpg"] = block, block
	for name, sum := range truth.Files {
		if rest, ok := strings.CutPrefix(name, "n01/"); ok {
			inner["in.tar/n04/"+rest] = sum
		}
	}
	for _, base := range []string{"sparse-gnu", "sparse-pax-0.0", "sparse-pax-0.1", "sparse-pax-1.0"} {
		outer := pack(t, contents{"in.tar": string(gunzip(t, filepath.Join(dir, base+".tar.gz")))})
		for _, deep := range []bool{false, true} {
			checkSumsWith(t, Options{Deep: deep}, inner, skips{}, write(t, base+".tar", outer))
		}
		checkSums(t, inner, skips{}, write(t, base+".tgz", filetest.Gzip(outer)))
	}
	refusedImages := skips{"n01/a.jpg": "encrypted (image)"}
	checkSums(t, contents{}, refusedImages, filepath.Join(dir, "encrypted.zip"))
}

// TestSparseFileBehindJunk reads a sparse file of GNU tar's that stands behind one which is
// left out.
func TestSparseFileBehindJunk(t *testing.T) {
	b := gunzip(t, filepath.Join("testdata", "archives", "sparse-gnu.tar.gz"))
	at := bytes.Index(b, []byte("./n03/holes.bmp"))
	size, err := strconv.ParseInt(strings.Trim(string(b[at+124:at+136]), " \x00"), 8, 64)
	if err != nil {
		t.Fatal(err)
	}
	member := b[at : at+tarBlock+int(size+tarBlock-1)/tarBlock*tarBlock]
	junk := slices.Clone(member)
	copy(junk, "./n03/._les.bmp")
	sum := 0
	for i, c := range junk[:tarBlock] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int(c)
	}
	copy(junk[148:], fmt.Sprintf("%06o\x00 ", sum))
	var truth struct{ Files map[string]string }
	golden.Read(t, filepath.Join("testdata", "archives", "truth.json"), &truth)
	both := slices.Concat(junk, member, make([]byte, 2*tarBlock))
	checkSums(t, contents{"n03/holes.bmp": truth.Files["n03/holes.bmp"]}, skips{"n03/._les.bmp": JunkReason}, write(t, "a.tar", both))
}

// checkSums is check for the sums of what is in a container.
func checkSums(t *testing.T, want contents, left skips, file string) {
	t.Helper()
	checkSumsWith(t, Options{}, want, left, file)
}

func checkSumsWith(t *testing.T, o Options, want contents, left skips, file string) {
	t.Helper()
	got, skipped, err := openTest(t, o, file)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range got {
		sum := sha256.Sum256([]byte(b))
		got[name] = hex.EncodeToString(sum[:])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(left, skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
}

func gunzip(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestZipAsTheStandardLibraryReadsIt compares with archive/zip, on sound
// archives and on damaged ones that both can read.
func TestZipAsTheStandardLibraryReadsIt(t *testing.T) {
	for base, whole := range specimens(t) {
		if !strings.HasSuffix(base, ".zip") || base == "encrypted.zip" || base == "python-lzma.zip" {
			continue
		}
		rng := rand.New(rand.NewPCG(3, 4))
		same := 0
		for i := range 40 {
			b := whole
			if i > 0 {
				b = damage(rng, whole)
			}
			want, ok := stdlibZip(b)
			if !ok {
				continue
			}
			got, _, err := openTest(t, Options{}, write(t, "a.zip", b))
			if err != nil {
				if i == 0 {
					t.Fatal(base, err)
				}
				continue
			}
			for name, data := range want {
				if have, ok := got[name]; ok && have != data {
					t.Errorf("%s, damage %d: %s is %q and not %q", base, i, name, have, data)
				} else if !ok && i == 0 {
					t.Errorf("%s: no %s", base, name)
				}
			}
			same++
		}
		if same < 5 {
			t.Errorf("%s: %d of 40 could be compared", base, same)
		}
	}
}

// stdlibZip gives the regular files of a zip; ok is false where archive/zip
// finds anything wrong.
func stdlibZip(b []byte) (files contents, ok bool) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, false
	}
	z.RegisterDecompressor(12, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
	files = contents{}
	for _, m := range z.File {
		if !m.Mode().IsRegular() {
			continue
		}
		r, err := m.Open()
		if err != nil {
			return nil, false
		}
		data, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if err != nil {
			return nil, false
		}
		files[path.Clean(m.Name)] = string(data)
	}
	return files, true
}
