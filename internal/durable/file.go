// Package durable writes files that are whole or absent: a reader never sees
// half of one under its final name, and one that was reported written is
// still there, whole, after a power cut.
package durable

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	bufferSize = 256 << 10
	tempMark   = ".tmp-"
)

// File is a file being written aside. It gets its final name, replacing what
// was there, when Commit returns nil; until then nothing has happened to that
// name. It is not safe for concurrent use.
type File struct {
	path string
	tmp  string
	f    *os.File
	w    *bufio.Writer
	n    int64
	err  error // first error of Write, which Commit repeats
	done bool
}

// Create starts writing the file that will be called path, in a temporary
// file beside it. The directory must exist. What a killed writer of the same
// path left is removed. Every File must end in Commit or Abort; Abort after
// Commit does nothing, so it can be deferred.
func Create(path string) (*File, error) { return create(path, 0o666) }

func create(path string, mode fs.FileMode) (*File, error) {
	if path == "" {
		return nil, errors.New("create file: empty path")
	}
	dir, base := filepath.Split(path)
	for try := range 100 {
		var r [6]byte // the first name is always the same, so that what a killed writer left of it is met, and goes
		if try > 1 {
			if _, err := rand.Read(r[:]); err != nil {
				return nil, fmt.Errorf("name a temporary file for %s: %w", path, err)
			}
		}
		tmp := dir + "." + base + tempMark + hex.EncodeToString(r[:])
		f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			removeAbandoned(tmp) // where that fails, the next name is another
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
		if !claim(f) {
			f.Close()
			continue
		}
		return &File{path: path, tmp: tmp, f: f, w: bufio.NewWriterSize(f, bufferSize)}, nil
	}
	return nil, fmt.Errorf("create %s: no free temporary name", path)
}

// Write appends p, buffered.
func (f *File) Write(p []byte) (int, error) {
	if f.done {
		return 0, fmt.Errorf("write %s: %w", f.path, os.ErrClosed)
	}
	n, err := f.w.Write(p)
	f.n += int64(n)
	if err != nil {
		err = fmt.Errorf("write %s: %w", f.path, err)
		if f.err == nil {
			f.err = err
		}
	}
	return n, err
}

// Size is the number of bytes written so far, buffered ones included: the
// offset at which the next Write will land.
func (f *File) Size() int64 { return f.n }

// Path is the final name.
func (f *File) Path() string { return f.path }

// Commit flushes and syncs the file, gives it its final name and syncs the
// directory. If it returns an error before the renaming, the temporary file is
// gone and the final name is as it was.
func (f *File) Commit() error {
	if f.done {
		return fmt.Errorf("commit %s: %w", f.path, os.ErrClosed)
	}
	if f.err != nil {
		f.Abort()
		return f.err
	}
	if err := f.w.Flush(); err != nil {
		f.Abort()
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	if err := f.f.Sync(); err != nil {
		f.Abort()
		return fmt.Errorf("sync %s: %w", f.path, err)
	}
	f.done = true
	// Closing may tell of a failed write; the mark of a living writer has to outlast it until the file has its name.
	if mark, err := unix.FcntlInt(f.f.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		defer unix.Close(mark)
	}
	if err := f.f.Close(); err != nil {
		os.Remove(f.tmp)
		return fmt.Errorf("close %s: %w", f.path, err)
	}
	if err := os.Rename(f.tmp, f.path); err != nil {
		os.Remove(f.tmp)
		return fmt.Errorf("name %s: %w", f.path, err)
	}
	return SyncDir(filepath.Dir(f.path))
}

// Abort removes the temporary file. After Commit, or a second time, it does
// nothing.
func (f *File) Abort() {
	if f.done {
		return
	}
	f.done = true
	f.f.Close()
	os.Remove(f.tmp)
}

// WriteFile makes path hold exactly what write wrote, or leaves it as it was
// and returns an error. An error of write is returned wrapped with the path.
func WriteFile(path string, write func(w io.Writer) error) error {
	return writeFile(path, 0o666, write)
}

// WritePrivate is WriteFile for what none but its owner may read.
func WritePrivate(path string, write func(w io.Writer) error) error {
	return writeFile(path, 0o600, write)
}

func writeFile(path string, mode fs.FileMode, write func(w io.Writer) error) error {
	f, err := create(path, mode)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := write(f); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Commit()
}

// claim marks a temporary file as being written: the kernel holds the mark as
// long as the writer lives. It fails where somebody took the file for
// abandoned in the moment before. File systems without such marks are taken at
// their word; what writers leave there stays.
func claim(f *os.File) bool {
	err := flock(f, unix.LOCK_EX)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false
	}
	var info unix.Stat_t
	return err != nil || unix.Fstat(int(f.Fd()), &info) != nil || info.Nlink > 0
}

// RemoveTemps removes the temporary files that writers killed by force left in
// dir (not below it). Those whose writers live stay. A directory that does not
// exist holds none.
func RemoveTemps(dir string) error {
	return removeTemps(dir, isTemp)
}

// RemoveTempsOf removes the temporary files that killed writers of the file
// path left beside it.
func RemoveTempsOf(path string) error {
	begin := "." + filepath.Base(path) + tempMark
	return removeTemps(filepath.Dir(path), func(name string) bool { return strings.HasPrefix(name, begin) && isTemp(name) })
}

func removeTemps(dir string, want func(name string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove temporary files: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !want(e.Name()) {
			continue
		}
		if err := removeAbandoned(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove temporary file: %w", err)
		}
	}
	return nil
}

// removeAbandoned removes a temporary file that nobody writes.
func removeAbandoned(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil // another user's
	}
	if err != nil {
		return err
	}
	defer f.Close()
	switch err := flock(f, unix.LOCK_EX); {
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS):
		return nil
	case err != nil:
		return err
	}
	// Names come again: between opening and locking its writer may have ended, and another begun.
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(path); err != nil || !os.SameFile(opened, there) {
		return err
	}
	return os.Remove(path)
}

// isTemp knows the names Create gives: ".NAME.tmp-" and 12 hex digits.
func isTemp(name string) bool {
	i := strings.LastIndex(name, tempMark)
	if i < 1 || name[0] != '.' {
		return false
	}
	tail := name[i+len(tempMark):]
	_, err := hex.DecodeString(tail)
	return err == nil && len(tail) == 12
}
