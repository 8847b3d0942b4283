package shard

import (
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Dataset is an open dataset. It may be used from many goroutines.
type Dataset struct {
	Dir      string
	Manifest Manifest

	classes []Class
	mu      sync.Mutex
	splits  map[string]*Split
	files   *fileCache
}

// Open opens the dataset in a directory.
func Open(dir string) (*Dataset, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	classes, err := readClasses(dir, m.ClassesSHA256)
	if err != nil {
		return nil, err
	}
	return &Dataset{Dir: dir, Manifest: m, classes: classes, splits: map[string]*Split{}, files: newFileCache(dir)}, nil
}

// Close closes the files that are open.
func (d *Dataset) Close() error { return d.files.close() }

// Classes lists the classes in label order.
func (d *Dataset) Classes() []Class { return d.classes }

// Splits lists the splits.
func (d *Dataset) Splits() []string { return slices.Sorted(maps.Keys(d.Manifest.Splits)) }

// Split opens a split: its index is read.
func (d *Dataset) Split(name string) (*Split, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.splits[name]; ok {
		return s, nil
	}
	info, ok := d.Manifest.Splits[name]
	if !ok {
		return nil, fmt.Errorf("%s has no split %q; it has %s: %w", d.Dir, name, strings.Join(d.Splits(), ", "), ErrNoSplit)
	}
	rows, err := readIndex(d.Dir, name, info)
	if err != nil {
		return nil, err
	}
	s := &Split{Name: name, Info: info, d: d, rows: rows}
	d.splits[name] = s
	return s, nil
}

// Split is the rows of one split, in index order.
type Split struct {
	Name string
	Info SplitInfo
	d    *Dataset
	rows []Row
}

// Len is the number of rows.
func (s *Split) Len() int { return len(s.rows) }

// Row gives row i. Its slices are shared.
func (s *Split) Row(i int) Row { return s.rows[i] }

// read gives the bytes of a row, in buf if they fit, checked against the
// row's crc32c.
func (d *Dataset) read(r *Row, buf []byte) ([]byte, error) {
	if int64(cap(buf)) < r.Length {
		buf = make([]byte, r.Length+r.Length/4)
	}
	buf = buf[:r.Length]
	f, err := d.files.get(r.File)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", r.Path, err)
	}
	defer f.release()
	if _, err := f.ReadAt(buf, r.Offset); err == io.EOF {
		return nil, fmt.Errorf("%s: %w: image %s (%d bytes at %d) goes past the end", r.File, ErrCorrupt, r.Path, r.Length, r.Offset)
	} else if err != nil {
		return nil, fmt.Errorf("image %s: %w", r.Path, err)
	}
	if crc32.Checksum(buf, castagnoli) != r.CRC32C {
		return nil, fmt.Errorf("%s: %w: image %s (%d bytes at %d) does not have its crc32c", r.File, ErrCorrupt, r.Path, r.Length, r.Offset)
	}
	return buf, nil
}

// openFiles bounds the shards kept open: ImageNet-21k has more than a process
// may open.
const openFiles = 256

// fileCache keeps shards open, the least recently used closed first.
type fileCache struct {
	dir  string
	mu   sync.Mutex
	tick int64
	open map[string]*cachedFile
}

type cachedFile struct {
	*os.File
	c      *fileCache
	users  int
	used   int64
	closed bool // left the cache; the last user closes it
}

func newFileCache(dir string) *fileCache { return &fileCache{dir: dir, open: map[string]*cachedFile{}} }

func (c *fileCache) get(name string) (*cachedFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	if f, ok := c.open[name]; ok {
		f.users++
		f.used = c.tick
		return f, nil
	}
	if len(c.open) >= openFiles {
		c.evict()
	}
	file, err := os.Open(filepath.Join(c.dir, filepath.FromSlash(name)))
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("%w: shard %s is missing", ErrCorrupt, name)
	}
	if err != nil {
		return nil, err
	}
	f := &cachedFile{File: file, c: c, users: 1, used: c.tick}
	c.open[name] = f
	return f, nil
}

// evict closes the file that was not used for longest.
func (c *fileCache) evict() {
	var oldest string
	for name, f := range c.open {
		if oldest == "" || f.used < c.open[oldest].used {
			oldest = name
		}
	}
	f := c.open[oldest]
	delete(c.open, oldest)
	if f.closed = true; f.users == 0 {
		f.Close()
	}
}

func (f *cachedFile) release() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.users--; f.users == 0 && f.closed {
		f.Close()
	}
}

func (c *fileCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.open {
		f := c.open[name]
		delete(c.open, name)
		if f.closed = true; f.users == 0 {
			f.Close()
		}
	}
	return nil
}
