package infer

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// Setting is how a network is run.
type Setting struct {
	Batch int `json:"batch"` // images a run
	Runs  int `json:"runs"`  // at a time
}

// MeasureOptions bound a measurement.
type MeasureOptions struct {
	Least time.Duration // at least so long, in each of the windows that are compared; 0 means 1 s
	Most  time.Duration // in all; 0 means 30 s
}

// spread is how near windows must lie to be stable, as a share of their mean.
const spread = 0.02

// Measurement is what a setting gives on ready images.
type Measurement struct {
	Setting
	PerSecond float64 `json:"images_per_second"` // mean of the last three windows
	P50       float64 `json:"p50_seconds"`       // quantiles of a run's time, in seconds
	P95       float64 `json:"p95_seconds"`       // likewise
	P99       float64 `json:"p99_seconds"`       // likewise
	Batches   int     `json:"batches"`           // runs that were timed
	Stable    bool    `json:"stable"`            // three windows in a row agree
}

// Measure runs a network over images that are ready until
// the rate of three windows in a row agrees, or the time is up. The first runs
// are not counted.
func Measure(ctx context.Context, n *Network, s Setting, o MeasureOptions) (Measurement, error) {
	if o.Least == 0 {
		o.Least = time.Second
	}
	if o.Most == 0 {
		o.Most = 30 * time.Second
	}
	m := Measurement{Setting: s}
	images, free, err := n.Ready(s.Batch)
	if err != nil {
		return m, err
	}
	defer free()
	if err := window(ctx, n, images, s, 0, nil); err != nil { // warms up
		return m, err
	}
	var took []time.Duration
	var rates []float64
	for began := time.Now(); len(rates) == 0 || time.Since(began) < o.Most && !m.Stable; {
		before, start := len(took), time.Now()
		if err := window(ctx, n, images, s, o.Least, &took); err != nil {
			return m, err
		}
		rates = append(rates, float64((len(took)-before)*s.Batch)/time.Since(start).Seconds())
		m.Stable = agree(rates, spread)
	}
	m.Batches = len(took)
	last := rates[max(0, len(rates)-3):]
	for _, r := range last {
		m.PerSecond += r / float64(len(last))
	}
	slices.Sort(took)
	m.P50, m.P95, m.P99 = quantile(took, 0.50), quantile(took, 0.95), quantile(took, 0.99)
	return m, nil
}

// Pace keeps runs over images, a batch of them, going for at least so long, each at least
// once, and gives the images a second of s.Runs runs at a time that take as long as these did: what
// the first that comes to its end waits for the last is not counted, or large batches would
// look slow.
func Pace(ctx context.Context, p Predictor, images []byte, s Setting, least time.Duration) (float64, error) {
	var took []time.Duration
	if err := window(ctx, p, images, s, least, &took); err != nil {
		return 0, err
	}
	var all time.Duration
	for _, d := range took {
		all += d
	}
	return float64(s.Runs*s.Batch*len(took)) / all.Seconds(), nil
}

// agree says whether the last three rates lie within a share of their mean.
func agree(rates []float64, spread float64) bool {
	if len(rates) < 3 {
		return false
	}
	last := rates[len(rates)-3:]
	lo, hi := slices.Min(last), slices.Max(last)
	return hi-lo <= spread*(lo+hi)/2
}

// quantile is the smallest time that a share q of sorted times do not exceed,
// in seconds.
func quantile(sorted []time.Duration, q float64) float64 {
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[max(i, 0)].Seconds()
}

// window keeps s.Runs runs going for at least so long, each at least once, and
// notes how long each took.
func window(ctx context.Context, p Predictor, images []byte, s Setting, least time.Duration, took *[]time.Duration) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	start := time.Now()
	for range s.Runs {
		wg.Go(func() {
			for {
				began := time.Now()
				_, err := p.Predict(ctx, images, s.Batch)
				spent := time.Since(began)
				mu.Lock()
				if err != nil && failed == nil {
					failed = err
				}
				if took != nil {
					*took = append(*took, spent)
				}
				stop := failed != nil || time.Since(start) >= least
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	return failed
}
