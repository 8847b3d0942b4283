package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/cluster"
	"github.com/synshard/synshard/train/torch"
)

// newEngineWorkerCmd is what train --procs starts for each rank but the first.
func newEngineWorkerCmd(a *app) *cobra.Command {
	var lib string
	var silence time.Duration
	cmd := &cobra.Command{
		Use:     "engine-worker",
		Short:   "One of the processes of train --procs, which starts it",
		Example: "  synshard train imagenet --out runs/a --procs 2",
		Hidden:  true,
		Args:    exactly(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ui.IsTerminal(a.Stdin) {
				return usagef("engine-worker: it is for 'synshard train --procs' to start")
			}
			shim, err := torch.Open(lib)
			if err != nil {
				return withCode(exitNative, err)
			}
			outlivePipes()
			code, err := cluster.Serve(shim, a.Stdin, a.Stdout, cluster.Serving{Stop: cmd.Context().Done(), Silence: silence})
			if err != nil {
				return err
			}
			return endAs(code)
		},
	}
	cmd.Flags().StringVar(&lib, "torch-lib", "", "the training engine's library")
	cmd.Flags().DurationVar(&silence, "peer-timeout", cluster.Silence, "how long rank 0 may be silent before this process ends")
	cobra.CheckErr(cmd.MarkFlagRequired("torch-lib"))
	return cmd
}

// spread makes o's engines of n processes of this machine, each with its share
// of the threads, on CUDA each with a GPU of its own.
func (a *app) spread(ctx context.Context, e *trainEngine, o *train.Options, flags trainOptions, l *launched) error {
	n := flags.procs
	if torch.OnCUDA(e.device) {
		have, err := e.shim.CUDADevices()
		if err != nil {
			return withCode(exitNative, err)
		}
		if n > have || e.device != "cuda:0" {
			return usagef("--procs %d with --device %s: %d CUDA devices here, taken from the first on", n, e.device, have)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("--procs: %w", err)
	}
	o.Threads = max(o.Threads/n, 1)
	onLoopback()
	outlivePipes()
	l.members, err = cluster.Spawn(ctx, e.shim, n, func() *exec.Cmd { return a.workerCommand(self, e.lib, flags.peerTimeout) }, flags.terms(l))
	if err != nil {
		return fmt.Errorf("--procs: %w", err)
	}
	e.join(o, l)
	return nil
}

// workerCommand is a worker not yet started. It is in rank 0's own process group,
// so that a terminal stops, continues and interrupts all; a worker whose rank 0 is
// gone finds its standard input at an end. It speaks as rank 0 does.
func (a *app) workerCommand(self, lib string, silence time.Duration) *exec.Cmd {
	return &exec.Cmd{Path: self, Args: []string{"synshard", "engine-worker", "--torch-lib", lib, "--peer-timeout", silence.String(), "--progress", a.Progress}, Stderr: os.Stderr}
}
