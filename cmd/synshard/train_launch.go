package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/cluster"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/torch"
)

// launched is a training run's place among the processes that make it. The zero
// value is a run of a process alone.
type launched struct {
	cluster.Launch
	members *cluster.Members // rank 0's, whether a launcher or --procs started them
	stop    func()           // has this process do what a signal to it would
}

func (l *launched) alone() bool { return l.World == 0 }

// findLaunch reads what torchrun, Slurm or Kubeflow set.
func (flags *trainOptions) findLaunch() (*launched, error) {
	l, err := cluster.LaunchFrom(os.Getenv)
	switch {
	case err != nil:
		return nil, usagef("%w", err)
	case l.World > 0 && flags.procs > 1:
		return nil, usagef("--procs %d, but a launcher started this process as one of %d: one or the other", flags.procs, l.World)
	case l.World > 0 && flags.device != "auto" && flags.device != "cpu" && flags.device != "cuda":
		return nil, usagef("--device %s, but a launcher started this process as one of %d: say cuda, and each takes the GPU of its number on its machine", flags.device, l.World)
	}
	switch {
	case l.World == 0 && flags.secretFile != "":
		return nil, usagef("--secret-file has no effect: no launcher started this process as one of several")
	case l.World == 0 && flags.procs == 1 && flags.peerTimeout != cluster.Silence:
		return nil, usagef("--peer-timeout has no effect: this process trains alone")
	}
	return &launched{Launch: l}, nil
}

// follows says whether this call is one of a group's whose rank 0 writes for all of them.
// What is wrong with the place that a launcher gave it is told by findLaunch.
func follows(cmd *cobra.Command) bool {
	if verbOf(cmd) != "train" {
		return false // no other verb asks for a place
	}
	l, err := cluster.LaunchFrom(os.Getenv)
	return err == nil && l.Rank > 0
}

// trainLaunched is train in a process that a launcher started. Rank 0 does
// what a process alone does; every other is quiet and ends as rank 0 does.
func (a *app) trainLaunched(ctx context.Context, dataset string, flags trainOptions, rec recipe.Recipe, l *launched) error {
	shim, path, err := a.openShim(flags.torchLib)
	if err != nil {
		return err
	}
	flags.torchLib = path
	outlivePipes()
	trust := cluster.Trust{OnWait: func(text string) { a.Logf("%s", text) }}
	secret, err := flags.secretOf(l.Launch)
	if err != nil {
		return err
	}
	trust.Secret = secret.Get
	if l.Rank > 0 {
		return a.follow(ctx, shim, flags, l, trust)
	}
	l.members, err = cluster.Gather(ctx, shim, l.Launch, trust, flags.terms(l))
	secret.Forget()
	if err != nil {
		return err
	}
	return a.train(ctx, dataset, flags, rec, l)
}

// terms are what the processes of a group keep to: what a scheduler tells another
// process stops this one as if it were told itself.
func (flags *trainOptions) terms(l *launched) cluster.Terms {
	return cluster.Terms{Silence: flags.peerTimeout, OnStop: l.stop}
}

// follow is a process that is not rank 0: it opens no data and writes nothing.
func (a *app) follow(ctx context.Context, shim *torch.Shim, flags trainOptions, l *launched, trust cluster.Trust) error {
	code, err := cluster.Follow(context.WithoutCancel(ctx), shim, l.Launch, trust, cluster.Serving{
		Adjust: func(cfg *train.EngineConfig) {
			cfg.Threads = threads(flags.threads, l.Launch)
			if cfg.Device != "cpu" {
				cfg.Device = l.Device(visibleGPUs(shim))
			}
		},
		Stop: ctx.Done(), Silence: flags.peerTimeout,
	})
	if err != nil {
		return fmt.Errorf("rank %d: %w", l.Rank, err)
	}
	return endAs(code)
}

// endAs ends this process as rank 0 ends, which says why.
func endAs(code int) error {
	if code == exitOK {
		return nil
	}
	return withCode(code, errors.New(""))
}

// release ends the other processes as this one ends.
func (a *app) release(l *launched, err error, returned bool) {
	if l.members == nil {
		return
	}
	code := exitOK
	switch {
	case !returned: // a panic
		code = exitFailure
	case err != nil:
		code = a.classify(err)
	}
	l.members.Release(code)
}

// outlivePipes has this process learn by an error, not by its end, that another one
// of its group is gone: libraries write to connections of theirs without asking for
// that.
func outlivePipes() { signal.Ignore(syscall.SIGPIPE) }

// startedBy is the process that started this one, as it was first thing.
var startedBy = os.Getppid()

// watchLauncher stops a run whose torchrun is gone: killed, it leaves the
// processes it started behind, and nobody else ends them.
func watchLauncher(ctx context.Context, stop func()) {
	if os.Getenv("TORCHELASTIC_RUN_ID") != "" {
		go cluster.WatchParent(ctx, startedBy, stop)
	}
}

// onLoopback has NCCL, which picks addresses by rules of its own, keep to this
// machine's loopback, where nobody chose otherwise. It reads the environment when
// the first group is made.
func onLoopback() {
	if os.Getenv("NCCL_SOCKET_IFNAME") == "" {
		os.Setenv("NCCL_SOCKET_IFNAME", "lo")
	}
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
func (e *trainEngine) join(o *train.Options, l *launched) {
	o.NewEngine = func(cfg train.EngineConfig) (train.Engine, error) {
		eng, err := l.members.NewEngine(o.Network, cfg)
		if err != nil {
			return nil, err
		}
		return eng, nil
	}
}
