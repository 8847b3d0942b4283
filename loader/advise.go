package loader

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/synshard/synshard/internal/regular"
	"golang.org/x/sys/unix"
)

// FileAdvisor tells the kernel which regions of a dataset's files will be needed
// and which are no longer. It advises, and so never fails: a file that cannot
// be opened is left to the reader to complain about.
type FileAdvisor struct {
	dir   string
	place func(i int) (file string, offset, length int64)

	mu    sync.Mutex
	files map[string]*os.File
}

// maxAdvised bounds the files held open for advice.
const maxAdvised = 256

// NewFileAdvisor advises about the rows of a dataset: place says in which file
// of dir a row lies and where. Close it when the loaders that use it are closed.
func NewFileAdvisor(dir string, place func(i int) (file string, offset, length int64)) *FileAdvisor {
	return &FileAdvisor{dir: dir, place: place, files: map[string]*os.File{}}
}

// WillNeed has the kernel begin to read a row.
func (a *FileAdvisor) WillNeed(i int) { a.advise(i, unix.FADV_WILLNEED) }

// DontNeed lets the kernel forget a row.
func (a *FileAdvisor) DontNeed(i int) { a.advise(i, unix.FADV_DONTNEED) }

func (a *FileAdvisor) advise(i, advice int) {
	name, offset, length := a.place(i)
	a.mu.Lock()
	defer a.mu.Unlock()
	f, ok := a.files[name]
	if !ok && a.files != nil {
		most := regular.AtMost(maxAdvised, 8)
		f, _, _ = regular.Open(filepath.Join(a.dir, name))
		if f == nil {
			return
		}
		if len(a.files) >= most {
			for other, old := range a.files { // any: the order of reading is random
				old.Close()
				delete(a.files, other)
				break
			}
		}
		a.files[name] = f
	}
	if f != nil {
		_ = unix.Fadvise(int(f.Fd()), offset, length, advice)
	}
}

// Close closes the files.
func (a *FileAdvisor) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.files {
		f.Close()
	}
	a.files = nil
	return nil
}
