package loader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/pixel"
)

// images is a source in memory: row i is a small JPEG that says i by its
// colour, and has the label i % 7.
type images struct {
	data  [][]byte
	reads atomic.Int64
	slow  time.Duration
	read  func(i int) // told of each; nil: nobody
}

func (p *images) Len() int          { return len(p.data) }
func (p *images) Label(i int) int64 { return int64(i % 7) }
func (p *images) Path(i int) string { return fmt.Sprintf("image_%d.JPEG", i) }
func (p *images) Read(i int, buf []byte) ([]byte, error) {
	p.reads.Add(1)
	if p.slow > 0 {
		time.Sleep(p.slow)
	}
	if p.read != nil {
		p.read(i)
	}
	if p.data[i] == nil {
		return nil, errUnreadable
	}
	return append(buf[:0], p.data[i]...), nil
}

var errUnreadable = errors.New("unreadable")

func drawn(t testing.TB, n int) *images {
	t.Helper()
	p := &images{}
	for i := range n {
		pix := make([]byte, 24*20*3)
		for k := range pix {
			pix[k] = byte(k*7 + i*13 + k/72*i)
		}
		b, err := pixel.EncodeJPEG(24, 20, pix, 90)
		if err != nil {
			t.Fatal(err)
		}
		p.data = append(p.data, b)
	}
	return p
}

var crop = &pixel.Train{Size: 8, AreaMin: 0.1, AreaMax: 1, AspectMin: 0.75, AspectMax: 4.0 / 3, Flip: true, Brightness: 0.1, Hue: 0.1}
var centre = &pixel.Eval{Size: 8, Resize: 10}

// taken is what a loader gave: rows in order and their pixels.
type taken struct {
	rows, labels []int64
	pixels       [][]byte
	sizes        []int
	skipped      int64
}

func take(t testing.TB, src Source, o Options) taken {
	t.Helper()
	l, err := New(context.Background(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var got taken
	for {
		b, err := l.Next()
		if err == io.EOF {
			got.skipped = l.Stats().Skipped
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"size": 8, "labels": len(b.Rows), "bytes": len(b.Rows) * 8 * 8 * 3}
		if diff := cmp.Diff(want, map[string]int{"size": b.Size, "labels": len(b.Labels), "bytes": len(b.Images)}); diff != "" {
			t.Fatalf("batch of %d rows (-want +got):\n%s", len(b.Rows), diff)
		}
		for i, row := range b.Rows {
			if i < b.N != (row >= 0) {
				t.Fatalf("row %d is %d of %d", i, row, b.N)
			}
			if i < b.N {
				got.rows, got.labels = append(got.rows, row), append(got.labels, b.Labels[i])
				got.pixels = append(got.pixels, bytes.Clone(b.Images[i*192:(i+1)*192]))
			} else if b.Labels[i] != -1 || !bytes.Equal(b.Images[i*192:(i+1)*192], make([]byte, 192)) {
				t.Fatalf("padding has the label %d or pixels", b.Labels[i])
			}
		}
		got.sizes = append(got.sizes, b.N)
		b.Release()
	}
}

func same(t testing.TB, what string, a, b taken) {
	t.Helper()
	if diff := cmp.Diff(a.rows, b.rows, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s: rows (-want +got):\n%s", what, diff)
	}
	if diff := cmp.Diff(a.labels, b.labels, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s: labels (-want +got):\n%s", what, diff)
	}
	for i := range a.pixels {
		if !bytes.Equal(a.pixels[i], b.pixels[i]) {
			t.Fatalf("%s: other pixels in place %d, row %d", what, i, a.rows[i])
		}
	}
}

func TestSameForAnyWorkers(t *testing.T) {
	src := drawn(t, 61)
	o := Options{Batch: 8, Train: crop, Shuffle: true, Seed: 3, Epoch: 2, Workers: 1, Prefetch: 1}
	want := take(t, src, o)
	if !slices.Equal(slices.Sorted(slices.Values(want.rows)), upTo(61)) {
		t.Fatalf("an epoch is not every row once: %v", want.rows)
	}
	if slices.Equal(want.rows, upTo(61)) {
		t.Fatal("not shuffled")
	}
	for _, workers := range []int{2, 7} {
		for _, prefetch := range []int{1, 5} {
			o.Workers, o.Prefetch = workers, prefetch
			same(t, fmt.Sprint(workers, " workers, prefetch ", prefetch), want, take(t, src, o))
		}
	}
	o.Epoch++
	if other := take(t, src, o); slices.Equal(other.rows, want.rows) {
		t.Error("two epochs in the same order")
	}
}

func upTo(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i)
	}
	return out
}

// TestResume: from any sample on the rest is the same, and nothing before it is
// read.
func TestResume(t *testing.T) {
	src := drawn(t, 40)
	o := Options{Batch: 6, Train: crop, Shuffle: true, Seed: 9, Epoch: 1}
	whole := take(t, src, o)
	for _, start := range []int64{1, 6, 17, 39, 40} {
		before := src.reads.Load()
		o.Start = start
		rest := take(t, src, o)
		same(t, fmt.Sprint("from ", start), taken{rows: whole.rows[start:], labels: whole.labels[start:], pixels: whole.pixels[start:]}, rest)
		if reads := src.reads.Load() - before; reads != 40-start {
			t.Errorf("from %d: %d reads", start, reads)
		}
	}
}

func TestLastBatch(t *testing.T) {
	src := drawn(t, 20)
	for _, c := range []struct {
		what  string
		src   *images
		o     Options
		sizes []int
	}{
		{"padded", src, Options{Batch: 8, Eval: centre}, []int{8, 8, 4}},
		{"dropped", src, Options{Batch: 8, Eval: centre, DropLast: true}, []int{8, 8}},
		{"dropped, from 5", src, Options{Batch: 8, Eval: centre, DropLast: true, Start: 5}, []int{8}},
		{"nothing", drawn(t, 0), Options{Batch: 8, Eval: centre}, nil},
	} {
		got := take(t, c.src, c.o)
		if diff := cmp.Diff(c.sizes, got.sizes); diff != "" {
			t.Errorf("%s: sizes (-want +got):\n%s", c.what, diff)
		}
		if c.what != "padded" {
			continue
		}
		if diff := cmp.Diff(upTo(20), got.rows); diff != "" {
			t.Errorf("%s: rows (-want +got):\n%s", c.what, diff)
		}
	}
}

func TestErrors(t *testing.T) {
	src := drawn(t, 20)
	src.data[3], src.data[11] = nil, src.data[11][:40]

	l, err := New(context.Background(), src, Options{Batch: 4, Eval: centre})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = l.Next()
	}
	if !errors.Is(err, errUnreadable) || err.Error() != "row 3, image_3.JPEG: unreadable" {
		t.Errorf("without OnError: %v", err)
	}
	l.Close()

	var mu sync.Mutex
	var refused []int
	skip := func(it Item, err error) error {
		mu.Lock()
		defer mu.Unlock()
		if err == nil || it.Path != fmt.Sprintf("image_%d.JPEG", it.Row) {
			t.Errorf("%+v: %v", it, err)
		}
		refused = append(refused, it.Row)
		return nil
	}
	got := take(t, src, Options{Batch: 4, Train: crop, Shuffle: true, Seed: 1, OnError: skip})
	if got.skipped != int64(len(refused)) {
		t.Errorf("%d refused rows counted, of %d", got.skipped, len(refused))
	}
	slices.Sort(refused)
	if diff := cmp.Diff([]int{3, 11}, slices.Compact(refused)); diff != "" {
		t.Errorf("refused rows (-want +got):\n%s", diff)
	}
	if n := len(got.rows); n != 20 {
		t.Errorf("%d rows were given, want 20", n)
	}
	if slices.Contains(got.rows, 3) || slices.Contains(got.rows, 11) {
		t.Errorf("a refused row was given: %v", got.rows)
	}

	l, err = New(context.Background(), src, Options{Batch: 20, Eval: centre, OnError: skip})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := l.Next()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(upTo(20), b.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for i, err := range b.Errs {
		if bad := i == 3 || i == 11; (err != nil) != bad {
			t.Errorf("row %d: %v", i, err)
		}
		if b.Labels[i] != int64(i%7) {
			t.Errorf("row %d has label %d", i, b.Labels[i])
		}
	}
	b.Release()

	for i := range src.data {
		src.data[i] = nil
	}
	l, err = New(context.Background(), src, Options{Batch: 4, Train: crop, OnError: func(Item, error) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Next(); !errors.Is(err, errUnreadable) {
		t.Errorf("with no image that can be read: %v", err)
	}
}

// raced are 20 images of which row 11 fails, and row 3 too if bad, which is read after that.
func raced(t *testing.T, bad bool) *images {
	src := drawn(t, 20)
	src.data[11] = src.data[11][:40]
	if bad {
		src.data[3] = nil
	}
	later := make(chan struct{})
	src.read = func(i int) {
		switch i {
		case 3:
			<-later
			time.Sleep(10 * time.Millisecond) // nothing says when a row has failed
		case 11:
			close(later)
		}
	}
	return src
}

// TestFirstError: which error ends an epoch, and after which batches, is its order's to say, and
// not who was faster.
func TestFirstError(t *testing.T) {
	for _, c := range []struct {
		bad     bool
		want    string
		batches int
	}{{false, "row 11, ", 2}, {true, "row 3, ", 0}} {
		l, err := New(t.Context(), raced(t, c.bad), Options{Batch: 4, Workers: 2, Eval: centre})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; ; n++ {
			b, stop := l.Next()
			if err = stop; err != nil {
				break
			}
			b.Release()
		}
		if !strings.HasPrefix(err.Error(), c.want) || n != c.batches {
			t.Errorf("%d batches before %v, want %d before %s", n, err, c.batches, c.want)
		}
		if _, again := l.Next(); again != err {
			t.Errorf("asked again: %v", again)
		}
		l.Close()
	}
}

func TestFirstErrorOfEach(t *testing.T) {
	src := raced(t, true)
	o := EachOptions{Workers: 2, OnError: func(_ int, err error) error { return err }}
	err := Each(t.Context(), src, src.Len(), func(k int) int { return k }, o, func(_, _ int, d *pixel.Decoder, image []byte) error {
		return d.Eval(make([]byte, 8*8*3), image, *centre)
	})
	if !errors.Is(err, errUnreadable) {
		t.Errorf("%v, want row 3's", err)
	}
}

// TestTruncated: an image that ends early is an error, or taken as far as it
// goes.
func TestTruncated(t *testing.T) {
	src := drawn(t, 8)
	whole := take(t, src, Options{Batch: 4, Eval: centre})
	src.data[5] = src.data[5][:len(src.data[5])-60]
	for _, train := range []bool{false, true} {
		o := Options{Batch: 4, Eval: centre}
		if train {
			o = Options{Batch: 4, Train: &pixel.Train{Size: 8, AreaMin: 1, AreaMax: 1, AspectMin: 1, AspectMax: 1}}
		}
		l, err := New(t.Context(), src, o)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = l.Next()
		}
		l.Close()
		if !errors.Is(err, pixel.ErrTruncated) || !strings.Contains(err.Error(), "image_5") {
			t.Errorf("training %v: %v", train, err)
		}
		o.Truncated = true
		got := take(t, src, o)
		if diff := cmp.Diff([]int{8, 0}, []int{len(got.rows), int(got.skipped)}); diff != "" {
			t.Errorf("training %v: rows, skipped (-want +got):\n%s", train, diff)
		}
		if !train && (!bytes.Equal(got.pixels[5][:24], whole.pixels[5][:24]) || bytes.Equal(got.pixels[5], whole.pixels[5])) {
			t.Error("the rows above the cut differ, or those below it do not")
		}
	}
}

// TestCancel: however a loader ends, early or at a deadline, with batches in
// hand or not, its goroutines end and Next says why.
func TestCancel(t *testing.T) {
	src := drawn(t, 200)
	src.slow = time.Millisecond
	before := runtime.NumGoroutine()
	for i := range 40 {
		ctx, cancel := context.WithCancel(context.Background())
		freed := atomic.Int64{}
		l, err := New(ctx, src, Options{Batch: 8, Train: crop, Workers: 3, Alloc: func(n int) ([]byte, func(), error) {
			return make([]byte, n), func() { freed.Add(1) }, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		var held []*Batch
		for range i % 4 {
			b, err := l.Next()
			if err != nil {
				t.Fatal(err)
			}
			if held = append(held, b); i%2 == 0 {
				b.Release()
			}
			if len(held) == 2 && i%2 == 1 {
				break // no slot would come free but one
			}
		}
		if i%3 == 0 {
			cancel()
			if _, err := l.Next(); !errors.Is(err, context.Canceled) {
				// A batch that was ready may still be given once.
				for err == nil {
					_, err = l.Next()
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("after cancel: %v", err)
				}
			}
		} else {
			done := make(chan error)
			go func() {
				var err error
				for err == nil {
					_, err = l.Next()
				}
				done <- err
			}()
			time.Sleep(time.Millisecond)
			l.Close()
			if err := <-done; !errors.Is(err, errClosed) {
				t.Fatalf("after Close: %v", err)
			}
		}
		l.Close()
		for _, b := range held {
			b.Release()
		}
		cancel()
		if freed.Load() != 3 {
			t.Fatalf("%d slots freed", freed.Load())
		}
	}
	for deadline := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRefusedOptions(t *testing.T) {
	src := drawn(t, 3)
	for name, o := range map[string]Options{
		"no path":        {Batch: 2},
		"both paths":     {Batch: 2, Train: crop, Eval: centre},
		"no batch":       {Eval: centre},
		"other size":     {Batch: 2, Eval: centre, Size: 9},
		"start":          {Batch: 2, Eval: centre, Start: 4},
		"weights":        {Batch: 2, Train: crop, Weights: []float64{1}},
		"weight below 0": {Batch: 2, Train: crop, Weights: []float64{1, -1, 1}},
		"no weight":      {Batch: 2, Train: crop, Weights: []float64{0, 0, 0}},
		"alloc": {Batch: 2, Eval: centre, Alloc: func(int) ([]byte, func(), error) {
			return nil, nil, errUnreadable
		}},
	} {
		if l, err := New(context.Background(), src, o); err == nil {
			l.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// watcher notes what an advisor is told.
type watcher struct {
	mu         sync.Mutex
	will, dont []int
}

func (w *watcher) WillNeed(i int) { w.mu.Lock(); defer w.mu.Unlock(); w.will = append(w.will, i) }
func (w *watcher) DontNeed(i int) { w.mu.Lock(); defer w.mu.Unlock(); w.dont = append(w.dont, i) }

func TestAdvice(t *testing.T) {
	src := drawn(t, 30)
	for _, ahead := range []int{0, 1, 100} {
		for _, start := range []int64{0, 7} {
			w := &watcher{}
			got := take(t, src, Options{Batch: 4, Train: crop, Shuffle: true, Start: start, Advisor: w, Ahead: ahead, Forget: true})
			order := make([]int64, len(w.will))
			for i, row := range w.will {
				order[i] = int64(row)
			}
			if !slices.Equal(order, got.rows) {
				t.Errorf("ahead %d, start %d: announced %v of %v", ahead, start, order, got.rows)
			}
			slices.Sort(w.will)
			if slices.Sort(w.dont); !slices.Equal(w.will, w.dont) {
				t.Errorf("forgot %v of %v", w.dont, w.will)
			}
		}
	}
}

func TestPin(t *testing.T) {
	src := drawn(t, 20)
	want := take(t, src, Options{Batch: 4, Train: crop})
	total := 0
	for _, b := range src.data {
		total += len(b)
	}
	for _, c := range []struct {
		limit int64
		again func(reads int64) bool
	}{{int64(total), func(n int64) bool { return n == 0 }}, {int64(total / 2), func(n int64) bool { return n > 5 && n < 15 }}} {
		pinned := Pin(src, c.limit)
		same(t, "first", want, take(t, pinned, Options{Batch: 4, Train: crop}))
		before := src.reads.Load()
		same(t, "second", want, take(t, pinned, Options{Batch: 4, Train: crop}))
		if n := src.reads.Load() - before; !c.again(n) || pinned.used > c.limit {
			t.Errorf("limit %d: %d read again, %d bytes held", c.limit, n, pinned.used)
		}
	}
}
