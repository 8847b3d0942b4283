package ingest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/sample"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage/files"
)

// halfMade fails where a file under a final name is not whole, or the dataset
// says that it is.
func halfMade(t testing.TB, out string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(out, shard.ManifestName)); err == nil {
		t.Error("there is a manifest")
	}
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		derived := d != nil && (d.Name() == shard.IndexName || d.Name() == shard.ClassesName)
		if err != nil || derived || strings.HasPrefix(d.Name(), ".") || filepath.Ext(path) != ".arrow" {
			return err
		}
		_, _, err = shard.ScanFile(files.Local(filepath.Dir(path)), filepath.Base(path))
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half-made: %v", err)
	}
}

// TestFull runs out of room, which a bound on the size of files stands for,
// and goes on when there is some again.
func TestFull(t *testing.T) {
	dir, o := drawn(t)
	run(t, o)
	want := tree(t, o.Out.String())
	out := filepath.Join(dir, "full")
	c := exec.Command("sh", "-c", `ulimit -f 100; exec "$0"`, os.Args[0]) // blocks of 512 or 1024 bytes
	c.Env = append(os.Environ(), "INGEST_TEST_CHILD="+dir, "INGEST_TEST_OUT="+out)
	b, err := c.CombinedOutput()
	if err == nil {
		t.Fatal("it had room enough: this proves nothing")
	}
	if s := string(b); !strings.Contains(s, "file too large") || !strings.Contains(s, out) {
		t.Errorf("%v: %s", err, s)
	}
	halfMade(t, out)
	o.Out = files.Local(out)
	run(t, o)
	if diff := cmp.Diff(want, tree(t, out)); diff != "" {
		t.Error(diff)
	}
}

// TestFullDevice writes to a file system that is too small, where one can be
// mounted.
func TestFullDevice(t *testing.T) {
	dir, o := drawn(t)
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=600k"); err != nil {
		t.Skipf("mount a small tmpfs: %v", err)
	}
	defer syscall.Unmount(small, 0)
	o.Out = files.Local(filepath.Join(small, "ds"))
	_, err := ingest(t.Context(), o)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), small) {
		t.Errorf("a full device: %v", err)
	}
	halfMade(t, o.Out.String())
	if err := syscall.Mount("tmpfs", small, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	run(t, o)
}

// TestPermission runs as somebody who may not write, or not read. Root may do
// anything, so a root's test is somebody else's process.
func TestPermission(t *testing.T) {
	dir, o := drawn(t)
	closed, unread := filepath.Join(dir, "closed"), filepath.Join(dir, "unread", sample.TrainTar)
	put(t, dir, "unread/"+sample.TrainTar, read(t, o.path("train")))
	for _, name := range []string{sample.ValTar, sample.TestTar, sample.Devkit} {
		put(t, dir, "unread/"+name, read(t, filepath.Join(dir, name)))
	}
	self := filepath.Join(dir, "self")
	if err := errors.Join(os.Mkdir(closed, 0o555), os.Chmod(unread, 0), os.Link(os.Args[0], self)); err != nil {
		t.Skip(err) // no links across file systems
	}
	open := []string{filepath.Dir(dir), dir, filepath.Join(dir, "unread"), self}
	for _, name := range []string{sample.TrainTar, sample.ValTar, sample.TestTar, sample.Devkit} {
		open = append(open, filepath.Join(dir, name))
	}
	for _, p := range open {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ from, out, names string }{
		{dir, filepath.Join(closed, "ds"), filepath.Join(closed, "ds")},
		{filepath.Join(dir, "unread"), filepath.Join(closed, "ds"), unread},
	} {
		cmd := exec.Command(self)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "INGEST_TEST_CHILD="+c.from, "INGEST_TEST_OUT="+c.out)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		b, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(b), "permission denied") || !strings.Contains(string(b), c.names) {
			t.Errorf("want no right to %s: %v: %s", c.names, err, b)
		}
	}
}

// TestChangedUnderneath cuts, overwrites or replaces an archive while it is
// read.
func TestChangedUnderneath(t *testing.T) {
	if testing.Short() {
		t.Skip("takes its time under the race detector")
	}
	for name, change := range map[string]func(path string) error{
		"cut":      func(p string) error { return os.Truncate(p, 5000) },
		"touched":  func(p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1e9, 0)) },
		"replaced": func(p string) error { return errors.Join(os.Rename(p, p+".old"), os.WriteFile(p, nil, 0o666)) },
	} {
		t.Run(name, func(t *testing.T) {
			_, o := drawn(t)
			o.Workers = 1
			first := true
			o.OnRead = func(int64, int) {
				if first {
					first = false
					if err := change(o.path("train")); err != nil {
						t.Error(err)
					}
				}
			}
			if _, err := ingest(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.path("train")) {
				t.Errorf("%v", err)
			}
			halfMade(t, o.Out.String())
		})
	}
}

// torn gives an error after a while, as a disk or network that breaks.
type torn struct{ r io.Reader }

func (r torn) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err == io.EOF {
		err = syscall.EIO
	}
	return n, err
}

func TestShortRead(t *testing.T) {
	_, o := drawn(t)
	plain := read(t, o.path("train"))
	o = Options{Sources: []Source{{Path: "-"}}, Devkit: o.Devkit, Out: o.Out, Stdin: torn{strings.NewReader(plain[:len(plain)/2])}}
	if _, err := ingest(t.Context(), o); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "standard input") {
		t.Errorf("a broken pipe: %v", err)
	}
	halfMade(t, o.Out.String())
}

// TestDisguised stores what the bytes say, whatever a file is called, and
// keeps them as they came.
func TestDisguised(t *testing.T) {
	dir, o := drawn(t)
	list, err := filepath.Glob("../pixel/testdata/kinds/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range list {
		if ext := filepath.Ext(p); ext == ".jpg" || ext == ".jpeg" || ext == ".png" {
			put(t, dir, fmt.Sprintf("odd/n02391049/%s.JPEG", filepath.Base(p)), read(t, p))
			n++
		}
	}
	if n == 0 {
		t.Fatal("no images in ../pixel/testdata")
	}
	o = of(filepath.Join(dir, "odd"))
	o.Out = files.Local(filepath.Join(dir, "ds"))
	s := run(t, o)
	if s.Images+s.Rejected != int64(n) {
		t.Errorf("%d images: %+v", n, s)
	}
	train := shardtest.OpenSplit(t, o.Out.String(), "train")
	for i := range train.Len() {
		r := train.Row(i)
		b, err := train.Read(i, nil)
		if err != nil || !bytes.Equal(b, []byte(read(t, filepath.Join(dir, "odd/n02391049", r.Path)))) {
			t.Errorf("%s: other bytes: %v", r.Path, err)
		}
		if png := bytes.HasPrefix(b, []byte("\x89PNG")); png != (r.Format == "PNG") {
			t.Errorf("%s: format %s", r.Path, r.Format)
		}
	}
}

// TestMany ingests as many classes as ImageNet-21k has with at most 256 open
// files and 512 MiB.
func TestMany(t *testing.T) {
	if testing.Short() || os.Getenv("SYNSHARD_TEST_MANY") == "" {
		t.Skip("21,841 synced files take minutes; set SYNSHARD_TEST_MANY=1")
	}
	dir, o := drawn(t)
	good := oneImage(t, o)
	pack(t, filepath.Join(dir, "inner"), "1.JPEG", good[:min(len(good), 1<<20)])
	inner := read(t, filepath.Join(dir, "inner"))
	f, err := os.Create(filepath.Join(dir, sample.TrainTar))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	for i := range 21841 {
		err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("n%08d.tar", i), Mode: 0o644, Size: int64(len(inner))})
		if err == nil {
			_, err = io.WriteString(w, inner)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("sh", "-c", `ulimit -n 256; exec "$0"`, os.Args[0])
	c.Env = append(os.Environ(), "INGEST_TEST_CHILD="+dir, "INGEST_TEST_SOURCE=many", "INGEST_TEST_OUT="+filepath.Join(dir, "many"))
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if peak := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; peak > 512<<10 {
		t.Errorf("%d KiB", peak)
	}
	train := shardtest.OpenSplit(t, filepath.Join(dir, "many"), "train")
	if n := train.Len(); n != 21841 {
		t.Fatalf("%d rows, want 21841", n)
	}
	if got := train.Row(21840).Label; got != 21840 {
		t.Errorf("the last row has label %d", got)
	}
}

// TestFirstBadImage: of classes that are worked on at a time the first that has a bad image ends
// the ingest, in every call, and what lies before it is done.
func TestFirstBadImage(t *testing.T) {
	dir, o := drawn(t)
	good := oneImage(t, o)
	for c := range 6 {
		for i := range 20 {
			put(t, dir, fmt.Sprintf("in/c%d/%02d.jpg", c, i), good)
		}
	}
	put(t, dir, "in/c2/19.jpg", "no image", "in/c3/00.jpg", "no image", "in/c5/00.jpg", "no image")
	for i := range 10 {
		o := of(filepath.Join(dir, "in"))
		o.Out, o.OnBad, o.Workers = files.Local(filepath.Join(dir, fmt.Sprint("out", i))), Fail, 3
		_, err := ingest(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "19.jpg") {
			t.Errorf("%v, want c2's", err)
		}
		for c := range 2 {
			if done, _ := filepath.Glob(filepath.Join(o.Out.String(), "train", fmt.Sprintf("synset=c%d", c), "*.arrow")); len(done) == 0 {
				t.Errorf("c%d is not done", c)
			}
		}
	}
}
