package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/cluster"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/torch"
)

// launched is a training run whose processes a launcher started. The zero
// value is a run of a process alone.
type launched struct {
	cluster.Launch
	members *cluster.Members // rank 0's
}

func (l *launched) alone() bool { return l.World == 0 }

// findLaunch reads what torchrun, Slurm or Kubeflow set.
func (flags *trainOptions) findLaunch() (launched, error) {
	l, err := cluster.LaunchFrom(os.Getenv)
	switch {
	case err != nil:
		return launched{}, usagef("%w", err)
	case l.World > 0 && flags.procs > 1:
		return launched{}, usagef("--procs %d, but a launcher started this process as one of %d: one or the other", flags.procs, l.World)
	case l.World > 0 && flags.device != "auto" && flags.device != "cpu" && flags.device != "cuda":
		return launched{}, usagef("--device %s, but a launcher started this process as one of %d: say cuda, and each takes the GPU of its number on its machine", flags.device, l.World)
	}
	return launched{Launch: l}, nil
}

// trainLaunched is train in a process that a launcher started. Rank 0 does
// what a process alone does; every other is quiet and ends as rank 0 does.
func (a *app) trainLaunched(ctx context.Context, dataset string, flags trainOptions, rec recipe.Recipe, l launched) error {
	shim, path, err := a.openShim(flags.torchLib)
	if err != nil {
		return err
	}
	flags.torchLib = path
	if l.Rank > 0 {
		return a.follow(ctx, shim, flags, l)
	}
	// What a scheduler tells another process stops this one as if it were told
	// itself.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if l.members, err = cluster.Gather(ctx, shim, l.Launch, stop); err != nil {
		return err
	}
	code := exitFailure // unless train returns
	defer func() { l.members.Release(code) }()
	err = a.train(ctx, dataset, flags, rec, l)
	code = exitOK
	if err != nil {
		code = a.classify(err)
	}
	return err
}

// follow is a process that is not rank 0: it opens no data and writes nothing.
func (a *app) follow(ctx context.Context, shim *torch.Shim, flags trainOptions, l launched) error {
	code, err := cluster.Follow(ctx, shim, l.Launch, cluster.Serving{
		Adjust: func(cfg *train.EngineConfig) {
			cfg.Threads = threads(flags.threads, l.Launch)
			if cfg.Device != "cpu" {
				cfg.Device = l.Device(visibleGPUs(shim))
			}
		},
		Stop: func() bool { return ctx.Err() != nil },
	})
	if err != nil {
		return fmt.Errorf("rank %d: %w", l.Rank, err)
	}
	if code != exitOK {
		return withCode(code, errors.New("")) // rank 0 says why
	}
	return nil
}

// threads is the process's share of the machine's, unless given.
func threads(given int, l cluster.Launch) int {
	if given > 0 {
		return given
	}
	return l.Threads(processors.Count())
}

// visibleGPUs counts the devices; 0 where they cannot be counted, which opening
// one then explains.
func visibleGPUs(shim *torch.Shim) int {
	n, err := shim.CUDADevices()
	if err != nil {
		return 0
	}
	return n
}

// join makes o's engines those of all the group's processes.
func (e *trainEngine) join(o *train.Options, l launched) {
	o.NewEngine = func(cfg train.EngineConfig) (train.Engine, error) {
		eng, err := l.members.NewEngine(o.Network, cfg)
		if err != nil {
			return nil, err
		}
		return eng, nil
	}
}
