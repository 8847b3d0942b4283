package main

import (
	"github.com/spf13/cobra"
)

var _ = register(newBenchCmd)

// benches holds the constructor of every bench. A bench's file adds its own
// with
//
//	var _ = registerBench(newBenchXCmd)
var benches []func(*app) *cobra.Command

func registerBench(f func(*app) *cobra.Command) struct{} {
	benches = append(benches, f)
	return struct{}{}
}

func newBenchCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure what this machine does",
		Long:    "Measures a stage on this machine and says which resource is scarce.",
		Example: "  synshard bench loader imagenet",
	}
	for _, b := range benches {
		cmd.AddCommand(b(a))
	}
	return cmd
}
