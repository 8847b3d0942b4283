package train

import (
	"fmt"
	"math"
	"regexp"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/recipe"
)

// ratesOf gives what each parameter's learning rate is multiplied by, where that is not 1
// for all (EngineConfig.Rates), in an epoch of a recipe.
//
// What Network.Freeze names has 0: a module's path, or "backbone", all up to its end but the
// heads (model.Network.Upto); anything else, as a regular expression, the tensors in whose
// names it is found. A norm's running statistics go with what it is part of.
//
// Rate.LayerDecay d gives the layer i of n (model.Network.Depths) d^(n-1-i), timm's rule
// (param_groups_layer_decay), after Bao et al., arXiv:2106.08254: the heads 1.
func ratesOf(n *model.Network, r recipe.Recipe, epoch int) (map[string]float64, error) {
	decay, params := r.Rate.LayerDecay, n.Params()
	freezes := r.Network.Freezes(epoch)
	if !freezes && decay == 0 {
		return nil, nil
	}
	rates := make(map[string]float64, len(params))
	depths, count := n.Depths()
	for i, p := range params {
		rates[p.Name] = 1
		if decay > 0 && p.Kind.Trained() {
			rates[p.Name] = math.Pow(decay, float64(count-1-depths[i]))
		}
	}
	if !freezes {
		return rates, nil
	}
	frozen, err := frozenOf(n, r.Network.Freeze)
	if err != nil {
		return nil, err
	}
	left := 0
	for i, p := range params {
		if frozen[i] {
			rates[p.Name] = 0
		} else if p.Kind.Trained() {
			left++
		}
	}
	if left == 0 {
		return nil, fmt.Errorf("network.freeze %q leaves nothing to train", r.Network.Freeze)
	}
	return rates, nil
}

// rates is ratesOf; check has seen to it that there is no error.
func (o *Options) rates(epoch int) map[string]float64 {
	rates, _ := ratesOf(o.Network, o.Recipe, epoch)
	return rates
}

// frozenOf says which of a network's parameters Network.Freeze names.
func frozenOf(n *model.Network, freeze string) ([]bool, error) {
	if frozen, ok := n.Upto(freeze); ok {
		return frozen, nil
	}
	re, err := regexp.Compile(freeze)
	if err != nil {
		return nil, fmt.Errorf("network.freeze: %w", err)
	}
	params := n.Params()
	frozen, any := make([]bool, len(params)), false
	for i, p := range params {
		frozen[i] = re.MatchString(p.Name)
		any = any || frozen[i]
	}
	if !any {
		return nil, fmt.Errorf("network.freeze %q is no module of %s, and found in the name of none of its tensors (%s, ...)", freeze, n.Name, params[0].Name)
	}
	return frozen, norms(params, frozen)
}

// norms has the running statistics of a batch norm stay exactly where its weight and bias
// do, so that it is either trained or as in an evaluation. An expression that says otherwise
// is an error.
func norms(params []model.Param, frozen []bool) error {
	of := map[int]bool{}
	for i, p := range params {
		switch p.Kind {
		case model.BNWeight:
			of[p.Node] = frozen[i]
		case model.BNBias:
			if of[p.Node] != frozen[i] {
				return fmt.Errorf("network.freeze names one of weight and bias of the batch norm of %s: name both or neither", p.Name)
			}
		case model.RunningMean, model.RunningVar:
			frozen[i] = of[p.Node]
		}
	}
	return nil
}
