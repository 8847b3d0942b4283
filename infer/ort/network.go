package ort

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/classifier"
	"github.com/synshard/synshard/internal/processors"
)

// NetworkOptions say which model is run, and where. Of Options, Contract and Spec are
// needed, and Threads is the CPUs that all runs together take, 0 for all this
// process may use; Most is set by OpenNetwork, and Batch 0 is the default.
type NetworkOptions struct {
	Options
	PerRun int              // threads of one run, on the CPU; 0: 1
	Given  classifier.Given // what made Spec; whether the classes are the model's own
	// Whole has a batch be one run, whatever its memory.
	Whole bool
	// CacheDir is where TensorRT keeps the engines of all models.
	CacheDir string
}

// mostOnCPU is how many images a run of one thread takes at once: more are no
// faster (bench infer shows it), and a run keeps some 20 MiB for each.
const mostOnCPU = 8

// manyThreads ends the backend of runs with more threads than one, in which sums may be
// taken in another order.
const manyThreads = " with %d threads a run"

// PerRun is the PerRun that a network of this backend was opened with.
func PerRun(backend string) int {
	threads := 0
	if _, err := fmt.Sscanf(backend, "cpu"+manyThreads, &threads); err != nil {
		return 1
	}
	return threads
}

// OpenNetwork opens a model. On the CPU every run has one thread, or PerRun, and as many run
// at a time as there are CPUs for; on a GPU two batches are in flight, each of a size that is made ready for. Errors are Open's.
func OpenNetwork(o NetworkOptions) (*infer.Network, error) {
	if err := CheckProvider(o.Provider, o.ProviderOptions); err != nil {
		return nil, err
	}
	c := o.Contract
	n := &infer.Network{
		Spec: o.Spec, OwnClasses: c.Spec != nil && o.Given.Classes == nil && o.Given.Spec == nil,
		Runs: o.Threads, Batch: 8, Sum: c.Identity.Sum, Backend: o.Provider,
	}
	for _, k := range slices.Sorted(maps.Keys(o.ProviderOptions)) {
		n.Backend += fmt.Sprintf(" %s=%s", k, o.ProviderOptions[k])
	}
	if n.Runs == 0 {
		n.Runs = processors.Count()
	}
	onCPU := o.Provider == "cpu"
	if onCPU {
		n.Threads = max(o.PerRun, 1) // where there are fewer CPUs, too: results are of so many
		n.Runs = max(n.Runs/n.Threads, 1)
		if n.Threads > 1 {
			n.Backend += fmt.Sprintf(manyThreads, n.Threads)
		}
	} else {
		n.Runs, n.Batch, n.Fixed = 2, 64, true
	}
	if o.Batch > 0 {
		n.Batch = o.Batch
	}
	if c.Batch > 0 {
		n.Batch, n.Only, n.Fixed = c.Batch, c.Batch, true
	}
	o.Threads, o.Batch = n.Threads, n.Batch
	if onCPU && !o.Whole {
		o.Most = mostOnCPU
	}
	if o.Provider == "tensorrt" {
		var err error
		if o.Cache, err = engineCache(o.CacheDir, n.Sum); err != nil {
			return nil, err
		}
	}
	s, err := Open(o.Options)
	if err != nil {
		return nil, err
	}
	n.Predictor, n.Width, n.Close = s, s.EmbeddingWidth(), s.Close
	return n, nil
}

// engineCache makes the directory in which TensorRT keeps the engines of a
// model; TensorRT itself tells GPUs and versions apart.
func engineCache(below, sum string) (string, error) {
	dir := filepath.Join(below, sum[:16])
	return dir, os.MkdirAll(dir, 0o777)
}
