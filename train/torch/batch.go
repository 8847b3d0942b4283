package torch

// #include <stdint.h>
import "C"

import (
	"fmt"

	"github.com/synshard/synshard/loader"
)

// checkBatch wants a batch to be whole, and its images to be of a size that the network takes.
func (e *Engine) checkBatch(b *loader.Batch) error {
	if int64(b.Size) != e.fits.Load() {
		net := *e.net
		net.Input = b.Size
		if _, err := net.Shapes(); err != nil {
			return fmt.Errorf("images of %d pixels: %w", b.Size, err)
		}
		e.fits.Store(int64(b.Size))
	}
	if rows := len(b.Labels); rows == 0 || len(b.Images) < rows*b.Size*b.Size*3 {
		return fmt.Errorf("batch with %d labels and %d bytes of images", len(b.Labels), len(b.Images))
	}
	if rows := len(b.Labels); b.Others != nil && (len(b.Others) != rows || len(b.Shares) != rows) {
		return fmt.Errorf("batch with %d labels, %d others and %d shares", rows, len(b.Others), len(b.Shares))
	}
	return nil
}

// piece is the memory of some rows of a batch.
type piece struct {
	images         *C.uint8_t
	labels, others *C.int64_t
	shares         *C.float
	n, size        C.int32_t
}

// rowsOf is that of rows [from, to).
func rowsOf(b *loader.Batch, from, to int) piece {
	r := piece{
		images: (*C.uint8_t)(&b.Images[from*b.Size*b.Size*3]), labels: (*C.int64_t)(&b.Labels[from]),
		n: C.int32_t(to - from), size: C.int32_t(b.Size),
	}
	if b.Others != nil {
		r.others, r.shares = (*C.int64_t)(&b.Others[from]), (*C.float)(&b.Shares[from])
	}
	return r
}

// portion is a microbatch's part in the whole batch's means: of losses, by the weights of
// its labels, and of what is counted by rows. Without class weights they are one.
type portion struct{ loss, rows float64 }

type span struct{ from, to int }

// microbatches cuts labels into at most n spans of equal length, leaving out those
// without any labelled row.
func microbatches(labels []int64, n int) []span {
	size := (len(labels) + n - 1) / n
	var out []span
	for from := 0; from < len(labels); from += size {
		to := min(from+size, len(labels))
		if counted(labels[from:to]) > 0 {
			out = append(out, span{from, to})
		}
	}
	if len(out) == 0 {
		return []span{{0, len(labels)}} // the engine says what is wrong with it
	}
	return out
}

// weigh adds up the weights of rows' labels, and counts them.
func (e *Engine) weigh(b *loader.Batch, s span) (sum portion) {
	sum.rows = float64(counted(b.Labels[s.from:s.to]))
	if e.cfg.ClassWeights == nil {
		return portion{sum.rows, sum.rows}
	}
	weight := func(l int64) float64 {
		if l < 0 || l >= int64(len(e.cfg.ClassWeights)) { // these the engine refuses
			return 0
		}
		return e.cfg.ClassWeights[l]
	}
	for i := s.from; i < s.to; i++ {
		own := 1.0
		if b.Others != nil {
			own = float64(b.Shares[i])
			sum.loss += (1 - own) * weight(b.Others[i])
		}
		sum.loss += own * weight(b.Labels[i])
	}
	return sum
}

func counted(labels []int64) int {
	n := 0
	for _, l := range labels {
		if l >= 0 {
			n++
		}
	}
	return n
}
