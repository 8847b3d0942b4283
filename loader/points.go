package loader

import (
	"sync"
	"syscall"

	"github.com/synshard/synshard/pixel"
)

// Points remembers, from one epoch to the next, entry points into the data of a source's images
// (pixel.Points), so that a crop is decoded from where it begins. It is for any number of
// loaders over one source. It takes 8 bytes a row, and about an eightieth of the images' bytes, as long as
// decoding keeps half of the memory that pixel.SetMemory bounds; rows beyond that are decoded as
// without it. What it has is outside of Go's heap until Close.
type Points struct {
	mu     sync.RWMutex
	at     []int64  // of each row, where in the chunks its points are, from 1 on; 0: not known
	chunks [][]byte // of pointsChunk bytes, each filled before the next
	used   int      // of the last
	frees  []func()
	full   bool
}

const (
	pointsChunk  = 4 << 20
	pointsLength = 4 // bytes before a row's points that tell their length
)

// NewPoints makes room for the points of so many rows.
func NewPoints(rows int) *Points { return &Points{at: make([]int64, rows), used: pointsChunk} }

// fit says whether they are of a source of n rows, or of one that is another over and over.
func (p *Points) fit(n int64) bool {
	rows := int64(len(p.at))
	return n == rows || rows > 0 && n%rows == 0
}

// get puts the points of a row into buf. None, and find false: there is no room for them.
func (p *Points) get(row int64, buf pixel.Points) (points pixel.Points, find bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	at := p.at[row%int64(len(p.at))] - 1
	if at < 0 {
		return buf[:0], !p.full
	}
	b := p.chunks[at/pointsChunk][at%pointsChunk:]
	n := int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24
	return append(buf[:0], b[pointsLength:pointsLength+n]...), true
}

// put remembers the points of a row, if there is room.
func (p *Points) put(row int64, points pixel.Points) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, n := &p.at[row%int64(len(p.at))], len(points)
	if *at != 0 || p.full || pointsLength+n > pointsChunk {
		return
	}
	if p.used+pointsLength+n > pointsChunk && !p.grow() {
		p.full = true
		return
	}
	b := p.chunks[len(p.chunks)-1][p.used:]
	b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	copy(b[pointsLength:], points)
	*at = int64(len(p.chunks)-1)*pointsChunk + int64(p.used) + 1
	p.used += pointsLength + n
}

// grow takes memory for another chunk.
func (p *Points) grow() bool {
	release, ok := pixel.KeepSpare(pointsChunk)
	if !ok {
		return false
	}
	b, err := syscall.Mmap(-1, 0, pointsChunk, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		release()
		return false
	}
	p.chunks, p.used = append(p.chunks, b), 0
	p.frees = append(p.frees, func() { syscall.Munmap(b); release() })
	return true
}

// Close forgets everything and gives the memory back. Loaders that still have p go on without it.
func (p *Points) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, free := range p.frees {
		free()
	}
	clear(p.at)
	p.chunks, p.frees, p.full = nil, nil, true
}
