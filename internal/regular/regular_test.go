package regular

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNoFile opens what is no file, by its name and by a link. None may make it
// wait.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo, socket := filepath.Join(dir, "fifo"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for path, kind := range map[string]string{
		dir: "a directory", fifo: "a FIFO", socket: "a socket", "/dev/zero": "a device", "/dev/null": "a device", "/dev/tty": "a device",
	} {
		link := filepath.Join(dir, "link")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{path, link} {
			_, _, err := Open(name)
			_, rerr := ReadFile(name, 10)
			_, serr := SHA256(name)
			for _, err := range []error{err, rerr, serr} {
				if !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), name+": "+kind+", not a regular file") {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, _, err := Open(filepath.Join(dir, "fifo", "below")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a FIFO: %v", err)
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, n := range []int{0, 1, 511, 512, 513, 100_000} {
		want := bytes.Repeat([]byte{'x'}, n)
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(path, int64(n)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
		if n == 0 {
			continue
		}
		if _, err := ReadFile(path, int64(n)-1); !errors.Is(err, ErrUnfit) {
			t.Errorf("%d bytes where there may be one less: %v", n, err)
		}
	}
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Skip(err)
	}
	_, err := ReadFile(path, Document)
	if !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "more than the 64 MiB") {
		t.Errorf("a TiB: %v", err)
	}
}

// TestReadKernel reads files that say that they have nothing in them.
func TestReadKernel(t *testing.T) {
	const path = "/proc/self/status"
	if _, err := os.Stat(path); err != nil {
		t.Skip(err)
	}
	if b, err := ReadFile(path, Document); err != nil || !bytes.Contains(b, []byte("Pid:")) {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := ReadFile(path, 10); !errors.Is(err, ErrUnfit) {
		t.Errorf("10 bytes of it: %v", err)
	}
}
