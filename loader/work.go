package loader

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/synshard/synshard/pixel"
)

// deal puts the epoch's batches, image by image, before the workers.
func (l *Loader) deal() {
	defer l.wg.Done()
	defer close(l.work)
	defer close(l.ready)
	for place := l.o.Start; l.o.Advisor != nil && place < min(l.o.Start+int64(l.o.Ahead), l.end); place++ {
		l.announce(place)
	}
	for first := l.o.Start; first < l.end; first += int64(l.o.Batch) {
		var s *slot
		select {
		case s = <-l.free:
		case <-l.ctx.Done():
			return
		}
		b := &s.batch
		b.First, b.N = first, 0
		s.pending.Store(int32(l.rows))
		l.ready <- s // never blocks: there are as many places as slots
		for i := range l.rows {
			// Ranks take turns, so that the global batch is the same set for any world.
			place := first + int64(i*l.o.World+l.o.Rank)
			if place < l.total && place < first+int64(l.o.Batch) {
				b.N++
			} else {
				place = -1
			}
			if l.o.Advisor != nil && place >= 0 {
				l.announce(place + int64(l.o.Ahead))
			}
			select {
			case l.work <- job{s, i, place}:
			case <-l.ctx.Done():
				return
			}
		}
	}
}

// announce tells the advisor of a place of this rank that will be read.
func (l *Loader) announce(place int64) {
	if place < l.end && place < l.total && (place-l.o.Start)%int64(l.o.World) == int64(l.o.Rank) {
		l.o.Advisor.WillNeed(int(l.order.at(place)))
	}
}

// maker is what a worker keeps from image to image.
type maker struct {
	d   *pixel.Decoder
	buf []byte
	pcg *rand.PCG
	rng *rand.Rand
}

func (l *Loader) worker() {
	defer l.wg.Done()
	m := &maker{d: pixel.NewDecoder(), pcg: rand.NewPCG(0, 0)}
	m.rng = rand.New(m.pcg)
	m.d.White, m.d.AcceptTruncated = l.o.White, l.o.Truncated
	defer m.d.Close()
	for {
		began := time.Now()
		j, ok := <-l.work
		l.idle.Add(int64(time.Since(began)))
		if !ok || l.ctx.Err() != nil {
			return
		}
		if err := l.fill(m, j); err != nil {
			l.cancel(err)
			return
		}
		if j.s.pending.Add(-1) == 0 {
			if l.o.Mix != (Mix{}) {
				l.o.Mix.apply(&j.s.batch, SampleRNG(mix(l.o.Seed+0x6d), l.o.Epoch, j.s.batch.First))
			}
			j.s.done <- struct{}{}
		}
	}
}

// fill makes one image ready in its place of the batch.
func (l *Loader) fill(m *maker, j job) error {
	b, image := &j.s.batch, l.o.Size*l.o.Size*3
	dst := b.Images[j.index*image : (j.index+1)*image]
	b.Errs[j.index] = nil
	if j.place < 0 {
		clear(dst)
		b.Labels[j.index], b.Rows[j.index] = -1, -1
		return nil
	}
	place := j.place
	for tries := int64(0); ; tries++ {
		row := l.order.at(place)
		b.Rows[j.index], b.Labels[j.index] = row, l.src.Label(int(row))
		err := l.image(m, dst, row, place)
		if err == nil {
			l.images.Add(1)
			return nil
		}
		item := Item{Row: int(row)}
		if l.name != nil {
			item.Path = l.name(item.Row)
			err = fmt.Errorf("row %d, %s: %w", row, item.Path, err)
		} else {
			err = fmt.Errorf("row %d: %w", row, err)
		}
		if l.o.OnError == nil {
			return err
		}
		if err := l.o.OnError(item, err); err != nil {
			return err
		}
		l.skipped.Add(1)
		if l.o.Eval != nil {
			clear(dst)
			b.Errs[j.index] = err
			return nil
		}
		if tries == l.total {
			return fmt.Errorf("no image of the source can be read; the last: %w", err)
		}
		place = (place + 1) % l.total
	}
}

func (l *Loader) image(m *maker, dst []byte, row, place int64) error {
	t0 := time.Now()
	bytes, err := l.src.Read(int(row), m.buf)
	t1 := time.Now()
	l.read.Add(int64(t1.Sub(t0)))
	if err != nil {
		return err
	}
	if cap(bytes) > cap(m.buf) {
		m.buf = bytes
	}
	l.bytes.Add(int64(len(bytes)))
	before := m.d.Spent()
	if l.o.Train != nil {
		seed := l.o.Seed
		if l.o.Weights != nil { // a row may come more than once, and differs each time
			seed = mix(seed + uint64(place))
		}
		*m.pcg = samplePCG(seed, l.o.Epoch, row)
		err = m.d.Train(dst, bytes, *l.o.Train, m.rng)
	} else {
		err = m.d.Eval(dst, bytes, *l.o.Eval)
	}
	after := m.d.Spent()
	l.decode.Add(int64(after.Decode - before.Decode))
	l.resize.Add(int64(after.Resize - before.Resize))
	if l.o.Forget && l.o.Advisor != nil {
		l.o.Advisor.DontNeed(int(row))
	}
	return err
}
