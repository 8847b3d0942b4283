package recipe

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Rate is the learning rate over a run.
//
// The peak is Base scaled from BaseBatch to the batch in use: linearly
// (Goyal et al. 2017), by the square root, or not at all. A linear warm-up
// over WarmupEpochs starts at WarmupFrom times the peak; then the schedule:
//
//	constant     peak
//	exponential  peak * factor^(e/every_epochs), in stairs if staircase
//	step         peak * factor^(milestones passed)
//	cosine       from peak to floor*peak along half a cosine
//
// LayerDecay, above 0, multiplies the rate of a layer by its power of how many layers
// stand between it and the heads' (timm's layer_decay).
//
// e is the epoch, with its fraction. Exponential and step count e from the
// start of the run, cosine (Loshchilov and Hutter, arXiv:1608.03983) from the end
// of the warm-up.
type Rate struct {
	Base         float64   `yaml:"base"`
	BaseBatch    int       `yaml:"base_batch"` // images; not read without scaling
	Scaling      string    `yaml:"scaling"`    // linear, sqrt, none
	Schedule     string    `yaml:"schedule"`   // one of the four
	WarmupEpochs float64   `yaml:"warmup_epochs,omitempty"`
	WarmupFrom   float64   `yaml:"warmup_from,omitempty"`
	Factor       float64   `yaml:"factor,omitempty"`          // of exponential and step
	EveryEpochs  float64   `yaml:"every_epochs,omitempty"`    // of exponential: epochs in which the rate falls by the factor
	Staircase    bool      `yaml:"staircase,omitempty"`       // of exponential: at the end of each such stretch, not in between
	Milestones   []float64 `yaml:"milestones,omitempty,flow"` // epochs
	Floor        float64   `yaml:"floor,omitempty"`           // fraction of the peak
	LayerDecay   float64   `yaml:"layer_decay,omitempty"`     // above 0, at most 1; 0 is off
}

var schedules = []string{"constant", "exponential", "step", "cosine"}

// check names the first value that makes no sense.
func (r Rate) check() error {
	switch {
	case !(r.Base >= leastSingle && r.Base <= mostSingle):
		return fmt.Errorf("rate.base is %v: want a number above 0 (%g to %g)", r.Base, leastSingle, mostSingle)
	case !slices.Contains([]string{"linear", "sqrt", "none"}, r.Scaling):
		return fmt.Errorf("rate.scaling is %q: want linear, sqrt or none", r.Scaling)
	case r.Scaling != "none" && r.BaseBatch < 1:
		return fmt.Errorf("rate.base_batch is %d: scaling %s needs the batch that rate.base is meant for", r.BaseBatch, r.Scaling)
	case !slices.Contains(schedules, r.Schedule):
		return fmt.Errorf("rate.schedule is %q: want one of %s", r.Schedule, strings.Join(schedules, ", "))
	case !(r.WarmupEpochs >= 0):
		return fmt.Errorf("rate.warmup_epochs is %v: want 0 or more", r.WarmupEpochs)
	case !(r.WarmupFrom >= 0 && r.WarmupFrom <= 1):
		return fmt.Errorf("rate.warmup_from is %v: want 0 to 1", r.WarmupFrom)
	case !(r.LayerDecay >= 0 && r.LayerDecay <= 1):
		return fmt.Errorf("rate.layer_decay is %v: want 0 (off) to 1", r.LayerDecay)
	case !(r.Floor >= 0 && r.Floor <= 1):
		return fmt.Errorf("rate.floor is %v: want 0 to 1", r.Floor)
	case (r.Schedule == "exponential" || r.Schedule == "step") && !(r.Factor > 0 && r.Factor <= 1):
		return fmt.Errorf("rate.factor is %v: schedule %s wants above 0, at most 1", r.Factor, r.Schedule)
	case r.Schedule == "exponential" && !(r.EveryEpochs > 0):
		return fmt.Errorf("rate.every_epochs is %v: schedule exponential wants a number above 0", r.EveryEpochs)
	case r.Schedule == "step" && (len(r.Milestones) == 0 || !(r.Milestones[0] > 0) || !slices.IsSorted(r.Milestones)):
		return fmt.Errorf("rate.milestones are %v: schedule step wants epochs above 0 in ascending order", r.Milestones)
	}
	return nil
}

// Peak is the rate after warm-up for a batch of the given size.
func (r Rate) Peak(batch int) float64 {
	switch r.Scaling {
	case "linear":
		return r.Base * float64(batch) / float64(r.BaseBatch)
	case "sqrt":
		return r.Base * math.Sqrt(float64(batch)/float64(r.BaseBatch))
	}
	return r.Base
}

// At is the rate at epoch e (0 at the start, with fraction) of a run of so many
// epochs in batches of so many images.
func (r Rate) At(e float64, epochs, batch int) float64 {
	peak := r.Peak(batch)
	if e < r.WarmupEpochs {
		return peak * (r.WarmupFrom + (1-r.WarmupFrom)*e/r.WarmupEpochs)
	}
	switch r.Schedule {
	case "exponential":
		n := e / r.EveryEpochs
		if r.Staircase {
			n = math.Floor(n + 1e-9)
		}
		return peak * math.Pow(r.Factor, n)
	case "step":
		n := 0
		for _, m := range r.Milestones {
			if e+1e-9 >= m {
				n++
			}
		}
		return peak * math.Pow(r.Factor, float64(n))
	case "cosine":
		span := float64(epochs) - r.WarmupEpochs
		if span <= 0 {
			return peak
		}
		at := min((e-r.WarmupEpochs)/span, 1)
		return peak * (r.Floor + (1-r.Floor)*(1+math.Cos(math.Pi*at))/2)
	}
	return peak
}

// At is the averaging decay at optimiser step t, counted from 0.
func (e EMA) At(t int64) float64 {
	if e.Warmup {
		return min(e.Decay, float64(1+t)/float64(10+t))
	}
	return e.Decay
}

// Unreached lists the values of a recipe that take effect after its last epoch only, by key,
// with what is wrong.
func (r *Recipe) Unreached() (out [][2]string) {
	add := func(key, format string, args ...any) {
		out = append(out, [2]string{key, key + " " + fmt.Sprintf(format, args...)})
	}
	if r.Rate.WarmupEpochs >= float64(r.Epochs) {
		add("rate.warmup_epochs", "is %v: want fewer than the run's epochs (%d), or its learning rate is never reached", r.Rate.WarmupEpochs, r.Epochs)
	}
	if n := len(r.Rate.Milestones); r.Rate.Schedule == "step" && r.Rate.Milestones[n-1] >= float64(r.Epochs) {
		add("rate.milestones", "has %v, which has no effect: the run has %d epochs", r.Rate.Milestones[n-1], r.Epochs)
	}
	if r.Network.UnfreezeAt >= r.Epochs {
		add("network.unfreeze_at", "is %d, which has no effect: the run's epochs are 0 to %d", r.Network.UnfreezeAt, r.Epochs-1)
	}
	if n := len(r.Augment.Sizes); n > 0 && r.Augment.Sizes[n-1].Epoch >= r.Epochs {
		add("augment.sizes", "has epoch %d, which has no effect: the run's epochs are 0 to %d", r.Augment.Sizes[n-1].Epoch, r.Epochs-1)
	}
	return out
}
