package wheel

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synshard/synshard/storage"
)

// FuzzPage reads a project's page in both forms: an HTML page has no more links than it has places for them.
func FuzzPage(f *testing.F) {
	f.Add(true, []byte(`{"files": [{"url": "a-1.0-py3-none-any.whl#sha256=00"}, {"url": ""}]}`))
	f.Add(false, []byte(`<!DOCTYPE html><a href="../a-1.0-py3-none-any.whl#sha256=00" data-x='1'>a</a><A HREF='b&amp;c'>b</A><a  href = "">`))
	f.Fuzz(func(t *testing.T, isJSON bool, text []byte) {
		kind := "text/html; charset=utf-8"
		if isJSON {
			kind = "application/vnd.pypi.simple.v1+json"
		}
		links, err := pageLinks(kind, text)
		if most := bytes.Count(bytes.ToLower(text), []byte("href")); !isJSON && (err != nil || len(links) > most) {
			t.Errorf("%d links of %d places (%v)", len(links), most, err)
		}
	})
}

// FuzzRecord reads a list of files: what it says of a name, the text has.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("a/b.so,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\na-1.0.dist-info/RECORD,,\n"))
	f.Add([]byte("\"a,b\",sha256=,-1\r\n"))
	f.Fuzz(func(t *testing.T, list []byte) {
		sums, err := Pin{Record: sumOf(list)}.sums(list)
		for name, m := range sums {
			if err != nil || !bytes.Contains(list, []byte(m.sum)) || len(name) > len(list) {
				t.Errorf("%q: %v (%v)", name, m, err)
			}
		}
		if _, err := (Pin{Record: strings.Repeat("0", 64)}).sums(list); err == nil {
			t.Error("a list of another sum is taken")
		}
	})
}

// elsewhere is a file of a package index.
type elsewhere struct{ *bytes.Reader }

func (e elsewhere) Info() storage.Info { return storage.Info{Size: e.Size(), ID: "as it is"} }

// FuzzLedger goes on from whatever a ledger says: a chunk that the file cannot have is fetched.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(`{"id": "as it is", "size": 100, "have": [0]}`), []byte("short"))
	f.Add([]byte(`{"id": "as it is", "size": 100, "have": [-1, 7, 0, 0]}`), bytes.Repeat([]byte("x"), 100))
	f.Fuzz(func(t *testing.T, ledger, here []byte) {
		path := filepath.Join(t.TempDir(), "a.part")
		if err := os.WriteFile(path, here, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".json", ledger, 0o666); err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("y"), 100)
		p, err := openParts(elsewhere{bytes.NewReader(want)}, path, func(int64) {})
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		got := make([]byte, 100)
		if _, err := p.ReadAt(got, 0); err != nil {
			t.Fatal(err)
		}
		if len(here) != 100 && !bytes.Equal(got, want) {
			t.Errorf("of a file of %d bytes %q was taken", len(here), got)
		}
	})
}

// wheelOf is a wheel of these members, with a list of files that says what they are.
func wheelOf(f *testing.F, members ...string) []byte {
	f.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	list := ""
	add := func(name, text string) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			f.Fatal(err)
		}
	}
	for _, name := range members {
		sum := sha256.Sum256([]byte(name))
		list += fmt.Sprintf("%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(name))
		add(name, name)
	}
	add("a-1.0.dist-info/RECORD", list+"a-1.0.dist-info/RECORD,,\n")
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// FuzzUnpack unpacks whatever says it is a wheel, with a pin that says the same: what comes of it lies below the
// directory, is what its list of files says, and the chunks that are asked for are the file's.
func FuzzUnpack(f *testing.F) {
	f.Add(wheelOf(f, "torch/lib/a.so", "torch/b"))
	f.Add(wheelOf(f, "../out", "a"))
	f.Add(wheelOf(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		pin := Pin{Name: "a", Version: "1.0"}
		list, err := record(pin, z)
		if err != nil {
			return
		}
		pin.Record = sumOf(list)
		dir := t.TempDir()
		into := filepath.Join(dir, "into")
		want := func(member string) bool { return !strings.HasSuffix(member, "/RECORD") }
		_, err = unpack(t.Context(), pin, bytes.NewReader(b), int64(len(b)), into, want, func(chunks []int) error {
			for _, n := range chunks {
				if n < 0 || n > len(b)/chunk {
					t.Errorf("chunk %d of %d bytes", n, len(b))
				}
			}
			return nil
		})
		sums, _ := pin.sums(list)
		walked := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, _ := filepath.Rel(into, path)
			if !filepath.IsLocal(name) {
				t.Errorf("%s came of it", path)
			}
			return nil
		})
		if walked != nil {
			t.Fatal(walked)
		}
		for _, m := range z.File {
			if path := filepath.Join(into, filepath.FromSlash(m.Name)); err == nil && want(m.Name) && !strings.HasSuffix(m.Name, "/") && !whole(path, sums[m.Name]) {
				t.Errorf("%s is not what the list says", m.Name)
			}
		}
	})
}

// FuzzPins reads pins: each has all its five words.
func FuzzPins(f *testing.F) {
	f.Add("# remark\ncpu torch 2.11.0 x86_64 " + strings.Repeat("0a", 32) + "\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		pins, err := ReadPins(strings.NewReader(text))
		for _, p := range pins {
			if err == nil && (p.Group == "" || p.Name == "" || p.Version == "" || p.Machine == "" || len(p.Record) != 64) {
				t.Errorf("%+v", p)
			}
		}
	})
}
