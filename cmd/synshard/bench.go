package main

import "github.com/spf13/cobra"

func newBenchCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure what this machine does",
		Long:    "Measures a stage on this machine and says which resource is scarce.",
		Example: "  synshard bench loader imagenet",
	}
	cmd.AddCommand(newBenchLoaderCmd(a), newBenchTrainCmd(a), newBenchInferCmd(a))
	return cmd
}
