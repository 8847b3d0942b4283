package recipe

import (
	"fmt"

	"github.com/synshard/synshard/model"
)

// Build makes the network the recipe asks for over the classes, and the Spec that will
// travel with its weights.
func (r *Recipe) Build(classes []string) (*model.Network, model.Spec, error) {
	spec := model.Spec{
		Model: r.Model, InputSize: r.Eval.Size, Resize: r.Eval.Resize, Square: r.Eval.Square,
		Interpolation: r.Eval.Interpolation, Mean: r.Mean, Std: r.Std, Classes: classes,
	}
	if r.Network.Width != 1 {
		spec.Width = r.Network.Width
	}
	net, err := model.New(r.Model, model.Options{
		Classes: len(classes), Aux: r.Loss.AuxWeight > 0, Dropout: r.Network.Dropout, Width: r.Network.Width,
	})
	if err != nil {
		return nil, spec, err
	}
	for i := range net.Aux {
		net.Aux[i].Weight = r.Loss.AuxWeight
	}
	for _, s := range append(r.Augment.Sizes[:len(r.Augment.Sizes):len(r.Augment.Sizes)], Stage{Size: r.Eval.Size}) {
		net.Input = s.Size // at last the network's own
		if _, err := net.Shapes(); err != nil {
			return nil, spec, fmt.Errorf("images of %d pixels: %w%s", s.Size, err, r.withoutAux(classes, s.Size))
		}
	}
	return net, spec, nil
}

// withoutAux says, where it is the auxiliary heads that images of a size do not fit, how to
// be without them.
func (r *Recipe) withoutAux(classes []string, size int) string {
	if r.Loss.AuxWeight == 0 {
		return ""
	}
	net, err := model.New(r.Model, model.Options{Classes: len(classes), Width: r.Network.Width})
	if err == nil {
		net.Input = size
		_, err = net.Shapes()
	}
	if err != nil {
		return ""
	}
	return "; it fits without the auxiliary head (loss.aux_weight 0)"
}
