package weights

import (
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
)

// Prefixes of a training run's state beside the network's own names.
const (
	EMAPrefix       = "ema/"
	OptimizerPrefix = "opt/"
)

// OfState picks the network's own tensors, under their own names, out of a state:
// the averaged ones where averaged is set and there are such, else the raw ones.
func OfState(state []model.Tensor, averaged bool) []model.Tensor {
	ema := map[string]model.Tensor{}
	for _, t := range state {
		if name, ok := strings.CutPrefix(t.Name, EMAPrefix); ok {
			t.Name = name
			ema[name] = t
		}
	}
	var out []model.Tensor
	for _, t := range state {
		if strings.HasPrefix(t.Name, EMAPrefix) || strings.HasPrefix(t.Name, OptimizerPrefix) {
			continue
		}
		if e, ok := ema[t.Name]; ok && averaged {
			t = e
		}
		out = append(out, t)
	}
	return out
}

// settleOwn chooses among the weights of one of our own files, of which a checkpoint holds a
// whole state.
func (f *File) settleOwn(o Options) error {
	has := slices.ContainsFunc(f.Tensors, func(t model.Tensor) bool { return strings.HasPrefix(t.Name, EMAPrefix) })
	switch {
	case o.EMA && !has:
		return errNoAverages()
	case has && o.Plain:
		f.Taken.Other = EMAPrefix
	case has:
		f.Taken.EMA, f.Taken.Plain = true, true
	}
	f.Tensors = OfState(f.Tensors, !o.Plain)
	return nil
}
