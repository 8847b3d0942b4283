package wheel

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// files are a wheel's members by their names.
type files map[string][]byte

// built is a wheel with those members, and the pin for it.
func built(t *testing.T, in files) ([]byte, Pin) {
	t.Helper()
	var b, record bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { // random bytes would be searched in vain
		return flate.NewWriter(w, flate.NoCompression)
	})
	add := func(name string, content []byte) {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range in {
			if !yield(name) {
				return
			}
		}
	}) {
		add(name, in[name])
		sum := sha256.Sum256(in[name])
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(in[name]))
	}
	record.WriteString("some_lib-1.0.dist-info/RECORD,,\n")
	add("some_lib-1.0.dist-info/RECORD", record.Bytes())
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(record.Bytes())
	return b.Bytes(), Pin{Group: "g", Name: "some-lib", Version: "1.0", Machine: "x86_64", Record: hex.EncodeToString(sum[:])}
}

const wheelName = "some_lib-1.0-py3-none-manylinux2014_x86_64.whl"

// random are n bytes that do not compress.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

// an index serves one wheel; get is called before each range of it is given.
func index(t *testing.T, wheel *[]byte, asJSON bool, get func(w http.ResponseWriter) bool) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /simple/some-lib/", func(w http.ResponseWriter, r *http.Request) {
		if asJSON {
			w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
			fmt.Fprintf(w, `{"files": [{"url": "../../files/some_lib-0.9-py3-none-manylinux2014_x86_64.whl"}, {"url": "../../files/%s"}]}`, wheelName)
			return
		}
		fmt.Fprintf(w, `<!DOCTYPE html><a href="../../files/some_lib-1.0.tar.gz">sdist</a><a data-x="1" href="../../files/%s#sha256=0">it</a>`, wheelName)
	})
	mux.HandleFunc("GET /files/"+wheelName, func(w http.ResponseWriter, r *http.Request) {
		if get == nil || get(w) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(*wheel))
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/simple"
}

// every is for all but the list of files.
func every(name string) bool { return !strings.HasSuffix(name, "/RECORD") }

func below(prefix string) func(string) bool {
	return func(name string) bool { return strings.HasPrefix(name, prefix) }
}

func TestUnpackFromIndex(t *testing.T) {
	content := files{"lib/a.so": random(3*chunk + 17), "lib/b.so": []byte("b"), "left/c.so": random(5 * chunk)}
	wheel, pin := built(t, content)
	for _, asJSON := range []bool{false, true} {
		var asked atomic.Int64
		s := Places{Index: index(t, &wheel, asJSON, func(http.ResponseWriter) bool { asked.Add(1); return true }), Work: t.TempDir()}
		var came, of int64
		s.Progress = func(_ Pin, c, o int64) { came, of = max(came, c), o }
		into := t.TempDir()
		if err := s.Unpack(t.Context(), pin, into, below("lib/")); err != nil {
			t.Fatal(err)
		}
		bare := pin
		bare.Record = ""
		if sum, err := s.RecordSum(t.Context(), bare); err != nil || sum != pin.Record {
			t.Errorf("the sum to pin is %s, %v; want %s", sum, err, pin.Record)
		}
		if err := pin.Lies(t.Context(), into, below("lib/")); err != nil {
			t.Errorf("what was unpacked: %v", err)
		}
		if err := pin.Lies(t.Context(), into, every); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "left/c.so") {
			t.Errorf("what was not: %v, want ErrChanged of left/c.so", err)
		}
		want := map[string]string{"lib/a.so": string(content["lib/a.so"]), "lib/b.so": "b", "some-lib-1.0.RECORD": read(t, into)["some-lib-1.0.RECORD"]}
		if diff := cmp.Diff(want, read(t, into)); diff != "" {
			t.Errorf("unpacked:\n%s", diff)
		}
		if came != of || of < 3*chunk || of > 6*chunk {
			t.Errorf("%d of %d bytes came", came, of)
		}
		if left := read(t, s.Work); len(left) > 0 {
			t.Errorf("left in the work directory: %d files", len(left))
		}
		before := asked.Load()
		if err := s.Unpack(t.Context(), pin, into, below("lib/")); err != nil {
			t.Fatal(err)
		}
		if n := asked.Load() - before; n > 4 {
			t.Errorf("what was there whole took %d requests, want those of the list of files", n)
		}
	}
}

// read gives the files below dir by their names.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestInterrupted ends the first fetch in its middle; the second asks only for
// what did not come.
func TestInterrupted(t *testing.T) {
	wheel, pin := built(t, files{"lib/a.so": random(8 * chunk)})
	ctx, cancel := context.WithCancel(t.Context())
	var sent atomic.Int64
	at := index(t, &wheel, true, func(http.ResponseWriter) bool {
		if sent.Add(1) == 6 {
			cancel()
		}
		return true
	})
	s, into := Places{Index: at, Work: t.TempDir()}, t.TempDir()
	if err := s.Unpack(ctx, pin, into, every); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want the end of the context", err)
	}
	first := sent.Load()
	var before, here, of int64
	var mu sync.Mutex
	s.Progress = func(_ Pin, came, all int64) {
		mu.Lock()
		defer mu.Unlock()
		if of == 0 {
			before = came
		}
		here, of = max(here, came), all
	}
	if err := s.Unpack(t.Context(), pin, into, every); err != nil {
		t.Fatal(err)
	}
	if before < chunk || before >= of || here != of || of < 8*chunk {
		t.Errorf("the second fetch (after %d requests) began with %d bytes of %d and ended with %d", first, before, of, here)
	}
	if got := read(t, into)["lib/a.so"]; got != string(random(8*chunk)) {
		t.Error("lib/a.so differs")
	}
}

// TestBeforeTheBeginning: lists that came damaged may lead there, and are fetched again.
func TestBeforeTheBeginning(t *testing.T) {
	for _, at := range []int64{-1, -2 * chunk} {
		if _, err := (&parts{state: ledger{Size: 10}, have: make([]bool, 1)}).ReadAt(make([]byte, 4), at); !errors.Is(err, ErrSum) {
			t.Errorf("at %d: %v, want ErrSum", at, err)
		}
	}
}

// TestLinkedParts: what came before goes into no file that a link leads to.
func TestLinkedParts(t *testing.T) {
	wheel, pin := built(t, files{"lib/a.so": random(1000)})
	s := Places{Index: index(t, &wheel, true, nil), Work: t.TempDir()}
	other := filepath.Join(t.TempDir(), "other")
	for _, err := range []error{os.WriteFile(other, []byte("somebody's"), 0o666), os.Symlink(other, pin.partsPath(s.Work))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Unpack(t.Context(), pin, t.TempDir(), every); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(other); err != nil || string(b) != "somebody's" {
		t.Errorf("what a link led to is now %d bytes, %v", len(b), err)
	}
}

// TestDamaged: what came before and was damaged since is fetched again; what
// the index has wrong is refused, and nothing of it stays.
func TestDamaged(t *testing.T) {
	wheel, pin := built(t, files{"lib/a.so": random(3 * chunk)})
	s := Places{Index: index(t, &wheel, true, nil), Work: t.TempDir()}
	into := t.TempDir()
	for _, damage := range []func(part []byte){
		func(part []byte) { // every chunk in its middle
			for at := chunk / 2; at < len(part); at += chunk {
				part[at] ^= 1
			}
		},
		func(part []byte) { clear(part[len(part)-1000:]) }, // the lists: never written
		func(part []byte) { clear(part[:100]) },            // a member's header
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s.Progress = func(_ Pin, came, of int64) {
			if of > 0 && came == of { // all is here, and nothing unpacked
				cancel()
			}
		}
		if err := s.Unpack(ctx, pin, into, every); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want the end of the context", err)
		}
		part, err := os.ReadFile(pin.partsPath(s.Work))
		if err != nil {
			t.Fatal(err)
		}
		damage(part)
		if err := os.WriteFile(pin.partsPath(s.Work), part, 0o666); err != nil {
			t.Fatal(err)
		}
		s.Progress = nil
		if err := s.Unpack(t.Context(), pin, into, every); err != nil {
			t.Fatalf("after damage here: %v", err)
		}
		if err := os.Remove(filepath.Join(into, "lib", "a.so")); err != nil {
			t.Fatal(err)
		}
	}

	for _, at := range []int{chunk / 2, len(wheel) - 200} { // a member, the lists
		bad := slices.Clone(wheel)
		bad[at] ^= 1
		s := Places{Index: index(t, &bad, true, nil), Work: t.TempDir()}
		into := t.TempDir()
		if err := s.Unpack(t.Context(), pin, into, every); err == nil {
			t.Errorf("a flipped bit at %d is taken", at)
		}
		if left := read(t, into); len(left) > 0 {
			t.Errorf("a flipped bit at %d leaves %d files", at, len(left))
		}
	}
}

func TestHostileMembers(t *testing.T) {
	for _, name := range []string{"../out", "/etc/out", "a/../../out", "a//b", "./a"} {
		wheel, pin := built(t, files{name: []byte("x")})
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, wheelName), wheel, 0o666); err != nil {
			t.Fatal(err)
		}
		into := filepath.Join(t.TempDir(), "in")
		err := Places{Dirs: []string{dir}}.Unpack(t.Context(), pin, into, every)
		if err == nil {
			t.Errorf("a member %q is taken", name)
		}
		if left := read(t, filepath.Dir(into)); len(left) > 0 {
			t.Errorf("a member %q leaves files", name)
		}
	}
}

func TestFromDirectory(t *testing.T) {
	wheel, pin := built(t, files{"lib/a.so": []byte("a")})
	dir, into := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, wheelName), wheel, 0o666); err != nil {
		t.Fatal(err)
	}
	s := Places{Dirs: []string{filepath.Join(dir, "none"), dir}}
	if err := s.Unpack(t.Context(), pin, into, func(string) bool { return true }); !errors.Is(err, ErrSum) {
		t.Errorf("a member without a sum: %v, want ErrSum", err)
	}
	if err := s.Unpack(t.Context(), pin, into, every); err != nil {
		t.Fatal(err)
	}
	pin.Version = "2.0"
	if err := s.Unpack(t.Context(), pin, into, every); !errors.Is(err, ErrNone) {
		t.Errorf("another version: %v, want ErrNone", err)
	}
}

func TestReadPins(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	got, err := ReadPins(strings.NewReader("# a remark\n\nort onnxruntime 1.26.0 x86_64 " + sum + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Pin{{"ort", "onnxruntime", "1.26.0", "x86_64", sum}}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"ort onnxruntime 1.26.0 x86_64", "ort onnxruntime 1.26.0 x86_64 00"} {
		if _, err := ReadPins(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
