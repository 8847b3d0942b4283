package loader

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/synshard/synshard/internal/splitmix"
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
		b.First = first
		s.pending.Store(int32(l.o.Batch))
		l.ready <- s // never blocks: there are as many places as slots
		b.N = int(min(int64(l.o.Batch), l.total-first))
		for i := range l.o.Batch {
			if l.ctx.Err() != nil { // advice may open a shard each time
				return
			}
			place := int64(-1)
			if i < b.N {
				place = l.order.inBatch(first, int64(i), int64(b.N))
			}
			if l.o.Advisor != nil && place >= 0 {
				l.announce(place + int64(l.o.Ahead))
			}
			l.work <- task{s, i, place} // never blocks, either
		}
	}
}

// announce tells the advisor of a place that will be read.
func (l *Loader) announce(place int64) {
	if place < l.end && place < l.total {
		l.o.Advisor.WillNeed(int(l.order.at(place)))
	}
}

// worker is what one of them keeps from image to image.
type worker struct {
	decoder *pixel.Decoder
	buf     []byte       // of an image's bytes
	points  pixel.Points // of the image at hand
	pcg     *rand.PCG
	rng     *rand.Rand // over pcg
}

func (l *Loader) run() {
	defer l.wg.Done()
	w := &worker{decoder: pixel.NewDecoder(), pcg: rand.NewPCG(0, 0)}
	w.rng = rand.New(w.pcg)
	w.decoder.Alpha, w.decoder.AcceptTruncated = l.o.Alpha, l.o.Truncated
	defer w.decoder.Close()
	for {
		began := time.Now()
		t, ok := <-l.work
		l.idle.Add(int64(time.Since(began)))
		if !ok || l.ctx.Err() != nil {
			return
		}
		if turn := t.turn(); l.failed.Before(turn) == nil { // else nobody will have it
			if err := l.fill(w, t); err != nil {
				l.failed.Failed(turn, err)
			}
		}
		if t.slot.pending.Add(-1) == 0 {
			t.slot.done <- struct{}{}
		}
	}
}

// fill makes one image ready in its place of the batch.
func (l *Loader) fill(w *worker, t task) error {
	b, image := &t.slot.batch, l.o.Size*l.o.Size*3
	dst := b.Images[t.index*image : (t.index+1)*image]
	b.Errs[t.index] = nil
	if t.place < 0 {
		clear(dst)
		b.Labels[t.index], b.Rows[t.index] = -1, -1
		return nil
	}
	place := t.place
	for tries := int64(0); ; tries++ {
		row := l.order.at(place)
		b.Rows[t.index], b.Labels[t.index] = row, l.src.Label(int(row))
		err := l.image(w, dst, row, place)
		if err == nil {
			l.images.Add(1)
			return nil
		}
		failed := Item{Row: int(row)}
		if l.name != nil {
			failed.Path = l.name(failed.Row)
		}
		if failed.Path != "" {
			err = fmt.Errorf("row %d, %s: %w", row, failed.Path, err)
		} else {
			err = fmt.Errorf("row %d: %w", row, err)
		}
		if l.o.OnError == nil {
			return err
		}
		if err := l.o.OnError(failed, err); err != nil {
			return err
		}
		l.skipped.Add(1)
		if l.o.Eval != nil {
			clear(dst)
			b.Errs[t.index] = err
			return nil
		}
		if tries == l.total {
			return fmt.Errorf("no image of the source can be read; the last: %w", err)
		}
		place = l.order.after(place)
	}
}

// image reads row into dst, with the randomness of its row, or of its place where
// rows come more than once.
func (l *Loader) image(w *worker, dst []byte, row, place int64) error {
	t0 := time.Now()
	bytes, err := l.src.Read(int(row), w.buf)
	t1 := time.Now()
	l.read.Add(int64(t1.Sub(t0)))
	if err != nil {
		return err
	}
	if cap(bytes) > cap(w.buf) {
		w.buf = bytes
	}
	l.bytes.Add(int64(len(bytes)))
	before := w.decoder.Spent()
	if l.o.Train != nil {
		seed := l.o.Seed
		if l.o.Weights != nil || l.o.Repeats > 1 { // and differ each time
			seed = splitmix.Mix(seed + uint64(place))
		}
		*w.pcg = Randomness(seed, l.o.Epoch, row)
		err = l.train(w, dst, bytes, row)
	} else {
		err = w.decoder.Eval(dst, bytes, *l.o.Eval)
	}
	after := w.decoder.Spent()
	l.decode.Add(int64(after.Decode - before.Decode))
	l.resize.Add(int64(after.Resize - before.Resize))
	if l.keeper != nil {
		l.keeper.Keep(int(row), l.nextUse(row, place))
	}
	if l.o.Forget && l.o.Advisor != nil && place%l.order.repeats == l.order.repeats-1 { // its last copy
		l.o.Advisor.DontNeed(int(row))
	}
	return err
}

// train makes a training image of a row's bytes, from the entry points that are known of it.
func (l *Loader) train(w *worker, dst, bytes []byte, row int64) (err error) {
	find := false
	if l.o.Points != nil {
		w.points, find = l.o.Points.get(row, w.points)
	}
	if !find {
		return w.decoder.Train(dst, bytes, *l.o.Train, w.rng)
	}
	known := len(w.points) > 0
	if err = w.decoder.TrainFrom(dst, bytes, *l.o.Train, w.rng, &w.points); err == nil && !known {
		l.o.Points.put(row, w.points)
	}
	return err
}

// nextUse is when a row that was read in a place is read next, as Keeper has it.
func (l *Loader) nextUse(row, place int64) int64 {
	epoch := int64(l.o.Epoch) * l.total
	if at, ok := l.order.first(row, place+1); ok && at < l.end {
		return epoch + at
	}
	if at, ok := l.next.first(row, 0); ok {
		return epoch + l.total + at
	}
	return epoch + 2*l.total
}
