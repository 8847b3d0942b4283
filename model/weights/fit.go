package weights

import (
	"math"

	"github.com/synshard/synshard/model"
)

// Fit gives the network that a spec is of, with its auxiliary heads if the
// tensors have them, and the tensors as float32 by the network's names, in its
// order. Names and shapes of published weights are understood, and batch norm
// that was folded. A tensor that is missing, or has another shape, is an error;
// parameters that the network has no place for are ErrOther, its auxiliary heads' aside.
func Fit(spec model.Spec, tensors []model.Tensor) (*model.Network, []model.Tensor, error) {
	net, values, err := fit(spec, tensors, true)
	if err != nil {
		net, values, err = fit(spec, tensors, false)
	}
	if err != nil {
		return nil, nil, err
	}
	var out []model.Tensor
	for _, p := range net.Params() {
		out = append(out, model.NewTensor(p.Name, p.Shape, values[p.Name]))
	}
	return net, out, nil
}

func fit(spec model.Spec, tensors []model.Tensor, aux bool) (*model.Network, map[string][]float32, error) {
	net, err := spec.Network(aux)
	if err != nil {
		return nil, nil, err
	}
	full, err := spec.Network(true)
	if err != nil {
		return nil, nil, err
	}
	named := unfold(net, Rename(net, tensors))
	values, err := net.Match(named)
	if err == nil {
		err = Whole(full, named)
	}
	return net, values, err
}

// WithWidth gives the spec the width of the network that the tensors are of,
// where it names none and they are not of width 1: older runs recorded none.
// Tensors that fit no width leave the spec as it is.
func WithWidth(spec model.Spec, tensors []model.Tensor) model.Spec {
	if spec.Width != 0 {
		return spec
	}
	net, err := spec.Network(false)
	if err != nil {
		return spec
	}
	if _, ok := fits(net, tensors); ok {
		return spec
	}
	for _, w := range widths(net, tensors) {
		s := spec
		s.Width = w
		if net, err := s.Network(false); err == nil {
			if _, ok := fits(net, tensors); ok {
				return s
			}
		}
	}
	return spec
}

// widths lists those that could have made the tensors' channel counts of a
// network's: c channels at width w are round(c w). Each layer but the last leaves an
// interval for w; the simplest fraction that lies in all of them comes first.
func widths(net *model.Network, tensors []model.Tensor) []float64 {
	have := model.ByName(Rename(net, tensors))
	lo, hi := 0.0, math.Inf(1)
	var ratios []float64
	for _, p := range net.Params() {
		t, ok := have[p.Name]
		if !ok || p.Kind != model.Weight || p.Node == net.Logits || len(t.Shape) == 0 || t.Shape[0] < 1 {
			continue
		}
		c, got := float64(p.Shape[0]), float64(t.Shape[0])
		if got > 1 { // one channel is the least, whatever the width
			lo = max(lo, (got-0.5)/c)
		}
		hi = min(hi, (got+0.5)/c)
		ratios = append(ratios, got/c)
	}
	var out []float64
	for d := 1.0; d < 10_000 && len(out) == 0 && !math.IsInf(hi, 1); d++ {
		if w := math.Ceil(lo*d) / d; w > 0 && w < hi {
			out = append(out, w)
		}
	}
	return append(out, ratios[:min(len(ratios), 64)]...)
}
