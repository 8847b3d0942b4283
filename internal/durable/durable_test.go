package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWriteFileReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	big := strings.Repeat("0123456789", bufferSize/4)
	for _, want := range []string{"one", big, ""} {
		if err := WriteFile(path, func(w io.Writer) error {
			_, err := io.WriteString(w, want)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != want {
			t.Errorf("%d bytes in the file, want %d", len(got), len(want))
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a"}) {
		t.Errorf("directory holds %q", got)
	}
}

func TestFailureLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := WriteFile(path, func(w io.Writer) error {
		if _, err := w.Write(bytes.Repeat([]byte{1}, 2*bufferSize)); err != nil {
			t.Error(err)
		}
		return boom
	})
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not carry the cause and the path", err)
	}
	if got := content(t, path); got != "old" {
		t.Errorf("file holds %q", got)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a"}) {
		t.Errorf("directory holds %q", got)
	}
}

func TestNothingBeforeCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	fmt.Fprint(f, "hello")
	if diff := cmp.Diff([]any{int64(5), path}, []any{f.Size(), f.Path()}); diff != "" {
		t.Errorf("size, path (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before commit: %v", err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Abort()
	if got := content(t, path); got != "hello" {
		t.Errorf("file holds %q", got)
	}
	if err := f.Commit(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second commit: %v", err)
	}
	if _, err := f.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after commit: %v", err)
	}
}

func TestCommitOverDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := os.MkdirAll(filepath.Join(path, "b"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, func(io.Writer) error { return nil }); err == nil {
		t.Error("a file replaced a directory")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a"}) {
		t.Errorf("directory holds %q", got)
	}
}

func TestCreateErrors(t *testing.T) {
	if _, err := Create(""); err == nil {
		t.Error("empty path accepted")
	}
	_, err := Create(filepath.Join(t.TempDir(), "no", "such"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func TestRemoveTemps(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	f.f.Close() // as a killed process would leave it
	keep := []string{".a.tmp-", ".b.tmp-xyz", "c.tmp-0123456789ab"}
	for _, k := range keep {
		if err := os.WriteFile(filepath.Join(dir, k), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(names(t, dir)); n != 4 {
		t.Fatalf("%d files before", n)
	}
	if err := RemoveTemps(dir); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, keep) {
		t.Errorf("left %q, want %q", got, keep)
	}
	if err := RemoveTemps(filepath.Join(dir, "none")); err != nil {
		t.Errorf("missing directory: %v", err)
	}
}

// TestLiveWritersStay: what is being written is nobody's to remove, what was
// abandoned goes, of one name or of all.
func TestLiveWritersStay(t *testing.T) {
	dir := t.TempDir()
	create := func(name string) *File {
		f, err := Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	live := create("a")
	create("a").f.Close()
	other := create("b")
	other.f.Close()
	if err := RemoveTempsOf(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Base(live.tmp), filepath.Base(other.tmp)}, names(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if err := WriteFile(filepath.Join(dir, "b"), func(io.Writer) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("replaced b: %v", err)
	}
	if diff := cmp.Diff([]string{filepath.Base(live.tmp)}, names(t, dir)); diff != "" {
		t.Errorf("left by another writer of b (-want +got):\n%s", diff)
	}
	create("c").f.Close()
	if err := RemoveTemps(dir); err != nil {
		t.Fatal(err)
	}
	if err := live.Commit(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a"}, names(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// TestNextWriterRemovesTheLast: what a killed writer left goes when the same
// path is written again, by whichever of several; what lies there and is no
// writer's stays, and is not written to.
func TestNextWriterRemovesTheLast(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for range 3 {
		f, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		f.f.Close() // as a killed process would leave it
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("three killed writers left %q", got)
	}
	if err := WriteFile(path, func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"a"}) {
		t.Errorf("left %q", got)
	}
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, ".a.tmp-000000000000")); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new", "mine"}, []string{content(t, path), content(t, victim)}); diff != "" {
		t.Errorf("in the file, where a link led (-want +got):\n%s", diff)
	}
}

// TestManyWritersOfOnePath: each writes whole files, however many write and
// begin as others end.
func TestManyWritersOfOnePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if err := WriteFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "whole"); return err }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{"a"}) || content(t, path) != "whole" {
		t.Errorf("left %q", got)
	}
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	for range 2 {
		if err := MkdirAll(deep); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(deep); err != nil || !info.IsDir() {
		t.Errorf("no directory: %v", err)
	}
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{file, filepath.Join(file, "x")} {
		if err := MkdirAll(p); err == nil {
			t.Errorf("%s: made through a file", p)
		}
	}
}

func TestSyncDirMissing(t *testing.T) {
	if err := SyncDir(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("second lock: %v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second unlock: %v", err)
	}
	l, err = TryLock(path)
	if err != nil {
		t.Fatalf("after unlock: %v", err)
	}
	l.Unlock()
	if _, err := TryLock(filepath.Join(path, "x")); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("lock inside a file: %v", err)
	}
}

// TestShare: those who share a lock keep one who wants it alone out, and are kept
// out by him.
func TestShare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var shared []*Lock
	for range 2 {
		l, err := TryShare(path)
		if err != nil {
			t.Fatal(err)
		}
		shared = append(shared, l)
	}
	for _, l := range shared {
		if _, err := TryLock(path); !errors.Is(err, ErrLocked) {
			t.Errorf("alone among those who share: %v", err)
		}
		l.Unlock()
	}
	l, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Unlock()
	if _, err := TryShare(path); !errors.Is(err, ErrLocked) {
		t.Errorf("shared with one who has it alone: %v", err)
	}
}

// TestMkdirBelow follows no link, and makes what is missing.
func TestMkdirBelow(t *testing.T) {
	base, elsewhere := t.TempDir(), t.TempDir()
	for range 2 {
		if err := MkdirBelow(base, "a/b/c"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere, filepath.Join(base, "a", "link")); err != nil {
		t.Fatal(err)
	}
	for _, rel := range []string{"a/link", "a/link/d"} {
		if err := MkdirBelow(base, rel); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", rel, err)
		}
	}
	if got := names(t, elsewhere); len(got) > 0 {
		t.Errorf("made through the link: %v", got)
	}
	if err := os.WriteFile(filepath.Join(base, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := MkdirBelow(base, "file/d"); err == nil || errors.Is(err, ErrLink) {
		t.Errorf("below a file: %v", err)
	}
}
