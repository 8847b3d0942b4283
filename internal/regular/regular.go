// Package regular opens files to read them: regular files and nothing else.
// What a name leads to, directly or by links, may as well be a FIFO, which
// makes who opens it wait for ever, a device, which never ends, or a directory.
// It is the only way into a file for reading that this module has; a pipe is
// read where `-` asked for one, from the standard input.
package regular

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Limits in bytes of files that are read whole, by what they are. Other kinds of
// file are read in place, or have a limit where they are read.
const (
	// Document is the limit of JSON, YAML and lists in text.
	Document = 64 << 20
	// Table is the limit of index.arrow, which has some 150 bytes a row.
	Table = 8 << 30
)

// ErrUnfit is of a name that leads to something else than a regular file, or to
// one that is larger than such files are.
var ErrUnfit = errors.New("not such a file")

type unfit struct{ error }

func (unfit) Is(target error) bool { return target == ErrUnfit }

// Open opens a regular file, without waiting for anybody; of all else the error
// is ErrUnfit.
func Open(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path) // first, since opening a device may do something
	if err != nil {
		return nil, nil, err
	}
	if err := want(path, info); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = want(path, info)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func want(path string, info os.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return unfit{fmt.Errorf("open %s: %s, not a regular file", path, Kind(info.Mode()))}
}

// Kind names what is no regular file.
func Kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// ReadFile reads a regular file of at most limit bytes; of a larger one the
// error is ErrUnfit.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, tooLarge(path, limit)
	}
	b := make([]byte, info.Size())
	n, err := io.ReadFull(f, b)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF): // cut meanwhile
		err = nil
	case err == nil, errors.Is(err, io.EOF): // files of the kernel say that they have nothing in them
		var more []byte
		more, err = io.ReadAll(io.LimitReader(f, limit-int64(n)+1))
		b = append(b, more...)
		n = len(b)
	}
	if err != nil {
		return nil, err
	}
	if int64(n) > limit {
		return nil, tooLarge(path, limit)
	}
	return b[:n], nil
}

func tooLarge(path string, limit int64) error {
	unit, n := "MiB", limit>>20
	if n == 0 {
		unit, n = "bytes", limit
	}
	return unfit{fmt.Errorf("%s: more than the %d %s that such a file may have", path, n, unit)}
}

// SHA256 is the SHA-256 of a regular file, in hex.
func SHA256(path string) (string, error) {
	f, _, err := Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
