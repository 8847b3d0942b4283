package standin

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func slurp(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return string(b)
}

func spill(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o777))
	check(t, os.WriteFile(path, []byte(text), 0o666))
}

// TestCopy wants what lies beside a file to be copied anew where it alone has changed,
// and nothing where nothing has.
func TestCopy(t *testing.T) {
	s := storagetest.Start(t)
	p := Paths{Dir: t.TempDir(), Besides: []string{".data"}}
	defer p.Close()
	read := func() (path, beside string) {
		t.Helper()
		path, err := p.Copy(t.Context(), s.URL("m.onnx"))
		check(t, err)
		return path, slurp(t, path+".data")
	}
	s.Put(t, "m.onnx", []byte("model"))
	s.Put(t, "m.onnx.data", []byte("weights"))
	path, first := read()
	again, _ := read()
	place, err := storage.Open(t.Context(), s.URL(""), storage.Options{})
	check(t, err)
	defer place.Close()
	check(t, place.Write(t.Context(), "m.onnx.data", []byte("others!")))
	_, second := read()
	if diff := cmp.Diff([]string{path, "weights", "others!", "read s3://images/m.onnx"}, []string{again, first, second, p.Shown("read " + path)}); diff != "" {
		t.Errorf("the second path, what lay beside the model, and what people see (-want +got):\n%s", diff)
	}
	path, _ = read()
	spill(t, path+".data", "damaged")
	if _, third := read(); third != "others!" {
		t.Errorf("a copy that was damaged here: %q", third)
	}
	check(t, p.Forget())
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what came damaged is kept: %v", err)
	}
}

// TestOldCopies: copies of an earlier state go when nobody reads them any more.
func TestOldCopies(t *testing.T) {
	s := storagetest.Start(t)
	dir := t.TempDir()
	copied := func(text string) (path string, p *Paths) {
		t.Helper()
		p = &Paths{Dir: dir}
		place, err := p.Place(t.Context(), s.URL(""))
		check(t, err)
		check(t, place.Write(t.Context(), "m.onnx", []byte(text)))
		path, err = p.Copy(t.Context(), s.URL("m.onnx"))
		check(t, err)
		return path, p
	}
	there := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	one, reads := copied("one")
	two, beside := copied("another")
	held := there(one)
	check(t, errors.Join(reads.Close(), beside.Close()))
	three, last := copied("a third")
	defer last.Close()
	if diff := cmp.Diff([]bool{true, false, false, true}, []bool{held, there(one), there(two), there(three)}); diff != "" {
		t.Errorf("the first while it is read, and all three then (-want +got):\n%s", diff)
	}
}

// TestCopies copies what a pattern and a prefix stand for, without what lies beside.
func TestCopies(t *testing.T) {
	s := storagetest.Start(t)
	for _, name := range []string{"job-0.arrow", "job-1.arrow", "job-1.arrow.meta.json", "other.csv", "below/job-2.arrow", "no/a*b"} {
		s.Put(t, "p/"+name, []byte(name))
	}
	p := Paths{Dir: t.TempDir(), Besides: []string{".meta.json"}}
	defer p.Close()
	for url, want := range map[string][]string{
		"p/job-*.arrow": {"job-0.arrow", "job-1.arrow"}, "p/": {"job-0.arrow", "job-1.arrow", "other.csv"}, "p/job-[1-9].arrow": {"job-1.arrow"},
		"p/other.csv": {"other.csv"}, "p/none-*": nil,
	} {
		paths, err := p.Copies(t.Context(), s.URL(url))
		if (err != nil) != (want == nil) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", url, err)
		}
		var got []string
		for _, path := range paths {
			got = append(got, slurp(t, path))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", url, diff)
		}
	}
}

// TestFile writes an object by a file here: what is there is found, and what a killed
// call left goes before it.
func TestFile(t *testing.T) {
	s := storagetest.Start(t)
	dir := t.TempDir()
	s.Put(t, "p.csv", []byte("old"))
	write := func(end bool, text string) (found string) {
		t.Helper()
		p := Paths{Dir: dir, Besides: []string{".meta.json"}}
		defer p.Close()
		path, err := p.File(t.Context(), s.URL("p.csv"))
		check(t, err)
		found = slurp(t, path)
		spill(t, path, text)
		if end {
			spill(t, path+".meta.json", "{}")
			check(t, p.Publish(t.Context()))
		}
		return found
	}
	got := []string{write(false, "half"), write(true, "whole"), write(false, "more"), slurp(t, filepath.Join(s.Dir, "p.csv")), slurp(t, filepath.Join(s.Dir, "p.csv.meta.json"))}
	if diff := cmp.Diff([]string{"old", "half", "whole", "whole", "{}"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFileIsWholeOrAbsent: of a file and what belongs to it, what a killed call had copied
// or removed half is not taken for a call's that goes on.
func TestFileIsWholeOrAbsent(t *testing.T) {
	s := storagetest.Start(t)
	s.Put(t, "p.csv", []byte("rows"))
	s.Put(t, "p.csv.meta.json", []byte("{}"))
	p := Paths{Dir: t.TempDir(), Besides: []string{".meta.json"}}
	defer p.Close()
	path, err := p.File(t.Context(), s.URL("p.csv"))
	check(t, err)
	check(t, p.Publish(t.Context()))
	local := filepath.Dir(path)
	spill(t, filepath.Join(local+".in", "p.csv"), "ro")
	spill(t, filepath.Join(local+".out", "p.csv"), "rows")
	q := Paths{Dir: p.Dir, Besides: p.Besides}
	defer q.Close()
	path, err = q.File(t.Context(), s.URL("p.csv"))
	check(t, err)
	if diff := cmp.Diff([]string{"rows", "{}"}, []string{slurp(t, path), slurp(t, path+".meta.json")}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left, err := filepath.Glob(local + ".*"); err != nil || len(left) != 1 { // the lock
		t.Errorf("left: %v, %v", left, err)
	}
}
