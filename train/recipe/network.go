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
	net.Input = r.Eval.Size
	if _, err := net.Shapes(); err != nil {
		return nil, spec, fmt.Errorf("images of %d pixels: %w", r.Eval.Size, err)
	}
	return net, spec, nil
}
