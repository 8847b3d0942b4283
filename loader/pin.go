package loader

import (
	"sync"
)

// Pinned keeps the bytes of the images it has read in memory, up to a limit,
// and gives everything else through: for data that fit into memory but come
// from a slow or shared file system.
type Pinned struct {
	Source
	limit int64

	mu   sync.RWMutex
	used int64
	rows map[int][]byte
}

// Pin wraps a source; limit is in bytes.
func Pin(src Source, limit int64) *Pinned {
	return &Pinned{Source: src, limit: limit, rows: map[int][]byte{}}
}

// Read gives image i, from memory if it was read before.
func (p *Pinned) Read(i int, buf []byte) ([]byte, error) {
	p.mu.RLock()
	kept, ok := p.rows[i]
	p.mu.RUnlock()
	if ok {
		return append(buf[:0], kept...), nil
	}
	b, err := p.Source.Read(i, buf)
	if err != nil {
		return b, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.rows[i]; !ok && p.used+int64(len(b)) <= p.limit {
		p.rows[i] = append([]byte(nil), b...)
		p.used += int64(len(b))
	}
	return b, nil
}

// Path is the source's name for an image, "" if it has none.
func (p *Pinned) Path(i int) string {
	if named, ok := p.Source.(interface{ Path(int) string }); ok {
		return named.Path(i)
	}
	return ""
}
