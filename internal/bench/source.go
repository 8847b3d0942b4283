package bench

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/loader"
)

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
