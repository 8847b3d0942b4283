package checkpoint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
)

// Prefixes of the engine's state beside the network's own names.
const (
	EMAPrefix       = weights.EMAPrefix
	OptimizerPrefix = weights.OptimizerPrefix
)

// Weights picks the network's own tensors out of a state, as weights.OfState does.
func Weights(state []model.Tensor, averaged bool) []model.Tensor {
	return weights.OfState(state, averaged)
}

// Adapted is what became of given weights when they were fitted to a network.
type Adapted struct {
	Tensors []model.Tensor // float32, by the network's names
	Fresh   []string       // not among Tensors: they start anew
	Unused  []string       // of parts this network does not have, ascending
}

// Adapt fits given weights to a network. Every part but the classifying heads,
// and what only auxiliary heads need, must be there in its shape, or it is an
// error; a head of another width, or a part that may be and is missing, is left
// to be initialised and listed. Averages and optimiser state of one of our own
// checkpoints are left out (averages that are there take the raw weights' place).
//
// otherClasses says that the weights are known to name other classes than the
// network: then the heads start anew even if their shapes agree.
func Adapt(net *model.Network, given []model.Tensor, otherClasses bool) (Adapted, error) {
	var a Adapted
	byName := map[string]model.Tensor{}
	for _, t := range Weights(given, true) {
		byName[t.Name] = t
	}
	head := map[int]bool{net.Logits: true}
	for _, h := range net.Aux {
		head[h.Node] = true
	}
	auxOnly := auxiliaryNodes(net)
	for _, p := range net.Params() {
		t, ok := byName[p.Name]
		delete(byName, p.Name)
		switch {
		case head[p.Node] && otherClasses:
			a.Fresh = append(a.Fresh, p.Name)
		case ok && slices.Equal(t.Shape, p.Shape):
			values, err := t.Floats()
			if err != nil {
				return a, fmt.Errorf("weights: %w", err)
			}
			a.Tensors = append(a.Tensors, model.NewTensor(p.Name, p.Shape, values))
		case head[p.Node], !ok && auxOnly[p.Node]:
			a.Fresh = append(a.Fresh, p.Name)
		case !ok:
			return a, fmt.Errorf("weights: %s of %s is missing", p.Name, net.Name)
		default:
			return a, fmt.Errorf("weights: %s has shape %v, %s wants %v", p.Name, t.Shape, net.Name, p.Shape)
		}
	}
	for name := range byName {
		if !strings.HasSuffix(name, ".num_batches_tracked") {
			a.Unused = append(a.Unused, name)
		}
	}
	slices.Sort(a.Unused)
	return a, nil
}

// auxiliaryNodes are those that only an auxiliary head needs.
func auxiliaryNodes(net *model.Network) map[int]bool {
	needed := map[int]bool{}
	var walk func(n int)
	walk = func(n int) {
		if !needed[n] {
			needed[n] = true
			for _, in := range net.Nodes[n].Inputs {
				walk(in)
			}
		}
	}
	walk(net.Logits)
	only := map[int]bool{}
	for n := range net.Nodes {
		if !needed[n] {
			only[n] = true
		}
	}
	return only
}
