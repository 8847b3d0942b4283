package source

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestArchivesOfOthers reads one tree as GNU tar, bsdtar, Python and Info-ZIP
// pack it; scripts/golden/source_archives.py made the files.
func TestArchivesOfOthers(t *testing.T) {
	dir := filepath.Join("testdata", "archives")
	b, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth struct {
		Files, Links map[string]string
		Holes        string
	}
	if err := json.Unmarshal(b, &truth); err != nil {
		t.Fatal(err)
	}
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
	refusedImages := skips{"n01/a.jpg": "encrypted (image)"}
	checkSums(t, contents{}, refusedImages, filepath.Join(dir, "encrypted.zip"))
}

// checkSums is check for the sums of what is in a container.
func checkSums(t *testing.T, want contents, left skips, file string) {
	t.Helper()
	got, skipped, err := openTest(t, Options{}, file)
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
