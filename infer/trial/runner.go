package trial

import (
	"context"
	"slices"

	"github.com/synshard/synshard/infer"
)

// runner is a network that is run in one way, and how fast it was.
type runner struct {
	way     Way
	network *infer.Network
	ready   bool      // it ran once with this batch
	rates   []float64 // images a second
	leftOut string    // why it may not be chosen
	failed  bool      // it cannot be run
}

// warm runs it once.
func (r *runner) warm(ctx context.Context) (infer.Outputs, error) {
	images, free, err := r.network.Ready(r.way.Batch)
	if err != nil {
		return infer.Outputs{}, err
	}
	defer free()
	r.ready = true
	return r.network.Predict(ctx, images, r.way.Batch)
}

// pace measures it once more.
func (r *runner) pace(ctx context.Context) error {
	if !r.ready {
		if _, err := r.warm(ctx); err != nil {
			return err
		}
	}
	images, free, err := r.network.Ready(r.way.Batch)
	if err != nil {
		return err
	}
	defer free()
	rate, err := infer.Pace(ctx, r.network, images, infer.Setting{Batch: r.way.Batch, Runs: r.way.Runs}, leastWindow)
	r.rates = append(r.rates, rate)
	return err
}

// perSecond is the median of what was measured; 0 before.
func (r *runner) perSecond() float64 {
	if len(r.rates) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.rates))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func (r *runner) tried() Tried {
	return Tried{Way: r.way, PerSecond: r.perSecond(), LeftOut: r.leftOut}
}

// beats says whether it is faster than another, which took turns with it: nearly each time, and
// by enough.
func (r *runner) beats(other *runner) bool {
	rounds, slower := min(len(r.rates), len(other.rates)), 0
	for i := range rounds {
		if r.rates[i] <= other.rates[i] {
			slower++
		}
	}
	return rounds >= leastRounds && slower <= rounds/mostRounds && r.perSecond() > margin*other.perSecond()
}
