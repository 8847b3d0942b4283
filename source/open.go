package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrUnknown says that a file is no container of a kind that is known, and no image by its name.
var ErrUnknown = errors.New("neither a tar, a zip, Parquet, Arrow, a list of paths nor an image")

// Open opens containers and lists what is in them. What each path is, its bytes
// tell: a folder, a tar (also compressed by gzip, bzip2, xz or zstd), a zip,
// Parquet, an Arrow file or stream, a list of paths with labels (CSV, TSV, JSONL);
// an image by its name; "-" is Options.Stdin. Archives and files of columns in a folder
// are opened too, as containers of their own.
func Open(ctx context.Context, paths []string, o Options) (*Set, error) {
	return open(ctx, "", paths, o)
}

// OpenAs is Open for paths that must be of one kind. A List may be any text
// then, also of paths alone.
func OpenAs(ctx context.Context, kind Kind, paths []string, o Options) (*Set, error) {
	return open(ctx, kind, paths, o)
}

func open(ctx context.Context, kind Kind, paths []string, o Options) (*Set, error) {
	s := &Set{options: o, files: &files{}}
	for _, p := range paths {
		if err := s.open(ctx, kind, p); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Set) open(ctx context.Context, kind Kind, p string) error {
	if p == "-" {
		return s.openPipe(kind)
	}
	info, err := os.Stat(p)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if kind != "" && kind != Folder {
			return fmt.Errorf("%s: a folder and no %s", p, kind)
		}
		return s.openFolder(ctx, p)
	}
	return s.openFile(ctx, kind, Info{Path: p, Given: p})
}

// add notes a container whose place next gave.
func (s *Set) add(info Info, c container, entries []Entry) {
	s.infos, s.containers, s.entries = append(s.infos, info), append(s.containers, c), append(s.entries, entries...)
}

// next gives the place that the next container will have, and what it tells skips to.
func (s *Set) next() (number int32, skip func(name, reason string, image bool)) {
	number = int32(len(s.infos))
	return number, func(name, reason string, image bool) {
		s.skipping.Lock()
		defer s.skipping.Unlock()
		if s.options.OnSkip != nil {
			s.options.OnSkip(Skip{Container: number, Name: name, Reason: reason, Image: image})
		}
	}
}

// containerNames are the endings of names of what is opened as a container of
// its own where a folder has it.
var containerNames = []string{
	".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst",
	".zip", ".parquet", ".pq", ".arrow", ".arrows", ".feather", ".ipc",
}

func containerName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(containerNames, func(end string) bool { return strings.HasSuffix(name, end) })
}

// openFolder opens a folder, and the containers in it.
func (s *Set) openFolder(ctx context.Context, p string) error {
	number, skip := s.next()
	d := &folder{path: p, number: number, skip: skip}
	entries, err := d.list(ctx)
	if err != nil {
		return err
	}
	var within []string
	entries = slices.DeleteFunc(entries, func(e Entry) bool {
		if containerName(e.Name) {
			within = append(within, e.Name)
			return true
		}
		return false
	})
	s.add(Info{Path: p, Given: p, Kind: Folder}, d, entries)
	for _, name := range within {
		if err := s.openFile(ctx, "", Info{Path: filepath.Join(p, filepath.FromSlash(name)), Given: p, Within: name}); err != nil {
			return err
		}
	}
	return nil
}

// openPipe opens standard input, which is a tar.
func (s *Set) openPipe(kind Kind) error {
	if s.options.Stdin == nil {
		return errors.New("standard input is not a source here")
	}
	in := bufio.NewReaderSize(s.options.Stdin, 1<<20)
	head, err := in.Peek(headBytes)
	if err != nil && err != io.EOF {
		return fmt.Errorf("standard input: %w", err)
	}
	if k := kindOfHead(head); k != "" && k != Tar {
		return fmt.Errorf("standard input: %s cannot be read from a pipe: give a file", k)
	}
	if kind != "" && kind != Tar {
		return fmt.Errorf("standard input: only a tar can be read from a pipe, no %s", kind)
	}
	number, skip := s.next()
	s.add(Info{Path: "-", Given: "-", Kind: Tar, Sequential: true}, &tarStream{path: "standard input", number: number, skip: skip, pipe: in}, nil)
	return nil
}

// headBytes is how much of a file is looked at to tell its kind.
const headBytes = 4096

// openFile opens a file of the kind wanted, or of the kind that its bytes tell.
func (s *Set) openFile(ctx context.Context, kind Kind, info Info) error {
	a, err := s.files.add(info.Path)
	if err != nil {
		return err
	}
	info.Size, info.Modified = a.size(), a.info.ModTime().UnixNano()
	head := make([]byte, min(headBytes, a.size()))
	if _, err := a.ReadAt(head, 0); err != nil && err != io.EOF {
		return fmt.Errorf("read %s: %w", info.Path, err)
	}
	is := kindOfHead(head)
	if is == "" {
		is = kindOfName(info.Path, head, kind)
	}
	switch {
	case is == "":
		return fmt.Errorf("%s: %w", info.Path, ErrUnknown)
	case kind != "" && is != kind:
		return fmt.Errorf("%s: it is %s and not %s", info.Path, is, kind)
	}
	info.Kind = is
	return s.openKind(ctx, info, a, compression(head) >= 0)
}

// openKind opens a file as what it is.
func (s *Set) openKind(ctx context.Context, info Info, a *file, packed bool) error {
	number, skip := s.next()
	switch info.Kind {
	case Tar:
		if packed {
			info.Sequential = true
			t := &tarStream{path: info.Path, number: number, skip: skip, file: a}
			if err := t.check(); err != nil {
				return err
			}
			s.add(info, t, nil)
			return nil
		}
		t := &tarFile{file: a, number: number, skip: skip}
		entries, err := t.list(ctx, s.options.Deep)
		if err != nil {
			return err
		}
		s.add(info, t, entries)
		return nil
	case Zip:
		z := &zipFile{file: a, number: number, skip: skip}
		entries, err := z.list(ctx)
		if err != nil {
			return err
		}
		s.add(info, z, entries)
		return nil
	case List:
		l := &listFile{file: a, dir: filepath.Dir(info.Path)}
		entries, err := l.list(ctx, &info, number)
		if err != nil {
			return err
		}
		s.add(info, l, entries)
		return nil
	case Files:
		s.addFile(info)
		return nil
	case Parquet, Arrow:
		open := openParquet
		if info.Kind == Arrow {
			open = openArrow
		}
		rows, err := open(a)
		if err != nil {
			return fmt.Errorf("%s: %w", info.Path, marked(err))
		}
		c, entries, err := openColumns(ctx, a, rows, &info, number)
		if err != nil {
			return fmt.Errorf("%s: %w", info.Path, marked(err))
		}
		s.add(info, c, entries)
		s.closers = append(s.closers, c.cache.close)
		return nil
	}
	return fmt.Errorf("%s: %w", info.Path, ErrUnknown)
}

// addFile adds an image to the container of images before it, or begins one.
func (s *Set) addFile(info Info) {
	if last := len(s.infos) - 1; last < 0 || s.infos[last].Kind != Files {
		s.add(Info{Path: info.Path, Given: info.Path, Kind: Files}, named{}, nil)
	}
	s.entries = append(s.entries, Entry{Name: filepath.ToSlash(info.Path), Size: info.Size, Modified: info.Modified, Container: int32(len(s.infos) - 1)})
}

// kindOfHead tells a container's kind by the bytes at its beginning; "": they are none that is known.
func kindOfHead(head []byte) Kind {
	begins := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case begins("PAR1"), begins("PARE"):
		return Parquet
	case begins("ARROW1"), begins("FEA1"), begins("\xff\xff\xff\xff") && len(head) >= 8 && head[7] == 0:
		return Arrow
	case begins("PK\x03\x04"), begins("PK\x05\x06"), begins("PK00PK\x03\x04"), begins("PK\x07\x08PK\x03\x04"):
		return Zip
	case compression(head) >= 0, isTarHeader(head), len(head) >= 2*tarBlock && len(bytes.Trim(head, "\x00")) == 0:
		return Tar
	}
	return ""
}

// kindOfName tells what bytes do not: an image, whatever its bytes are, and a
// zip behind other bytes. Any text is a list where a list is wanted.
func kindOfName(path string, head []byte, wanted Kind) Kind {
	switch {
	case wanted == List && isText(head):
		return List
	case ImageName(path):
		return Files
	case strings.EqualFold(filepath.Ext(path), ".zip"), wanted == Zip:
		return Zip
	case looksLikeList(path, head):
		return List
	}
	return ""
}
