// Package stats describes a dataset's images: their sizes, formats and classes by the index
// alone, their pixels by decoding them; as figures and as plots.
package stats

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/synshard/synshard/shard/census"
)

// Split describes what was selected of a split.
type Split struct {
	Name    string           `json:"split"`            // the split's
	Images  int64            `json:"images"`           // how many
	Bytes   int64            `json:"bytes"`            // of them as they are stored
	Unsized int64            `json:"unsized"`          // of images: the index does not say their size
	Width   Spread           `json:"width"`            // pixels, of those whose size is known
	Height  Spread           `json:"height"`           // likewise
	Shorter Spread           `json:"shorter_side"`     // likewise
	Aspect  Spread           `json:"aspect"`           // width by height
	Length  Spread           `json:"image_bytes"`      // bytes of an image
	Formats map[string]int64 `json:"formats"`          // images by format, as Pillow names it; "": not known
	Modes   map[string]int64 `json:"modes"`            // and by mode
	Classes Balance          `json:"classes"`          // how even they are
	Pixels  *Pixels          `json:"pixels,omitempty"` // for Measure to fill in

	shorter, aspect, length curve
	sizes                   []int64 // images of the classes, descending
}

// Spread is how a figure is distributed over images: the value of which a share of images are at
// or below it (the nearest rank), and the mean. All is 0 of nothing.
type Spread struct {
	Min    float64 `json:"min"`    // the least
	P5     float64 `json:"p5"`     // at 5 %
	P25    float64 `json:"p25"`    // at 25 %
	Median float64 `json:"median"` // at 50 %
	P75    float64 `json:"p75"`    // at 75 %
	P95    float64 `json:"p95"`    // at 95 %
	Max    float64 `json:"max"`    // the greatest
	Mean   float64 `json:"mean"`   // the arithmetic mean
}

// Balance is how evenly images are spread over the classes of the selection.
type Balance struct {
	Listed    int     `json:"listed"`    // classes that there are
	Empty     int     `json:"empty"`     // of them: without an image
	Unlabeled int64   `json:"unlabeled"` // images without a label
	Smallest  int64   `json:"smallest"`  // images of the smallest class that has any
	Median    int64   `json:"median"`    // of the middle one of these
	Largest   int64   `json:"largest"`   // of the largest
	Effective float64 `json:"effective"` // e to the entropy of an image's class: Listed where all are equal
}

// shape is a size of images in pixels.
type shape struct{ w, h int32 }

// Describe describes views of a dataset by its index, in their order; nothing is decoded.
func Describe(views []census.View) []Split {
	var out []Split
	for _, v := range views {
		out = append(out, describe(v))
	}
	return out
}

func describe(v census.View) Split {
	s := Split{Name: v.Split, Images: int64(v.Len()), Formats: map[string]int64{}, Modes: map[string]int64{}}
	shapes, classes := map[shape]int64{}, make([]int64, len(v.Classes()))
	lengths := make([]int32, v.Len()) // at most 2^30
	for i := range v.Len() {
		w, h, format, mode := v.Shape(i)
		s.Formats[format]++
		s.Modes[mode]++
		if w > 0 && h > 0 {
			shapes[shape{w, h}]++
		} else {
			s.Unsized++
		}
		lengths[i] = int32(v.Length(i))
		s.Bytes += int64(lengths[i])
		if label := v.Label(i); label >= 0 {
			classes[label]++
		} else {
			s.Classes.Unlabeled++
		}
	}
	s.spread(shapes, lengths)
	s.balance(classes)
	return s
}

// spread fills in how sizes are distributed.
func (s *Split) spread(shapes map[shape]int64, lengths []int32) {
	of := func(value func(shape) float64) curve {
		counts := map[float64]int64{}
		for at, n := range shapes {
			counts[value(at)] += n
		}
		return newCurve(counts)
	}
	s.Width = of(func(a shape) float64 { return float64(a.w) }).spread()
	s.Height = of(func(a shape) float64 { return float64(a.h) }).spread()
	s.shorter = of(func(a shape) float64 { return float64(min(a.w, a.h)) })
	s.aspect = of(func(a shape) float64 { return float64(a.w) / float64(a.h) })
	counts := map[float64]int64{}
	slices.Sort(lengths)
	for from, to := 0, 0; from < len(lengths); from = to {
		for to = from; to < len(lengths) && lengths[to] == lengths[from]; to++ {
		}
		counts[float64(lengths[from])] = int64(to - from)
	}
	s.length = newCurve(counts)
	s.Shorter, s.Aspect, s.Length = s.shorter.spread(), s.aspect.spread(), s.length.spread()
}

// balance fills in how even classes are, of their numbers of images.
func (s *Split) balance(classes []int64) {
	b := &s.Classes
	b.Listed = len(classes)
	total := float64(s.Images - b.Unlabeled)
	entropy := 0.0
	for _, n := range classes {
		if n == 0 {
			b.Empty++
			continue
		}
		s.sizes = append(s.sizes, n)
		share := float64(n) / total
		entropy -= share * math.Log(share)
	}
	if len(s.sizes) == 0 {
		return
	}
	slices.SortFunc(s.sizes, func(x, y int64) int { return cmp.Compare(y, x) })
	b.Smallest, b.Median, b.Largest = s.sizes[len(s.sizes)-1], s.sizes[len(s.sizes)/2], s.sizes[0]
	b.Effective = math.Exp(entropy)
}

// curve is values in ascending order, and how many images have each or a lower one.
type curve struct {
	values []float64
	upTo   []int64
	mean   float64
}

func newCurve(counts map[float64]int64) curve {
	c := curve{values: slices.Sorted(maps.Keys(counts))}
	n, sum := int64(0), 0.0
	for _, v := range c.values {
		n += counts[v]
		sum += v * float64(counts[v])
		c.upTo = append(c.upTo, n)
	}
	if n > 0 {
		c.mean = sum / float64(n)
	}
	return c
}

// at is the lowest value that a share of images have or are below.
func (c curve) at(share float64) float64 {
	if len(c.values) == 0 {
		return 0
	}
	rank := max(1, int64(math.Ceil(share*float64(c.upTo[len(c.upTo)-1]))))
	i, _ := slices.BinarySearch(c.upTo, rank)
	return c.values[i]
}

func (c curve) spread() Spread {
	return Spread{c.at(0), c.at(0.05), c.at(0.25), c.at(0.5), c.at(0.75), c.at(0.95), c.at(1), c.mean}
}

// Names lists the keys of Formats or Modes, the commonest first.
func Names(counts map[string]int64) []string {
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	return names
}
