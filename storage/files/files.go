// Package files is a directory of files, wherever it lies, for whoever makes one: files
// that are whole or absent, what is in it, and locks that keep other writers out. Local is
// a directory on this machine; package storage/directory has those at URLs.
package files

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"syscall"

	"github.com/synshard/synshard/internal/regular"
)

// Dir is a directory. Names are relative to it, with slashes; "." is the directory
// itself. What is not there is fs.ErrNotExist. Its methods are for many goroutines.
//
// Where directories are no things, as in a bucket, there are those that have files in
// them: making one does nothing.
type Dir interface {
	// String is the directory as people know it.
	String() string
	// Path is a file as errors name it.
	Path(name string) string

	// Create starts a file, whose directory must exist. It has its name when Commit
	// returns nil; until then nothing has happened to that name.
	Create(name string) (File, error)
	// Open opens a file to read it; of what is no regular file the error is regular.ErrUnfit.
	Open(name string) (Opened, error)
	// Stat and Lstat describe a file or a directory; Lstat a link itself.
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	// ReadDir lists what is in a directory, by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Walk calls f with all that lies below a directory, but the directory itself.
	Walk(name string, f func(name string, e fs.DirEntry) error) error

	// MkdirAll makes a directory and those above it; MkdirBelow wants none of them to be
	// a link (durable.ErrLink).
	MkdirAll(name string) error
	MkdirBelow(name string) error
	// Remove removes a file or an empty directory, RemoveAll all that has a name.
	Remove(name string) error
	RemoveAll(name string) error
	// Rename gives a file another name.
	Rename(from, to string) error
	// Sync makes the names in a directory survive a power cut.
	Sync(name string) error
	// Touch gives a file or the directory itself the time of now, as Make wants it of a
	// target. Elsewhere, where Make does not look, it does nothing.
	Touch(name string) error
	// RemoveTemps removes what writers killed by force left unfinished in a directory,
	// and below it. Where it says so, it is for those who hold the lock.
	RemoveTemps(name string, below bool) error

	// TryLock takes the lock that is the file name; TryShare takes it together with
	// others who share it, who differ in member, a word. Where it is held otherwise the error is
	// durable.ErrLocked.
	TryLock(name string) (Lock, error)
	TryShare(name, member string) (Lock, error)

	// Tree begins to write many small files.
	Tree() (Tree, error)
	// AtOnce is how many files it pays to ask for at a time.
	AtOnce() int
}

// AtOnce is how many files of a directory that many workers read from front to back at a time: elsewhere more
// than there are workers, as a small file is mostly waited for.
func AtOnce(d Dir, workers int) int { return max(workers, d.AtOnce()/4, 1) }

// File is a file that is being written. It ends in Commit or Abort; Abort after Commit
// does nothing.
type File interface {
	io.Writer
	Path() string // as errors name it
	Size() int64  // bytes written so far
	Commit() error
	Abort()
}

// Opened is a file that is read, from many goroutines.
type Opened interface {
	io.ReaderAt
	io.Closer
	Size() int64 // when it was opened
}

// Lock is a lock that is held.
type Lock interface {
	Unlock() error // lets the lock go
}

// Tree writes many small files. It ends in Close.
type Tree interface {
	// Put makes a file hold b, and leaves alone one that does. The directories above it
	// are made; none may be a link (durable.ErrLink). It may return before the file is
	// there, and b is the caller's again when it does.
	Put(name string, b []byte) error
	// Close waits until all files are there.
	Close() error
}

// Write makes a file hold exactly what write wrote, or leaves it as it was.
func Write(d Dir, name string, write func(w io.Writer) error) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := write(f); err != nil {
		return fmt.Errorf("write %s: %w", d.Path(name), err)
	}
	return f.Commit()
}

// WriteBytes is Write of bytes.
func WriteBytes(d Dir, name string, b []byte) error {
	return Write(d, name, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// Look is d.Stat, and nil where there is nothing: nothing of the name, or a file in the place of a directory
// above it. Any other error says nothing of what is there.
func Look(d Dir, name string) (fs.FileInfo, error) {
	info, err := d.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	return info, err
}

// Read reads a file of at most limit bytes; a larger one is regular.ErrUnfit.
func Read(d Dir, name string, limit int64) ([]byte, error) {
	if l, ok := d.(Local); ok {
		return regular.ReadFile(l.Path(name), limit) // files of the kernel have more bytes than they say
	}
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > limit {
		return nil, fmt.Errorf("%s: more than the %d bytes that such a file may have: %w", d.Path(name), limit, regular.ErrUnfit)
	}
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return b, nil
}

// Sequential reads an opened file from its beginning.
func Sequential(f Opened) io.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(f, 0, f.Size()), 256<<10)
}

// SHA256 is the SHA-256 of a file, in hex.
func SHA256(d Dir, name string) (string, error) {
	f, err := d.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, Sequential(f)); err != nil {
		return "", fmt.Errorf("%s: %w", d.Path(name), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC32C gives the bytes of a file and their CRC-32C (Castagnoli).
func CRC32C(d Dir, name string) (size int64, sum uint32, err error) {
	f, err := d.Open(name)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	h := crc32.New(castagnoli)
	if size, err = io.Copy(h, Sequential(f)); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", d.Path(name), err)
	}
	return size, h.Sum32(), nil
}
