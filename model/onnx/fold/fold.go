// Package fold rewrites ONNX graphs into ones that compute the same: what exporters leave
// between two convolutions is taken up into them, and what has no fast form of 8 bits
// becomes one.
package fold

import (
	"fmt"
	"slices"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model/onnx"
)

// Pass is one rewriting. It changes a graph in place, and leaves alone what it does not
// know: an operator, an attribute or a type of another kind is no error. Errors are of
// constants that are malformed.
type Pass struct {
	Name string                  // in errors
	Run  func(*onnx.Graph) error // over a whole graph
}

// Passes are all there are, in the order in which one makes the next one's pattern.
var Passes = []Pass{
	{"identities", identities},
	{"constants", constants},
	{"scales", scales},
	{"bounds", bounds},
	{"pads", pads},
}

// Graph runs all Passes over a graph.
func Graph(g *onnx.Graph) error {
	for _, p := range Passes {
		if err := p.Run(g); err != nil {
			return fmt.Errorf("fold %s: %w", p.Name, err)
		}
	}
	return nil
}

// standard says whether a node is of the operators that every model may use.
func standard(n *onnxpb.Node) bool { return n.GetDomain() == "" || n.GetDomain() == "ai.onnx" }

// makers gives the node that makes each tensor.
func makers(g *onnx.Graph) map[string]*onnxpb.Node {
	made := map[string]*onnxpb.Node{}
	for _, n := range g.Nodes {
		for _, s := range n.Outputs {
			made[s] = n
		}
	}
	return made
}

// between says whether a tensor is seen by one node and by nobody else.
func between(g *onnx.Graph, users map[string][]*onnxpb.Node, name string) bool {
	return len(users[name]) == 1 && !g.IsOutput(name)
}

// drop takes nodes out of a graph.
func drop(g *onnx.Graph, gone map[*onnxpb.Node]bool) {
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnxpb.Node) bool { return gone[n] })
}

// identities has what an Identity, or a Dropout that does not train, gives be read where
// it takes it: exporters put them before weights that several operators share. One whose
// result is the model's stays.
func identities(g *onnx.Graph) error {
	source := map[string]string{}
	gone := map[*onnxpb.Node]bool{}
	for _, n := range g.Nodes {
		for i, s := range n.Inputs {
			if from, ok := source[s]; ok {
				n.Inputs[i] = from
			}
		}
		same := n.GetOp() == "Identity" || n.GetOp() == "Dropout" && len(n.Inputs) < 3
		if same && standard(n) && len(n.Inputs) > 0 && len(n.Outputs) == 1 && !g.IsOutput(n.Outputs[0]) {
			source[n.Outputs[0]], gone[n] = n.Inputs[0], true
		}
	}
	drop(g, gone)
	return nil
}
