package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/trial"
	"github.com/synshard/synshard/internal/processors"
)

// NetworkOptions say in which ways a network is run.
type NetworkOptions struct {
	Batches []int         // images a run; a network that takes one number only has that
	Runs    []int         // at a time; nil: 1, and what the network is best run with
	Most    time.Duration // for a setting
	OnTried func()        // after each setting; may be nil
}

// Settings are the ways that are tried of a network.
func (o *NetworkOptions) Settings(n *infer.Network) []infer.Setting {
	batches, runs := o.Batches, o.Runs
	if n.Only > 0 {
		batches = []int{n.Only}
	}
	if runs == nil {
		if runs = []int{1}; n.Runs > 1 {
			runs = append(runs, n.Runs)
		}
	}
	var all []infer.Setting
	for _, r := range runs {
		for _, b := range batches {
			all = append(all, infer.Setting{Batch: b, Runs: r})
		}
	}
	return all
}

// NetworkReport is how fast a network is in each way that was tried.
type NetworkReport struct {
	Model    string              `json:"model"`           // the file
	Backend  string              `json:"backend"`         // what runs it, with its version
	How      string              `json:"how,omitempty"`   // how runs are computed, where what runs them says it
	CPUs     int                 `json:"cpus"`            // that this process may use
	Settings []infer.Measurement `json:"settings"`        // in the order in which they were tried
	Best     infer.Measurement   `json:"best"`            // the one of most images a second
	Trial    *trial.Result       `json:"trial,omitempty"` // of all engines, as infer makes it: the caller's to fill in
}

// MeasureNetwork runs a network over ready images in each of the ways. Model is the
// caller's to fill in.
func MeasureNetwork(ctx context.Context, n *infer.Network, o NetworkOptions) (NetworkReport, error) {
	r := NetworkReport{Backend: n.Backend, CPUs: processors.Count()}
	for _, s := range o.Settings(n) {
		m, err := infer.Measure(ctx, n, s, infer.MeasureOptions{Most: o.Most})
		if err != nil {
			return r, fmt.Errorf("batch %d, %d at a time: %w", s.Batch, s.Runs, err)
		}
		r.Settings = append(r.Settings, m)
		if m.PerSecond > r.Best.PerSecond {
			r.Best = m
		}
		if o.OnTried != nil {
			o.OnTried()
		}
	}
	if n.How != nil {
		r.How = n.How()
	}
	return r, nil
}
