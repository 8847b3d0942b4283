package weights

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
)

// ErrOther is weights that are more than a network has: what is over is parameters too,
// and the network would compute something else with those that it has.
var ErrOther = errors.New("they are of another network")

// Whole refuses, by ErrOther and with some of their names, tensors that are parameters
// of no part of a network. The tensors have its names, and the network has its auxiliary
// heads, which weights may have or not. What lies beside parameters passes: counters, an
// exporter's constants, and second copies of all that is trained, as averages and
// optimisers keep them.
func Whole(n *model.Network, tensors []model.Tensor) error {
	over := leftOver(n, tensors)
	if len(over) == 0 {
		return nil
	}
	names := strings.Join(over[:min(len(over), 3)], ", ")
	if more := len(over) - 3; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("the weights have tensors that %s has no place for, %.300s: %w", n.Name, names, ErrOther)
}

// leftOver lists the tensors that are parameters, but none of the network's.
func leftOver(n *model.Network, tensors []model.Tensor) []string {
	own := map[string]bool{}
	for _, p := range n.Params() {
		own[p.Name] = true
	}
	copies := copiesIn(n.WithoutAux(), tensors)
	ofCopy := func(name string) bool {
		return slices.ContainsFunc(copies, func(prefix string) bool {
			rest, ok := strings.CutPrefix(name, prefix)
			return ok && own[rest]
		})
	}
	var out []string
	for _, t := range tensors {
		if !own[t.Name] && !beside(t) && !ofCopy(t.Name) {
			out = append(out, t.Name)
		}
	}
	return out
}

// copiesIn lists the prefixes under which tensors have all that is trained once more.
func copiesIn(n *model.Network, tensors []model.Tensor) []string {
	have := model.ByName(tensors)
	params := slices.DeleteFunc(n.Params(), func(p model.Param) bool { return !p.Kind.Trained() })
	var out []string
	for _, t := range tensors {
		prefix, ok := strings.CutSuffix(t.Name, params[0].Name)
		lacks := func(p model.Param) bool { _, has := have[prefix+p.Name]; return !has }
		if ok && prefix != "" && !slices.ContainsFunc(params, lacks) {
			out = append(out, prefix)
		}
	}
	return out
}

// counters are the names of buffers that count: batch norm's, averages', and a profiler's.
var counters = regexp.MustCompile(`(^|\.)(num_batches_tracked|n_averaged|total_ops|total_params)$`)

// beside says whether a tensor is no parameter of any network: integers, a counter, what
// makes pixels ready, or a number without a module's name, as exporters call constants.
func beside(t model.Tensor) bool {
	floats := strings.HasPrefix(t.DType, "F") || t.DType == "BF16"
	constant := len(t.Shape) == 0 && (strings.HasPrefix(t.Name, "/") || !strings.Contains(t.Name, "."))
	return !floats || constant || t.Name == model.PixelScale || t.Name == model.PixelShift || counters.MatchString(t.Name)
}
