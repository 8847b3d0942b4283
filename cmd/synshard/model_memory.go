package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/train/footprint"
)

// trainingMemory are the flags of model describe --gpu-memory.
type trainingMemory struct {
	wanted               bool
	budget               memorySize
	batch                batchSize
	ema                  float64
	recompute            bool
	precision, optimizer string
	changed              func(string) bool
}

// AddFlags adds them to the verb.
func (m *trainingMemory) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(&m.budget, "gpu-memory", "what a training step takes of a GPU's memory, instead of the layers; --gpu-memory=80GiB is of a GPU that has so much")
	f.Lookup("gpu-memory").NoOptDefVal = "11GB"
	m.batch.auto = true
	batchVar(cmd, &m.batch, "with --gpu-memory: images at a time; auto: as many as fit")
	choiceVar(cmd, &m.precision, "precision", "fp16", "with --gpu-memory: fp32, tf32, bf16 or fp16", precisions[1:]...)
	choiceVar(cmd, &m.optimizer, "optimizer", "rmsprop", "with --gpu-memory: rmsprop, sgd or adamw", "rmsprop", "sgd", "adamw")
	f.Float64Var(&m.ema, "ema", 0.9999, "with --gpu-memory: decay of the averages of weights; 0 keeps none")
	f.BoolVar(&m.recompute, "recompute", false, "with --gpu-memory: activations are computed again in the backward pass")
	m.changed = f.Changed
}

func (m *trainingMemory) check() error {
	m.wanted = m.changed("gpu-memory")
	for _, flag := range []string{"batch", "precision", "optimizer", "ema", "recompute"} {
		if !m.wanted && m.changed(flag) {
			return usagef("--%s is for --gpu-memory", flag)
		}
	}
	if !(m.ema >= 0 && m.ema < 1) {
		return usagef("--ema %v: want 0 or more, and below 1", m.ema)
	}
	return nil
}

func (a *app) describeMemory(n *model.Network, m trainingMemory) error {
	o := footprint.Options{Precision: m.precision, Optimizer: m.optimizer, EMA: m.ema > 0, Recompute: m.recompute, GPU: true}
	var account footprint.Account
	var err error
	if m.batch.auto {
		account, err = footprint.Largest(n, o, int64(m.budget))
	} else {
		account, err = footprint.Of(n, o, m.batch.n)
	}
	if err != nil {
		return err
	}
	if account.Batch == 0 {
		return fmt.Errorf("%s in %s: not one image fits %d bytes", n.Name, m.precision, int64(m.budget))
	}
	result := struct {
		Name   string `json:"name"`
		Budget int64  `json:"budget_bytes"`
		Fits   bool   `json:"fits"`
		footprint.Account
	}{n.Name, int64(m.budget), account.Total <= int64(m.budget), account}
	return a.Result(result, func(out io.Writer) { printMemory(out, n.Name, result.Budget, account) })
}

func printMemory(out io.Writer, name string, budget int64, m footprint.Account) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "kept output\toperation\tMB")
	for _, node := range m.Nodes {
		fmt.Fprintf(w, "%s\t%s\t%.1f\n", node.Name, node.Op, float64(node.Bytes)/1e6)
	}
	fmt.Fprintln(w, "\nat the peak of a step\t\tMB")
	for _, part := range []struct {
		what  string
		bytes int64
	}{
		{"parameters and running statistics", m.Parameters}, {"their averages", m.Averages}, {"optimiser", m.Optimizer},
		{"gradients of weights", m.Gradients}, {"weights in " + m.Precision, m.Weights}, {"images", m.Input},
		{"activations kept", m.Activations}, {"outputs and gradients under way", m.Passing},
		{"libraries' workspace, estimated", m.Workspace}, {"runtime and lost between tensors, estimated", m.Reserve}, {"all", m.Total},
	} {
		fmt.Fprintf(w, "%s\t\t%.1f\n", part.what, float64(part.bytes)/1e6)
	}
	w.Flush() // out keeps the first error
	fits := "fit"
	if m.Total > budget {
		fits = "do not fit"
	}
	fmt.Fprintf(out, "\n%s in %s: %d images at a time take %.1f GB and %s %.1f GB\n", name, m.Precision, m.Batch, float64(m.Total)/1e9, fits, float64(budget)/1e9)
}
