package shard

import (
	"container/list"
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
	open map[string]*list.Element
	used list.List // of *cachedFile, the one used last in front
}

type cachedFile struct {
	files.Opened
	c      *fileCache
	name   string
	users  int
	closed bool // left the cache; the last user closes it
}

func newFileCache(dir files.Dir) *fileCache {
	return &fileCache{dir: dir, most: regular.AtMost(mostFiles, 2), open: map[string]*list.Element{}}
}

// get gives a shard, which is to be released.
func (c *fileCache) get(name string) (*cachedFile, error) {
	if f := c.use(name); f != nil {
		return f, nil
	}
	file, err := c.dir.Open(name)           // which may take its time: nobody waits for it who needs another
	for regular.TooMany(err) && c.evict() { // others hold the rest
		file, err = c.dir.Open(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corruptf("the shard is missing")
	}
	if err != nil {
		return nil, ownFile(err)
	}
	return c.put(name, file), nil
}

// use gives a shard if it is open.
func (c *fileCache) use(name string) *cachedFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.open[name]; ok {
		return c.touch(e)
	}
	return nil
}

// put keeps a shard that was opened, or gives the one that was kept meanwhile.
func (c *fileCache) put(name string, file files.Opened) *cachedFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.open[name]; ok {
		file.Close()
		return c.touch(e)
	}
	for len(c.open) >= c.most {
		c.drop(c.used.Back())
	}
	c.open[name] = c.used.PushFront(&cachedFile{Opened: file, c: c, name: name})
	return c.touch(c.used.Front())
}

func (c *fileCache) touch(e *list.Element) *cachedFile {
	c.used.MoveToFront(e)
	f := e.Value.(*cachedFile)
	f.users++
	return f
}

// evict closes the shard that was not used for longest; false: none is kept.
func (c *fileCache) evict() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.used.Back()
	if last != nil {
		c.drop(last)
	}
	return last != nil
}

// drop takes a shard out of the cache.
func (c *fileCache) drop(e *list.Element) {
	f := c.used.Remove(e).(*cachedFile)
	delete(c.open, f.name)
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
	for c.evict() {
	}
	return nil
}
