// Package bench measures what a machine does: the loader beside decoding alone,
// and training steps by their parts. It decides nothing and prints nothing.
package bench

import (
	"context"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
)

// LoaderReport is what MeasureLoader found, a run for each of
// LoaderOptions.Workers. Dir, Path and Cache are for the
// caller to say.
type LoaderReport struct {
	Dir           string      `json:"data"`
	Path          string      `json:"path"`            // train or eval: how images are made ready
	Cache         string      `json:"cache"`           // none, page or pin: what keeps images between reads
	Again         bool        `json:"again"`           // every image was loaded once before
	Images        int         `json:"images"`          // of the source
	BytesPerImage float64     `json:"bytes_per_image"` // mean, as stored
	Kernels       string      `json:"kernels"`         // as pixel.Kernels
	PeakBytes     int64       `json:"peak_bytes"`      // of the process's memory
	Unreadable    int         `json:"rejected"`        // images passed over
	Scarce        string      `json:"scarce"`          // what holds the last of Runs up, for people
	Runs          []LoaderRun `json:"runs"`            // in the order of LoaderOptions.Workers
}

// LoaderRun is the medians for one number of workers. Rates a core are per
// second of processor time. Ratio is the loader's rate a core by decoding's
// alone.
type LoaderRun struct {
	Workers             int         `json:"workers"`                         // goroutines that read and decode
	ImagesPerSecond     float64     `json:"images_per_second"`               // of the loader, by the clock
	ImagesPerCore       float64     `json:"images_per_second_per_core"`      // of the loader, a second of processor time
	BytesPerSecond      float64     `json:"bytes_per_second"`                // as stored
	DecodeOnlyPerSecond float64     `json:"decode_only_per_second"`          // of decoding alone, by the clock
	DecodeOnlyPerCore   float64     `json:"decode_only_per_second_per_core"` // of decoding alone, a second of processor time
	Ratio               float64     `json:"ratio"`
	Busy                float64     `json:"busy"`                   // of the workers' time, what they had a processor for
	WaitSeconds         float64     `json:"wait_seconds_per_batch"` // that Next waited for a batch
	Share               LoaderShare `json:"share"`                  // of the workers' time
}

// LoaderShare is where the workers' time went, in shares of it.
type LoaderShare struct {
	Read   float64 `json:"read"`   // without the checksum
	CRC    float64 `json:"crc"`    // checksums of what was read
	Decode float64 `json:"decode"` // bytes to pixels
	Resize float64 `json:"resize"` // crop, resize, flip, colours
	Idle   float64 `json:"idle"`   // waiting until a batch is released
}

// rate is a number of images in so much time.
type rate struct {
	images    int64
	wall, cpu time.Duration
	batches   int64
	stats     loader.Stats
}

type loaderTurn struct{ decode, load rate }

// measurer measures one source.
type measurer struct {
	src   loader.Source
	o     loader.Options
	kept  [][]byte
	turn  time.Duration
	epoch int

	mu         sync.Mutex
	unreadable map[int]string // what was passed over, by row
}

// passOver is the loader's OnError: an image counts once, however often it
// comes.
func (m *measurer) passOver(at loader.Item, err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unreadable[at.Row%m.src.Len()] = err.Error()
	return nil
}

// keepImages reads a sample of the images into memory, from all over the
// source; a cache of them is told of it as the loader tells it.
func keepImages(ctx context.Context, src loader.Source, told loader.Advisor) ([][]byte, error) {
	const most, mostBytes = 512, 64 << 20
	perm := loader.Permutation(int64(src.Len()), 1, 0)
	var kept [][]byte
	var total int
	var last error
	decoder := pixel.NewDecoder()
	defer decoder.Close()
	for i := int64(0); i < perm.Len() && len(kept) < most && total < mostBytes; i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := src.Read(int(perm.At(i)), nil)
		if told, ok := told.(loader.Keeper); ok {
			told.Keep(int(perm.At(i)), 0)
		}
		if err == nil {
			_, err = decoder.Decode(b)
		}
		if err != nil {
			last = err
			continue
		}
		decoder.Release()
		kept, total = append(kept, slices.Clip(b)), total+len(b)
	}
	if len(kept) == 0 {
		return nil, last
	}
	return kept, nil
}

// decodeOnly decodes the kept images whole, again and again.
func (m *measurer) decodeOnly(ctx context.Context, workers int) (rate, error) {
	var wg sync.WaitGroup
	var next, done atomic.Int64
	var failed atomic.Pointer[error]
	began, cpu := time.Now(), processorTime()
	for range workers {
		wg.Go(func() {
			d := pixel.NewDecoder()
			d.LibjpegOnly = true
			defer d.Close()
			for time.Since(began) < m.turn && ctx.Err() == nil {
				if _, err := d.Decode(m.kept[int(next.Add(1))%len(m.kept)]); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return rate{}, *err
	}
	return rate{images: done.Load(), wall: time.Since(began), cpu: processorTime() - cpu}, ctx.Err()
}

// endless is a source again and again, so that no turn has to end an epoch.
type endless struct {
	loader.Source
	n int
}

func (e endless) Len() int                               { return max(e.n, 1<<30/e.n*e.n) }
func (e endless) Label(i int) int64                      { return e.Source.Label(i % e.n) }
func (e endless) Read(i int, buf []byte) ([]byte, error) { return e.Source.Read(i%e.n, buf) }

// load runs the loader and takes its batches at once, from the first one on:
// making the slots is not what is measured.
func (m *measurer) load(ctx context.Context, workers int) (rate, error) {
	o := m.o
	o.Workers, o.Epoch, o.OnError = workers, m.epoch, m.passOver
	m.epoch++
	l, err := loader.New(ctx, endless{m.src, m.src.Len()}, o)
	if err != nil {
		return rate{}, err
	}
	defer l.Close()
	take := func() error {
		b, err := l.Next()
		if err == nil {
			b.Release()
		}
		return err
	}
	if err := take(); err != nil {
		return rate{}, err
	}
	before, began, cpu := l.Stats(), time.Now(), processorTime()
	var r rate
	for time.Since(began) < m.turn {
		if err := take(); err != nil {
			return r, err
		}
		r.batches++
	}
	s := l.Stats()
	r.wall, r.cpu = time.Since(began), processorTime()-cpu
	r.images = s.Images - before.Images
	r.stats = loader.Stats{
		Read: s.Read - before.Read, Decode: s.Decode - before.Decode, Resize: s.Resize - before.Resize,
		Idle: s.Idle - before.Idle, Wait: s.Wait - before.Wait, Bytes: s.Bytes - before.Bytes,
	}
	return r, nil
}

// firstEpoch loads every image once, so that the entry points of all are known.
func (m *measurer) firstEpoch(ctx context.Context, src loader.Source, workers int) error {
	o := m.o
	o.Workers, o.OnError = workers, m.passOver
	l, err := loader.New(ctx, src, o)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		b, err := l.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		b.Release()
	}
}

// crcRate is how many bytes a second crc32c takes here.
func crcRate(kept [][]byte) float64 {
	table := crc32.MakeTable(crc32.Castagnoli)
	var n, sum int
	began := time.Now()
	for time.Since(began) < 20*time.Millisecond {
		for _, b := range kept {
			sum += int(crc32.Checksum(b, table)) & 1
			n += len(b)
		}
	}
	_ = sum
	return float64(n) / time.Since(began).Seconds()
}

// LoaderOptions say how a loader is measured.
type LoaderOptions struct {
	Loader    loader.Options // without Workers, Epoch and OnError
	Workers   []int          // each is measured, in turns
	Rounds    int            // of turns; the medians are reported
	Time      time.Duration  // in all, about
	Checksums bool           // the source checks each image's CRC-32C
	Again     bool           // as in all epochs but the first: every image was loaded once before
	OnTurn    func()         // after each of 2 x Rounds x len(Workers) turns; may be nil

	// OnUnreadable is told of each image that is passed over, once, at the end.
	OnUnreadable func(row int, why string)
}

// MeasureLoader loads images of src as fast as they come, and in turns with
// that decodes a sample of the same images from memory and nothing else.
func MeasureLoader(ctx context.Context, src loader.Source, o LoaderOptions) (*LoaderReport, error) {
	kept, err := keepImages(ctx, src, o.Loader.Advisor)
	if err != nil {
		return nil, err
	}
	turn := o.Time / time.Duration(o.Rounds*len(o.Workers)*2)
	m := &measurer{src: src, o: o.Loader, kept: kept, unreadable: map[int]string{}, turn: turn}
	if o.Again {
		m.o.Points = loader.NewPoints(src.Len())
		defer m.o.Points.Close()
		if err := m.firstEpoch(ctx, src, slices.Max(o.Workers)); err != nil {
			return nil, err
		}
	}
	tick := func() {
		if o.OnTurn != nil {
			o.OnTurn()
		}
	}
	runs := make([][]loaderTurn, len(o.Workers))
	for range o.Rounds {
		for i, workers := range o.Workers {
			t := loaderTurn{}
			if t.decode, err = m.decodeOnly(ctx, workers); err != nil {
				return nil, err
			}
			tick()
			if t.load, err = m.load(ctx, workers); err != nil {
				return nil, err
			}
			tick()
			runs[i] = append(runs[i], t)
		}
	}
	if o.OnUnreadable != nil {
		for _, row := range slices.Sorted(maps.Keys(m.unreadable)) {
			o.OnUnreadable(row, m.unreadable[row])
		}
	}
	return summarise(o, src.Len(), kept, len(m.unreadable), runs), nil
}

func summarise(o LoaderOptions, images int, kept [][]byte, unreadable int, runs [][]loaderTurn) *LoaderReport {
	r := &LoaderReport{Again: o.Again, Images: images, Unreadable: unreadable, Kernels: pixel.Kernels()}
	crc := math.Inf(1) // without checksums
	if o.Checksums {
		crc = crcRate(kept)
	}
	for i, turns := range runs {
		x := LoaderRun{Workers: o.Workers[i]}
		x.ImagesPerSecond = medianOf(turns, func(t loaderTurn) float64 { return per(t.load.images, t.load.wall) })
		x.ImagesPerCore = medianOf(turns, func(t loaderTurn) float64 { return per(t.load.images, t.load.cpu) })
		x.BytesPerSecond = medianOf(turns, func(t loaderTurn) float64 { return per(t.load.stats.Bytes, t.load.wall) })
		x.DecodeOnlyPerSecond = medianOf(turns, func(t loaderTurn) float64 { return per(t.decode.images, t.decode.wall) })
		x.DecodeOnlyPerCore = medianOf(turns, func(t loaderTurn) float64 { return per(t.decode.images, t.decode.cpu) })
		x.Ratio = medianOf(turns, func(t loaderTurn) float64 {
			return per(t.load.images, t.load.cpu) / per(t.decode.images, t.decode.cpu)
		})
		x.Busy = medianOf(turns, func(t loaderTurn) float64 {
			return min(t.load.cpu.Seconds()/(t.load.wall.Seconds()*float64(x.Workers)), 1)
		})
		x.WaitSeconds = medianOf(turns, func(t loaderTurn) float64 {
			return t.load.stats.Wait.Seconds() / float64(max(t.load.batches, 1))
		})
		x.Share = shareOf(turns, crc)
		if n := turns[0].load.images; n > 0 && r.BytesPerImage == 0 {
			r.BytesPerImage = float64(turns[0].load.stats.Bytes) / float64(n)
		}
		r.Runs = append(r.Runs, x)
	}
	r.PeakBytes = peakMemory()
	r.Scarce = r.Runs[len(r.Runs)-1].scarce()
	return r
}

func per(n int64, d time.Duration) float64 { return float64(n) / max(d.Seconds(), 1e-9) }

func medianOf(turns []loaderTurn, f func(loaderTurn) float64) float64 {
	var v []float64
	for _, t := range turns {
		v = append(v, f(t))
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func shareOf(turns []loaderTurn, crc float64) LoaderShare {
	var s loader.Stats
	for _, t := range turns {
		s.Read, s.Decode, s.Resize = s.Read+t.load.stats.Read, s.Decode+t.load.stats.Decode, s.Resize+t.load.stats.Resize
		s.Idle, s.Bytes = s.Idle+t.load.stats.Idle, s.Bytes+t.load.stats.Bytes
	}
	all := max((s.Read + s.Decode + s.Resize + s.Idle).Seconds(), 1e-9)
	check := min(float64(s.Bytes)/crc, s.Read.Seconds())
	return LoaderShare{
		Read: (s.Read.Seconds() - check) / all, CRC: check / all,
		Decode: s.Decode.Seconds() / all, Resize: s.Resize.Seconds() / all, Idle: s.Idle.Seconds() / all,
	}
}

// scarce names the resource that holds the loader up; docs/LOADER.md says what
// helps.
func (x LoaderRun) scarce() string {
	switch {
	case x.Share.Read > 0.3:
		return "storage: workers wait for reads; more --workers, --cache pin, or nearer storage"
	case x.Share.Idle > 0.3:
		return "the consumer: workers wait for free batches; more prefetch, or nothing to do"
	case x.Busy < 0.7:
		return "processors: the workers get too little of them; other processes run here, or a quota is set"
	case x.Share.Resize > x.Share.Decode:
		return "processors, resizing: a smaller --size, or images stored smaller"
	}
	return "processors, decoding: more cores, or images stored smaller"
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most this process has had resident, in bytes; 0 where the
// system does not say.
func peakMemory() int64 {
	status, err := regular.ReadFile("/proc/self/status", regular.Document)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return int64(kb) << 10
		}
	}
	return 0
}
