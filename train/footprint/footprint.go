// Package footprint accounts for the memory that a training step takes on its
// device, by doing with counters what the engine does with tensors: the forward
// pass and what each operation keeps of it for the backward pass, the backward pass
// and the gradients under way in it, and the optimiser's state beside them.
package footprint

import (
	"fmt"
	"slices"

	"github.com/synshard/synshard/model"
)

// Options say how a network is trained, as train.EngineConfig does.
type Options struct {
	Precision  string // fp32, tf32, bf16 or fp16
	Optimizer  string // rmsprop, sgd or adamw
	EMA        bool   // averages of the weights are kept
	Accumulate bool   // a step has several microbatches, whose gradients lie there from the first on
	Recompute  bool   // activations are computed again in the backward pass
	Unfused    bool   // batch norm and ReLU are two operations
	Widened    bool   // of bf16 or fp16: convolutions are computed in float32, as where the processor has no arithmetic for it
	// GPU counts as on a card, with what the runtime and its libraries hold; else as on
	// the CPU.
	GPU bool
}

// Account is what a step takes at its peak, in bytes. Total is the sum of all but
// Nodes, which part Activations.
type Account struct {
	Batch       int    `json:"batch"`             // images at a time
	Precision   string `json:"precision"`         // of the network: fp32, tf32, bf16 or fp16
	Parameters  int64  `json:"parameters_bytes"`  // float32: weights, running statistics, and the latter as they were before the step
	Averages    int64  `json:"averages_bytes"`    // of weights and statistics
	Optimizer   int64  `json:"optimizer_bytes"`   // its slots
	Gradients   int64  `json:"gradients_bytes"`   // of weights, float32, those that are there at the peak
	Weights     int64  `json:"weights_bytes"`     // copies in the network's precision
	Input       int64  `json:"input_bytes"`       // images: bytes, and normalised
	Activations int64  `json:"activations_bytes"` // kept for the backward pass, those that are left at the peak
	Passing     int64  `json:"passing_bytes"`     // outputs and gradients under way at the peak
	Workspace   int64  `json:"workspace_bytes"`   // of cuDNN and cuBLAS, estimated; 0 on the CPU
	Reserve     int64  `json:"reserve_bytes"`     // of the runtime, and what lies between tensors, estimated; 0 on the CPU
	Total       int64  `json:"total_bytes"`
	// Nodes are the outputs that the forward pass keeps, with all that is kept beside
	// them, in the network's order. Where the peak comes later some are gone by then.
	Nodes []Node `json:"nodes"`
}

// Node is what is kept of one node's output.
type Node struct {
	Name  string `json:"name"`  // as model.Node has it
	Op    string `json:"op"`    // as model.Op prints it
	Bytes int64  `json:"bytes"` // with all that is kept beside the output
}

// What is estimated of a card: the runtime's own memory with the libraries'
// kernels, a share of all tensors that is lost between them, and cuBLAS' workspace.
// By them a card's memory is full: an H200 held to 10.5 GB took as many images as the
// account says. Where there is more, libtorch and cuDNN take more: see docs/TRAINING.md.
const (
	runtimeBytes = 512 << 20
	lostShare    = 0.05
	cublasBytes  = 32 << 20
)

// Of accounts for a step of so many images at a time.
func Of(net *model.Network, o Options, batch int) (Account, error) {
	s, err := newStep(net, o, batch)
	if err != nil {
		return Account{}, err
	}
	a := Account{Batch: batch, Precision: o.Precision}
	slots := map[string]int64{"rmsprop": 2, "sgd": 1, "adamw": 2}[o.Optimizer]
	if slots == 0 {
		return a, fmt.Errorf("memory of a step: optimizer %q: want rmsprop, sgd or adamw", o.Optimizer)
	}
	for _, p := range net.Params() {
		bytes := s.round(4 * int64(model.Elements(p.Shape)))
		a.Parameters += bytes
		if o.EMA {
			a.Averages += bytes
		}
		switch {
		case !p.Kind.Trained():
			a.Parameters += bytes
		case o.Accumulate:
			a.Gradients += bytes
			fallthrough
		default:
			a.Optimizer += slots * bytes
		}
	}
	if o.GPU {
		// In the place that steps read, and in the two by which they come there.
		a.Input = 3 * s.round(int64(batch*3*net.Input*net.Input))
		a.Workspace = cublasBytes + s.largest()
	}
	s.run()
	a.Gradients += s.most[gradients]
	a.Weights, a.Activations, a.Passing = s.low()+s.most[casts], s.most[kept], s.most[passing]
	a.Input += s.most[input]
	a.Nodes = s.nodes
	held := a.Parameters + a.Averages + a.Optimizer + a.Gradients + a.Weights + a.Input + a.Activations + a.Passing
	if o.GPU {
		a.Reserve = runtimeBytes + int64(lostShare*float64(held))
	}
	a.Total = held + a.Workspace + a.Reserve
	return a, nil
}

// Largest gives the account of the largest batch that fits a budget in bytes: a
// multiple of 8, as tensor cores want, where 8 fit. Batch is 0 where not even one
// image fits.
func Largest(net *model.Network, o Options, budget int64) (Account, error) {
	fits := Account{}
	try := func(batch int) (bool, error) {
		a, err := Of(net, o, batch)
		if err == nil && a.Total <= budget {
			fits = a
			return true, nil
		}
		return false, err
	}
	unit, most := 8, 1<<16
	if ok, err := try(8); err != nil {
		return fits, err
	} else if !ok {
		unit, most = 1, 7
	}
	low, high := fits.Batch/unit, most/unit+1 // low fits, high does not
	for high-low > 1 {
		middle := (low + high) / 2
		if low > 0 {
			middle = min(middle, 2*low)
		}
		ok, err := try(middle * unit)
		if err != nil {
			return fits, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return fits, nil
}

// largest is the most that an output of a convolution takes: what its algorithms are
// taken to want beside.
func (s *step) largest() int64 {
	most := int64(0)
	for i, n := range s.table {
		if n.Op == model.Conv {
			most = max(most, s.output(i))
		}
	}
	return most
}

// nodesOf sums up, by node, what the forward pass kept.
func (s *step) nodesOf(all [][]*tensor) (nodes []Node) {
	bytes, seen := make([]int64, len(s.table)), []*tensor{}
	for _, list := range all {
		for _, t := range list {
			for t.base != nil { // what it is a part of
				t = t.base
			}
			if t.kind == kept && !slices.Contains(seen, t) {
				seen = append(seen, t)
				bytes[t.node] += t.bytes
			}
		}
	}
	for i, b := range bytes {
		if b > 0 {
			nodes = append(nodes, Node{s.table[i].Name, s.table[i].Op.String(), b})
		}
	}
	return nodes
}
