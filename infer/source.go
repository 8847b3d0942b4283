package infer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// OpenOptions say how images outside a dataset are found.
type OpenOptions struct {
	// Known says whether a name is one of the model's classes: such a
	// directory, archive or prefix of a file's name is taken as the truth.
	Known func(name string) bool
	// OnIgnored is told of files in folders and archives that are called as
	// no image is.
	OnIgnored func(path string)
}

func (o *OpenOptions) ignore(path string) {
	if o.OnIgnored != nil {
		o.OnIgnored(path)
	}
}

// truth finds a class among the names that lie around an image: its
// directories from the innermost out, then its own name up to the first
// underscore, as in n01440764_10026.JPEG.
func (o *OpenOptions) truth(name string) string {
	if o.Known == nil {
		return ""
	}
	dir := path.Dir(filepath.ToSlash(name))
	for ; dir != "." && dir != "/" && dir != ""; dir = path.Dir(dir) {
		base := path.Base(dir)
		for _, s := range []string{base, strings.TrimSuffix(base, ".tar"), strings.TrimPrefix(base, "synset=")} {
			if o.Known(s) {
				return s
			}
		}
	}
	if first, _, ok := strings.Cut(path.Base(filepath.ToSlash(name)), "_"); ok && o.Known(first) {
		return first
	}
	return ""
}

// Opened is images outside a dataset: a Source, and what it is by name, size
// and time of change.
type Opened struct {
	parts  []source
	starts []int // of each part's rows
	n      int
	sum    hash.Hash
}

// source is one input: a Source that can be closed.
type source interface {
	Source
	io.Closer
}

// Open opens files and folders, in the order given: a folder (its images and
// those below it, by name), a tar (with the tars in it), a Parquet or an Arrow
// file with images in it, or an image.
func Open(ctx context.Context, paths []string, o OpenOptions) (*Opened, error) {
	s := &Opened{sum: sha256.New()}
	for _, p := range paths {
		if err := s.open(ctx, p, &o); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Opened) open(ctx context.Context, p string, o *OpenOptions) error {
	info, err := os.Stat(p)
	if err != nil {
		return err
	}
	if info.IsDir() {
		files, err := walk(ctx, p, o)
		if err != nil {
			return err
		}
		s.note(files.stamps)
		s.add(files)
		return nil
	}
	s.note([]string{stamp(p, info)})
	src, err := openFile(ctx, p, o)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	s.add(src)
	return nil
}

// openFile opens one file by what its name ends in.
func openFile(ctx context.Context, p string, o *OpenOptions) (source, error) {
	name := strings.ToLower(p)
	switch ext := filepath.Ext(name); {
	case ext == ".tar":
		return openTar(ctx, p, o)
	case ext == ".tgz" || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tar.bz2") || strings.HasSuffix(name, ".tar.xz") || strings.HasSuffix(name, ".tar.zst"):
		return nil, errors.New("a packed tar cannot be read from the middle, which going on after a stop takes: unpack it to a .tar first")
	case ext == ".parquet" || ext == ".pq":
		return openParquet(p, o)
	case ext == ".arrow" || ext == ".arrows" || ext == ".feather" || ext == ".ipc":
		return openArrow(p, o)
	case isImage(p):
		return &files{paths: []string{p}, truth: o.truth}, nil
	}
	return nil, fmt.Errorf("neither a folder, a .tar, .parquet or .arrow file nor an image by its name (%s)", strings.Join(images, " "))
}

func (s *Opened) note(stamps []string) {
	for _, t := range stamps {
		io.WriteString(s.sum, t) // a hash takes everything
		s.sum.Write([]byte{0})
	}
}

func (s *Opened) add(src source) {
	s.parts, s.starts = append(s.parts, src), append(s.starts, s.n)
	s.n += src.Len()
}

// stamp is a file by name, size and time of change.
func stamp(p string, info os.FileInfo) string {
	return fmt.Sprintf("%s %d %d", p, info.Size(), info.ModTime().UnixNano())
}

// Identity says what the images are: it changes when a file is another, or
// has another size or time of change.
func (s *Opened) Identity() string { return fmt.Sprintf("files %x", s.sum.Sum(nil)) }

func (s *Opened) at(i int) (source, int) {
	k := sort.SearchInts(s.starts, i+1) - 1
	return s.parts[k], i - s.starts[k]
}

// Len is the number of images.
func (s *Opened) Len() int { return s.n }

// Path is an image's name: its file's, and its own in it.
func (s *Opened) Path(i int) string { src, j := s.at(i); return src.Path(j) }

// Synset is an image's class, or "".
func (s *Opened) Synset(i int) string { src, j := s.at(i); return src.Synset(j) }

// Read gives an image's bytes.
func (s *Opened) Read(i int, buf []byte) ([]byte, error) { src, j := s.at(i); return src.Read(j, buf) }

// Close closes the files.
func (s *Opened) Close() error {
	var errs []error
	for _, p := range s.parts {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// images are the endings of files that are taken for images; what they are
// is found in their bytes.
var images = []string{".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}

func isImage(name string) bool {
	return slices.Contains(images, strings.ToLower(filepath.Ext(name)))
}
