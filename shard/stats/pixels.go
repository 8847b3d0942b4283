package stats

import (
	"context"
	"math"
	"sync/atomic"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
)

// Pixels are the values of pixels as torchvision's ToTensor gives them: RGB, each channel from 0
// to 1.
type Pixels struct {
	Of       string     `json:"of"`        // raw, or eval: what was measured of each image
	Images   int64      `json:"images"`    // measured
	Rejected int64      `json:"rejected"`  // could not be decoded
	Pixels   int64      `json:"pixels"`    // of those measured
	Mean     [3]float64 `json:"mean"`      // red, green, blue; every pixel counts once
	Std      [3]float64 `json:"std"`       // over all pixels, of the population
	ImageStd [3]float64 `json:"image_std"` // mean of each image's own

	counts histogram
}

// What is measured of an image.
const (
	Raw  = "raw"  // every pixel, as it is stored
	Eval = "eval" // what the evaluation transform leaves
)

// MeasureOptions say which pixels are measured, and how.
type MeasureOptions struct {
	Eval  *pixel.Eval // the transform; nil: every pixel, as it is stored
	Limit int         // at most so many images, spread evenly over the rows; 0: all
	loader.EachOptions
}

// histogram counts values of pixels, by channel.
type histogram [3][256]int64

// tally is what a worker has measured. All of it is whole numbers, so that neither their number
// nor their order changes a bit of the result.
type tally struct {
	counts   histogram
	images   int64
	imageStd [3]int64 // in units of 2^-32
	room     []byte   // of a transformed image
}

// Measure decodes images of a source and measures their pixels. Errors are those of
// loader.Each.
func Measure(ctx context.Context, src loader.Source, o MeasureOptions) (*Pixels, error) {
	out := &Pixels{Of: Raw}
	if o.Eval != nil {
		out.Of = Eval
	}
	n := src.Len()
	if o.Limit > 0 {
		n = min(n, o.Limit)
	}
	workers := make([]tally, loader.WorkersOf(o.Workers))
	o.Workers = len(workers)
	var rejected atomic.Int64
	tell := o.OnError
	o.OnError = func(i int, err error) error {
		rejected.Add(1)
		if tell == nil {
			return nil
		}
		return tell(i, err)
	}
	row := func(k int) int { return int(int64(k) * int64(src.Len()) / int64(n)) }
	err := loader.Each(ctx, src, n, row, o.EachOptions, func(worker, _ int, d *pixel.Decoder, image []byte) error {
		return workers[worker].add(d, image, o.Eval)
	})
	if err != nil {
		return nil, err
	}
	out.Rejected = rejected.Load()
	out.sum(workers)
	return out, nil
}

// add measures an image.
func (t *tally) add(d *pixel.Decoder, image []byte, eval *pixel.Eval) error {
	var pix []byte
	if eval == nil {
		rgb, err := d.Decode(image)
		if err != nil {
			return err
		}
		pix = rgb.Pix
		defer d.Release()
	} else {
		if t.room == nil {
			t.room = make([]byte, eval.Size*eval.Size*3)
		}
		if err := d.Eval(t.room, image, *eval); err != nil {
			return err
		}
		pix = t.room
	}
	var own histogram
	for i := 0; i+2 < len(pix); i += 3 {
		own[0][pix[i]]++
		own[1][pix[i+1]]++
		own[2][pix[i+2]]++
	}
	t.images++
	for c := range own {
		_, std := moments(&own[c])
		t.imageStd[c] += int64(math.Round(std * (1 << 32)))
		for v, n := range own[c] {
			t.counts[c][v] += n
		}
	}
	return nil
}

// sum adds up what all workers have.
func (p *Pixels) sum(workers []tally) {
	var imageStd [3]int64
	for w := range workers {
		t := &workers[w]
		p.Images += t.images
		for c := range p.counts {
			imageStd[c] += t.imageStd[c]
			for v, n := range t.counts[c] {
				p.counts[c][v] += n
			}
		}
	}
	for _, n := range p.counts[0] {
		p.Pixels += n
	}
	for c := range p.counts {
		p.Mean[c], p.Std[c] = moments(&p.counts[c])
		if p.Images > 0 {
			p.ImageStd[c] = float64(imageStd[c]) / (1 << 32) / float64(p.Images)
		}
	}
}

// moments are the mean and the standard deviation of the population of values that are so many
// 255ths, 0 of nothing.
func moments(counts *[256]int64) (mean, std float64) {
	n, sum := int64(0), int64(0)
	for v, k := range counts {
		n, sum = n+k, sum+int64(v)*k
	}
	if n == 0 {
		return 0, 0
	}
	mean = float64(sum) / float64(n)
	squares := 0.0
	for v, k := range counts {
		squares += float64(k) * (float64(v) - mean) * (float64(v) - mean)
	}
	return mean / 255, math.Sqrt(squares/float64(n)) / 255
}
