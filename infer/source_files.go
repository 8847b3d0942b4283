package infer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// files is images that are files.
type files struct {
	paths  []string
	stamps []string
	truth  func(path string) string
}

func (f *files) Len() int            { return len(f.paths) }
func (f *files) Path(i int) string   { return f.paths[i] }
func (f *files) Synset(i int) string { return f.truth(f.paths[i]) }
func (f *files) Close() error        { return nil }

// Read gives a file's bytes. One that is not there, or may not be read, is
// ErrUnreadable: it keeps its row.
func (f *files) Read(i int, buf []byte) ([]byte, error) {
	file, err := os.Open(f.paths[i])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no file (%v)", ErrUnreadable, f.paths[i], err)
	}
	n := int(info.Size())
	if n > maxImage {
		return nil, fmt.Errorf("%w: %d bytes", ErrUnreadable, n)
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(file, buf); err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrUnreadable, f.paths[i], err)
	}
	return buf, nil
}

// maxImage bounds the bytes that are read for an image.
const maxImage = 1 << 30

// walk finds the images of a folder and below it, in lexical order of
// directories and names. Links to folders are not followed.
func walk(ctx context.Context, root string, o *OpenOptions) (*files, error) {
	f := &files{truth: o.truth}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || d.IsDir() {
			return err
		}
		if !isImage(p) {
			o.ignore(p)
			return nil
		}
		info, err := os.Stat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist): // a link to nothing: its row will say so
			f.stamps = append(f.stamps, p)
		case err != nil:
			return err
		default:
			f.stamps = append(f.stamps, stamp(p, info))
		}
		f.paths = append(f.paths, p)
		return nil
	})
	if err == nil && len(f.paths) == 0 {
		err = fmt.Errorf("%s: no images in it or below it", root)
	}
	return f, err
}

// OpenList opens the images whose paths r lists, a line each, or each ended
// by a zero byte. The order is the list's; nothing is dropped but empty lines.
func OpenList(ctx context.Context, r io.Reader, zero bool, o OpenOptions) (*Opened, error) {
	f := &files{truth: o.truth}
	end := byte('\n')
	if zero {
		end = 0
	}
	in := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := in.ReadBytes(end)
		line = bytes.TrimSuffix(line, []byte{end})
		if !zero {
			line = bytes.TrimSuffix(line, []byte{'\r'})
		}
		if len(line) > 0 {
			f.paths = append(f.paths, string(line))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the list of paths: %w", err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if len(f.paths) == 0 {
		return nil, errors.New("the list of paths is empty")
	}
	f.stampAll()
	s := &Opened{sum: sha256.New()}
	s.note(f.stamps)
	s.add(f)
	return s, nil
}

// stampAll asks for every file's size and time, many at a time: a file server
// takes its time with each.
func (f *files) stampAll() {
	const many = 16
	f.stamps = make([]string, len(f.paths))
	var wg sync.WaitGroup
	for k := range many {
		wg.Go(func() {
			for i := k; i < len(f.paths); i += many {
				f.stamps[i] = f.paths[i]
				if info, err := os.Stat(f.paths[i]); err == nil {
					f.stamps[i] = stamp(f.paths[i], info)
				}
			}
		})
	}
	wg.Wait()
}
