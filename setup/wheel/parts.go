package wheel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage"
)

const (
	chunk      = 4 << 20 // bytes of a range
	together   = 4       // ranges asked for at one time
	mostLedger = 1 << 20 // bytes of a ledger
)

// remote is a file elsewhere, as this package reads it.
type remote interface {
	io.ReaderAt
	Info() storage.Info
}

// parts is a file elsewhere, of which chunks lie in a file here, at their own
// places. Which do is in a ledger beside it, so that another process goes on
// where one was ended. A chunk that the ledger has and the disk lost is found
// by the sums of what is made of it.
type parts struct {
	from  remote
	file  *os.File
	mu    sync.Mutex
	have  []bool // by chunk
	state ledger
	path  string            // of the file; the ledger's has an ending more
	told  func(bytes int64) // of each chunk that came
}

// ledger is what is kept of parts.
type ledger struct {
	ID   string `json:"id"`   // the remote file's state
	Size int64  `json:"size"` // bytes
	Have []int  `json:"have"` // numbers of chunks
}

// openParts goes on with what lies at path, if that is of the remote file as
// it is now.
func openParts(from remote, path string, told func(bytes int64)) (*parts, error) {
	info := from.Info()
	p := &parts{from: from, path: path, told: told, state: ledger{ID: info.ID, Size: info.Size}, have: make([]bool, (info.Size+chunk-1)/chunk)}
	if text, err := regular.ReadFile(p.ledger(), mostLedger); err == nil {
		var was ledger
		if json.Unmarshal(text, &was) == nil && was.ID == info.ID && was.Size == info.Size {
			for _, n := range was.Have {
				if n >= 0 && n < len(p.have) {
					p.have[n] = true
				}
			}
		}
	}
	if st, err := os.Lstat(path); err == nil && !st.Mode().IsRegular() { // nothing of ours, a link least of all
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || st.Size() != info.Size {
		clear(p.have) // not the file that the ledger tells of
	}
	if err := f.Truncate(info.Size); err != nil {
		f.Close()
		return nil, err
	}
	p.file = f
	return p, nil
}

func (p *parts) ledger() string { return p.path + ".json" }

// ReadAt reads what is here, and fetches first what is not. A place before the beginning, to which damaged lists
// may lead, is ErrSum.
func (p *parts) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 {
		return 0, fmt.Errorf("%w: a member at %d", ErrSum, at)
	}
	for n := at / chunk; n*chunk < min(at+int64(len(b)), p.state.Size); n++ {
		if err := p.fetch(int(n)); err != nil {
			return 0, err
		}
	}
	return p.file.ReadAt(b, at)
}

// bring brings chunks here, several at a time.
func (p *parts) bring(ctx context.Context, chunks []int) error {
	return inorder.Each(ctx, together, len(chunks), func(_ context.Context, i int) error { return p.fetch(chunks[i]) })
}

// fetch brings a chunk here, if it is not.
func (p *parts) fetch(n int) error {
	p.mu.Lock()
	have := p.have[n]
	p.mu.Unlock()
	if have {
		return nil
	}
	at := int64(n) * chunk
	b := make([]byte, min(chunk, p.state.Size-at))
	if _, err := p.from.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, err := p.file.WriteAt(b, at); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil { // before the ledger says so
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.have[n] = true
	p.told(int64(len(b)))
	return p.note()
}

// lies counts the bytes of those chunks that are here, and of all.
func (p *parts) lies(chunks []int) (here, all int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range chunks {
		bytes := min(chunk, p.state.Size-int64(n)*chunk)
		all += bytes
		if p.have[n] {
			here += bytes
		}
	}
	return here, all
}

// note writes the ledger.
func (p *parts) note() error {
	p.state.Have = p.state.Have[:0]
	for n, have := range p.have {
		if have {
			p.state.Have = append(p.state.Have, n)
		}
	}
	return durable.WriteFile(p.ledger(), func(w io.Writer) error { return json.NewEncoder(w).Encode(p.state) })
}

// close lets the file go; what came stays for another time.
func (p *parts) close() error { return p.file.Close() }

// discard removes what came.
func (p *parts) discard() error {
	p.file.Close()
	return errors.Join(gone(os.Remove(p.path)), gone(os.Remove(p.ledger())))
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// chunksOf lists the chunks that ranges touch, each once, in order.
func chunksOf(ranges [][2]int64) []int {
	var chunks []int
	for _, r := range ranges {
		for n := r[0] / chunk; n*chunk < r[1]; n++ {
			chunks = append(chunks, int(n))
		}
	}
	slices.Sort(chunks)
	return slices.Compact(chunks)
}

// partsPath is where the parts of a wheel lie below a directory for work.
func (p Pin) partsPath(dir string) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%s-%s.part", p.Name, p.Version, p.Machine))
}
