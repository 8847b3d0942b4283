package infer

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
)

// SampleOptions say which images of a source are made ready, and how.
type SampleOptions struct {
	Spec  model.Spec // how images are made ready
	Batch int        // images a batch; the last may have less
	Limit int        // at most so many images; 0 for all
	Seed  uint64     // of the order in which they are drawn
}

// EachBatch makes images of src ready, in an order drawn by the seed, and gives
// them to f batch by batch, good until f returns. An image that cannot be decoded
// has its place in the batch and its error in Errs; one that cannot be read ends
// it.
func EachBatch(ctx context.Context, src loader.Source, o SampleOptions, f func(*loader.Batch) error) error {
	l, err := loader.New(ctx, src, loader.Options{
		Batch: o.Batch, Alpha: alphaOf(o.Spec), Shuffle: true, Seed: o.Seed,
		Eval: &pixel.Eval{Size: o.Spec.InputSize, Resize: o.Spec.Resize, Interpolation: o.Spec.Interpolation, Square: o.Spec.Square},
		OnError: func(_ loader.Item, err error) error {
			if pixel.OfImage(err) {
				return nil // counted by who takes the batch
			}
			return err
		},
	})
	if err != nil {
		return err
	}
	defer l.Close()
	for seen := 0; o.Limit == 0 || seen < o.Limit; {
		b, err := l.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if o.Limit > 0 {
			b.N = min(b.N, o.Limit-seen)
		}
		seen += b.N
		err = f(b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// Agreement is what two models predict on the same images.
type Agreement struct {
	N      int     `json:"images"`    // images whose class both know
	Top1A  float64 `json:"top1_fp32"` // share that a gets right: quantize compares with fp32
	Top1B  float64 `json:"top1"`      // share that b gets right
	Change float64 `json:"change"`    // Top1B - Top1A
	// Low and High bound the change: its 95 % interval, by pairs.
	Low        float64 `json:"change_low"`
	High       float64 `json:"change_high"`
	Agreement  float64 `json:"agreement"` // share of images with the same first prediction
	Unreadable int     `json:"rejected"`  // images left out
	// RateA and RateB are images a second of one run at a time, the median over batches in
	// turns, without the first of several; 0 without a batch.
	RateA float64 `json:"images_per_second_fp32"`
	RateB float64 `json:"images_per_second"`
}

// AgreementOptions say what is predicted.
type AgreementOptions struct {
	SampleOptions
	Whole    bool                  // every run takes a whole batch
	Truth    func(label int64) int // the model's class of an image's label; -1: none
	OnImages func(n int)           // after each batch; may be nil
}

// TruthByName finds the classes of labels that count in one list by their names in a
// model's: -1 for a label that is none, or whose name the model does not know.
func TruthByName(labels, classes []string) func(label int64) int {
	at := map[string]int{}
	for i, name := range classes {
		at[name] = i
	}
	return func(label int64) int {
		if label < 0 || label >= int64(len(labels)) {
			return -1
		}
		if class, known := at[labels[label]]; known {
			return class
		}
		return -1
	}
}

// MeasureAgreement predicts images of src with two models over the same
// classes, those of the Spec. With no image to count all figures are 0.
func MeasureAgreement(ctx context.Context, src loader.Source, a, b Predictor, o AgreementOptions) (Agreement, error) {
	var c Agreement
	var rightA, rightB, onlyA, onlyB, same int
	var clockA, clockB clock
	classes := len(o.Spec.Classes)
	err := EachBatch(ctx, src, o.SampleOptions, func(batch *loader.Batch) error {
		n := batch.N
		if o.Whole {
			n = o.Batch
		}
		x, err := clockA.predict(ctx, a, batch.Images, n)
		if err != nil {
			return err
		}
		y, err := clockB.predict(ctx, b, batch.Images, n)
		if err != nil {
			return err
		}
		for i := range batch.N {
			if batch.Errs[i] != nil {
				c.Unreadable++
				continue
			}
			truth := o.Truth(batch.Labels[i])
			if truth < 0 {
				continue
			}
			p, q := largest(x.Probabilities[i*classes:][:classes]), largest(y.Probabilities[i*classes:][:classes])
			c.N++
			rightA, rightB, same = rightA+one(p == truth), rightB+one(q == truth), same+one(p == q)
			onlyA, onlyB = onlyA+one(p == truth && q != truth), onlyB+one(q == truth && p != truth)
		}
		if o.OnImages != nil {
			o.OnImages(batch.N)
		}
		return nil
	})
	c.RateA, c.RateB = clockA.rate(), clockB.rate()
	if err != nil || c.N == 0 {
		return c, err
	}
	share := func(n int) float64 { return float64(n) / float64(c.N) }
	c.Top1A, c.Top1B, c.Agreement = share(rightA), share(rightB), share(same)
	c.Change = share(rightB - rightA)
	c.Low, c.High = paired(c.N, onlyA, onlyB)
	return c, nil
}

// paired gives the 95 % interval of the difference of two shares of the same n images, of
// which only a gets onlyA right and only b onlyB: Wald's with one added to each (Bonett and
// Price, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based
// on Paired Data", Journal of Educational and Behavioral Statistics 37(4), 2012).
func paired(n, onlyA, onlyB int) (low, high float64) {
	p, q := float64(onlyA+1)/float64(n+2), float64(onlyB+1)/float64(n+2)
	half := 1.959964 * math.Sqrt((p+q-(q-p)*(q-p))/float64(n+2))
	return max(q-p-half, -1), min(q-p+half, 1)
}

// clock times predictions.
type clock struct{ seconds []float64 } // an image, of each batch

func (c *clock) predict(ctx context.Context, p Predictor, images []byte, n int) (Outputs, error) {
	start := time.Now()
	out, err := p.Predict(ctx, images, n)
	c.seconds = append(c.seconds, time.Since(start).Seconds()/float64(n))
	return out, err
}

// rate is in images a second.
func (c *clock) rate() float64 {
	s := c.seconds
	if len(s) > 1 {
		s = s[1:] // the first makes memory ready
	}
	if len(s) == 0 {
		return 0
	}
	s = slices.Sorted(slices.Values(s))
	return 1 / s[len(s)/2]
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func largest(p []float32) int {
	best := 0
	for i, v := range p {
		if v > p[best] {
			best = i
		}
	}
	return best
}
