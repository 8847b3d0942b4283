package weights

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/synshard/synshard/model"
)

// PublishedSpec is how images are made ready for torchvision's published
// ImageNet weights of a network, classes left out. Inception-v3's and
// GoogLeNet's expect pixels in [-1,1]: torchvision normalises as for the
// others and undoes it in the network (transform_input). timm's copies take
// the same values.
// Source: the weights' documented transforms in torchvision.models.
func PublishedSpec(name string) (model.Spec, error) {
	n, err := model.New(name, model.Options{})
	if err != nil {
		return model.Spec{}, err
	}
	s := model.Spec{Model: name, InputSize: n.Input, Resize: 256, Interpolation: "bilinear",
		Mean: [3]float64{0.485, 0.456, 0.406}, Std: [3]float64{0.229, 0.224, 0.225}}
	if name == "inception_v3" {
		s.Resize = 342
	}
	if name == "inception_v3" || name == "googlenet" {
		s.Mean, s.Std = [3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5}
	}
	return s, nil
}

// ErrUnknown is tensors that are of none of the networks, or of several.
var ErrUnknown = errors.New("it is not known which network these weights are of")

// ErrNetwork is an asked-for network that is unknown, or another than a file says.
var ErrNetwork = errors.New("not the network of these weights")

// SpecOf is how a file's tensors are used: as the file records (a Spec in JSON, or
// ""), else as torchvision's published weights of the network that is asked for or,
// where that is "", of the one that GuessNetwork names. A network that is unknown,
// or not the recorded one, is ErrNetwork.
func SpecOf(tensors []model.Tensor, recorded, network string) (model.Spec, error) {
	if recorded == "" {
		return publishedAs(tensors, network)
	}
	spec, err := model.ParseSpec(recorded)
	if err != nil {
		return spec, err
	}
	if spec = WithWidth(spec, tensors); network != "" && network != spec.Model {
		return spec, fmt.Errorf("%w: the file says %s, not %s", ErrNetwork, spec.Model, network)
	}
	return spec, nil
}

func publishedAs(tensors []model.Tensor, network string) (model.Spec, error) {
	if network == "" {
		var err error
		if network, _, err = GuessNetwork(tensors); err != nil {
			return model.Spec{}, err
		}
	}
	spec, err := PublishedSpec(network)
	if err != nil {
		return spec, fmt.Errorf("%w: %w", ErrNetwork, err)
	}
	return spec, nil
}

// GuessNetwork names the one network whose every parameter outside the
// auxiliary heads is among the tensors in its shape, the classifying layers'
// width aside, and the number of classes they have. None, or several, is
// ErrUnknown; parameters beside those of the only one are ErrOther, as Whole has it.
func GuessNetwork(tensors []model.Tensor) (name string, classes int, err error) {
	var other error
	for _, candidate := range model.Names() {
		n, err := model.New(candidate, model.Options{Aux: true})
		if err != nil {
			return "", 0, err
		}
		width, ok := fits(n, tensors)
		if !ok {
			continue
		}
		if err := Whole(n, unfold(n, Rename(n, tensors))); err != nil {
			other = cmp.Or(other, err)
			continue
		}
		if name != "" {
			return "", 0, fmt.Errorf("%w: they fit %s and %s", ErrUnknown, name, candidate)
		}
		name, classes = candidate, width
	}
	switch {
	case name != "":
		return name, classes, nil
	case other != nil:
		return "", 0, other
	}
	return "", 0, fmt.Errorf("%w: they fit none", ErrUnknown)
}

// fits looks for the main head's parameters by name and shape.
func fits(n *model.Network, tensors []model.Tensor) (classes int, ok bool) {
	main := n.WithoutAux()
	have := model.ByName(unfold(main, Rename(main, tensors)))
	for _, p := range main.Params() {
		t, ok := have[p.Name]
		if !ok || len(t.Shape) != len(p.Shape) {
			return 0, false
		}
		for d := range p.Shape {
			if p.Node == main.Logits && d == 0 {
				classes = t.Shape[0]
			} else if t.Shape[d] != p.Shape[d] {
				return 0, false
			}
		}
	}
	return classes, true
}
