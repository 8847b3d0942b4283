package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/shard"
)

// Images is what is measured on: a split of a dataset, or a folder of images. Close it in
// the end.
type Images struct {
	loader.Source
	Set *shard.Dataset // nil: a folder
	// Row is of image i; nil: these are a folder's.
	Row func(i int) shard.Row

	close func() error
}

// Close closes the dataset.
func (m *Images) Close() error { return m.close() }

// OpenImages opens a split of the dataset in dir or, where that is none, the folder of
// images: the first limit of them, 0 for all. open opens datasets, as shard.Open does.
func OpenImages(dir, split string, limit int, open func(dir string) (*shard.Dataset, error)) (*Images, error) {
	set, err := open(dir)
	if errors.Is(err, shard.ErrNotDataset) {
		folder, ferr := OpenFolder(dir)
		if ferr != nil || folder.Len() == 0 {
			return nil, fmt.Errorf("%w, and no images lie there", err)
		}
		return &Images{Source: First(folder, limit), close: func() error { return nil }}, nil
	}
	if err != nil {
		return nil, err
	}
	view, err := wholeOf(set, split)
	if err == nil && view.Len() == 0 {
		err = fmt.Errorf("split %s of %s has no images", split, dir)
	}
	if err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return &Images{Source: First(view, limit), Set: set, Row: view.Row, close: set.Close}, nil
}

func wholeOf(set *shard.Dataset, split string) (*shard.View, error) {
	s, err := set.Split(split)
	if err != nil {
		return nil, err
	}
	return s.Select(shard.Selection{}, nil)
}

// firstRows is the beginning of a source.
type firstRows struct {
	loader.Source
	n int
}

func (f firstRows) Len() int { return f.n }

// First gives the first n images of a source; 0 for all.
func First(src loader.Source, n int) loader.Source {
	if n == 0 || n >= src.Len() {
		return src
	}
	return firstRows{src, n}
}

// Folder is the images below a directory, in order of their names.
type Folder struct{ paths []string }

// OpenFolder finds the images below a directory, by the endings of their names.
func OpenFolder(dir string) (*Folder, error) {
	p := &Folder{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		ext := strings.ToLower(filepath.Ext(path))
		if err == nil && d.Type().IsRegular() && slices.Contains([]string{".jpg", ".jpeg", ".png", ".webp"}, ext) {
			p.paths = append(p.paths, path)
		}
		return err
	})
	return p, err
}

// Len implements loader.Source.
func (p *Folder) Len() int { return len(p.paths) }

// Label implements loader.Source: none is known.
func (p *Folder) Label(int) int64 { return -1 }

// Read implements loader.Source.
func (p *Folder) Read(i int, buf []byte) ([]byte, error) {
	f, info, err := regular.Open(p.paths[i])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if n := int(info.Size()); cap(buf) < n {
		buf = make([]byte, n, n+n/4)
	} else {
		buf = buf[:n]
	}
	_, err = f.ReadAt(buf, 0)
	return buf, err
}
