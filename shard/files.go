package shard

import (
	"errors"
	"io/fs"
	"sync"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage/files"
)

// mostFiles bounds the shards kept open, of which ImageNet-21k has more than a
// process may open; it keeps half of those at most.
const mostFiles = 4096

// fileCache keeps shards open, the least recently used closed first.
type fileCache struct {
	dir  files.Dir
	most int // files kept
	mu   sync.Mutex
	tick int64
	open map[string]*cachedFile
}

type cachedFile struct {
	files.Opened
	c      *fileCache
	users  int
	used   int64
	closed bool // left the cache; the last user closes it
}

func newFileCache(dir files.Dir) *fileCache {
	return &fileCache{dir: dir, most: regular.AtMost(mostFiles, 2), open: map[string]*cachedFile{}}
}

func (c *fileCache) get(name string) (*cachedFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	if f, ok := c.open[name]; ok {
		f.users++
		f.used = c.tick
		return f, nil
	}
	if len(c.open) >= c.most {
		c.evict()
	}
	file, err := c.dir.Open(name)
	for regular.TooMany(err) && len(c.open) > 0 { // others hold the rest
		c.evict()
		file, err = c.dir.Open(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corruptf("the shard is missing")
	}
	if err != nil {
		return nil, ownFile(err)
	}
	f := &cachedFile{Opened: file, c: c, users: 1, used: c.tick}
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
