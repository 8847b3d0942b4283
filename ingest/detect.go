package ingest

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/synshard/synshard/ingest/imagenet"
)

// ErrUnknownSource says that a file or directory is none of the kinds that can
// be told apart; an option for its kind can name it.
var ErrUnknownSource = errors.New("cannot tell what it is")

// lookAhead bounds the members that are looked at to tell a tar's kind.
const lookAhead = 256

var wnid = regexp.MustCompile(`^n[0-9]{8}$`)

// Detect looks into each path and sets the option that it is a source of:
// ILSVRC2012's and ImageNet-21k's archives, the development kit, bounding
// boxes, Kaggle's tree or zip, a folder or zip of one directory a class,
// WebDataset tars, Parquet files, lists. A directory of archives stands for
// what is in it. Two sources for one option, or one that is there already, are
// an error.
func Detect(paths []string, o *Options) error {
	for _, p := range paths {
		if err := detect(p, o); err != nil {
			return err
		}
	}
	return nil
}

func detect(p string, o *Options) error {
	info, err := os.Stat(p)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return detectDir(p, o)
	}
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	br := bufio.NewReaderSize(f, 1<<16)
	head, err := br.Peek(512)
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: %w", p, err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("PAR1")):
		o.Parquet = append(o.Parquet, p)
		return nil
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return detectZip(p, f, info.Size(), o)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}), len(head) == 512 && isTarHeader(head):
		return detectTar(p, br, o)
	case isList(head):
		return set(&o.List, p)
	}
	return fmt.Errorf("%s: %w: neither a tar, a zip, Parquet nor a list of path,label", p, ErrUnknownSource)
}

// set notes the one source of an option.
func set(option *string, p string) error {
	if *option != "" {
		return fmt.Errorf("%s and %s are the same kind of source; give one of them", *option, p)
	}
	*option = p
	return nil
}

func isTarHeader(b []byte) bool {
	_, err := tar.NewReader(io.MultiReader(bytes.NewReader(b), bytes.NewReader(make([]byte, 1024)))).Next()
	return err == nil
}

// isList knows text whose first line has one separator.
func isList(b []byte) bool {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return !bytes.ContainsRune(b, 0) && (bytes.Count(line, []byte("\t")) == 1 || bytes.ContainsRune(line, ','))
}

// detectDir tells Kaggle's tree, a directory of archives, annotations, and a
// folder of classes from each other.
func detectDir(root string, o *Options) error {
	for _, below := range []string{"ILSVRC/Data/CLS-LOC", "Data/CLS-LOC"} {
		if info, err := os.Stat(filepath.Join(root, below)); err == nil && info.IsDir() {
			return set(&o.Kaggle, root)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	var dirs, files []string
	for _, e := range entries {
		switch p := filepath.Join(root, e.Name()); {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			dirs = append(dirs, p)
		case archiveName(e.Name()):
			files = append(files, p)
		}
	}
	if len(files) > 0 {
		return Detect(files, o)
	}
	if len(dirs) == 0 {
		return fmt.Errorf("%s: %w: neither archives nor directories of classes in it", root, ErrUnknownSource)
	}
	first, err := firstFile(root)
	switch {
	case err != nil:
		return err
	case path.Ext(first) == ".xml":
		o.Boxes = append(o.Boxes, root)
		return nil
	case path.Ext(first) == ".parquet":
		list, err := filepath.Glob(filepath.Join(filepath.Dir(first), "*.parquet"))
		o.Parquet = append(o.Parquet, list...)
		return err
	}
	return set(&o.Folder, root)
}

// archiveName knows the names in a directory that are looked into; images
// and notes beside them are not.
func archiveName(name string) bool {
	for _, end := range []string{".tar", ".tgz", ".tar.gz", ".zip", ".parquet"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// firstFile gives the first file below a directory.
func firstFile(root string) (first string, err error) {
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		first = p
		return fs.SkipAll
	})
	if err == nil && first == "" {
		err = fmt.Errorf("%s: no files in it", root)
	}
	return first, err
}

func detectZip(p string, f io.ReaderAt, size int64, o *Options) error {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	for _, m := range z.File {
		if strings.Contains("/"+m.Name, "/Data/CLS-LOC/") {
			return set(&o.Kaggle, p)
		}
	}
	return set(&o.Folder, p)
}

// detectTar tells tars apart by the names of their first members.
func detectTar(p string, in io.Reader, o *Options) error {
	r, err := unzipped(in)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	var names []string
	t := tar.NewReader(r)
	for len(names) < lookAhead {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: after member %d: %w", p, len(names), unexpected(err))
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		names = append(names, h.Name)
		switch ext := path.Ext(h.Name); {
		case ext == ".xml" || strings.HasSuffix(h.Name, ".tar.gz"):
			o.Boxes = append(o.Boxes, p)
			return nil
		case path.Base(h.Name) == imagenet.MetaName:
			return set(&o.Devkit, p)
		case ext == ".tar":
			return detectInner(p, tar.NewReader(t), o)
		}
	}
	switch {
	case len(names) == 0:
		return fmt.Errorf("%s: no files in it; is it a tar?", p)
	case labelled(names):
		o.WebDataset = append(o.WebDataset, p)
		return nil
	case wnid.MatchString(path.Base(path.Dir(names[0]))):
		return set(&o.Train, p)
	case strings.Contains(path.Base(names[0]), "_val_"):
		return set(&o.Val, p)
	case strings.Contains(path.Base(names[0]), "_test_"):
		return set(&o.Test, p)
	}
	return fmt.Errorf("%s: %w: its first member is %s", p, ErrUnknownSource, names[0])
}

// detectInner looks at the first file of a tar's first tar.
func detectInner(p string, t *tar.Reader, o *Options) error {
	for {
		h, err := t.Next()
		switch {
		case err == io.EOF:
			return set(&o.Train, p) // an empty class
		case err != nil:
			return fmt.Errorf("%s: its first tar: %w", p, unexpected(err))
		case h.Typeflag != tar.TypeReg:
		case path.Ext(h.Name) == ".xml":
			o.Boxes = append(o.Boxes, p)
			return nil
		default:
			return set(&o.Train, p)
		}
	}
}

// labelled says whether there is a WebDataset label among the names.
func labelled(names []string) bool {
	for _, n := range names {
		if _, ext, _ := strings.Cut(path.Base(n), "."); ext == "cls" || ext == "json" {
			return true
		}
	}
	return false
}
