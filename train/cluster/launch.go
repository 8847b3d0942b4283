// Package cluster has several processes train one network, each on its own share of
// every batch: started here (NewProcs) or by a launcher (Launch, Gather, Follow).
// Rank 0 holds the data and alone writes; gradients go from process to process by
// the engines themselves (train.Group). It is pure Go over a Backend, which makes
// one process's engine.
package cluster

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/synshard/synshard/internal/processors"
)

// Launch is the place of a process among those that a launcher started, one a
// GPU. The zero value is a process alone.
type Launch struct {
	Rank, World       int           // its number, from 0, among so many
	Local, LocalWorld int           // the same on this machine; LocalWorld 0: not said
	CPUs              int           // that the launcher gave this process; 0: not said
	MasterAddr        string        // where rank 0 is to be found; a name or an address
	MasterPort        int           // TCP
	Hosted            bool          // the launcher keeps a store of libtorch's there (torchrun)
	Attempt           int           // how often the launcher started the group again
	Timeout           time.Duration // for meeting and for any exchange; 0 is 5 minutes
}

// Threads is this process's share of the processors it may use, at least 1: those
// that the launcher gave it, or else its share of the machine's, all of them where
// LocalWorld is not said.
func (l Launch) Threads(processors int) int {
	if l.CPUs > 0 {
		return min(processors, l.CPUs)
	}
	return max(processors/max(l.LocalWorld, 1), 1)
}

// Device is the GPU of this process's number on its machine, as "cuda:N", or, where
// the launcher lets it see one alone (visible is 1), that one.
func (l Launch) Device(visible int) string {
	if visible == 1 {
		return "cuda:0"
	}
	return fmt.Sprintf("cuda:%d", l.Local)
}

// launchers are the names under which what starts groups of processes tells
// each its place: torchrun (and Kubeflow's PyTorchJob, which sets the same),
// then Slurm.
var launchers = []struct{ name, rank, world, local, localWorld string }{
	{"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
	{"Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"},
}

// LaunchFrom reads a process's place from the variables that torchrun or Slurm set;
// the zero Launch where there are none, or one process only.
// Slurm sets no MASTER_ADDR: the first machine of SLURM_JOB_NODELIST is meant,
// and without MASTER_PORT a port that goes by SLURM_JOB_ID. Variables that are
// incomplete or contradict each other are an error that names one of them.
func LaunchFrom(getenv func(string) string) (Launch, error) {
	for _, v := range launchers {
		rank, world := getenv(v.rank), getenv(v.world)
		slurm := v.name == "Slurm"
		switch {
		case rank == "" && (world == "" || slurm): // an allocation's shell has Slurm's count and no rank
			continue
		case rank == "0" && world == "" && slurm: // a batch script, not a task of srun's
			continue
		case rank == "":
			return Launch{}, fmt.Errorf("place among processes: %s is set, as by %s, but not %s", v.world, v.name, v.rank)
		case world == "":
			return Launch{}, fmt.Errorf("place among processes: %s is set, as by %s, but not %s", v.rank, v.name, v.world)
		}
		l, err := readPlace(getenv, v.name, v.rank, v.world, v.local, v.localWorld)
		if err != nil {
			return Launch{}, fmt.Errorf("place among processes: %w", err)
		}
		if l.World == 1 { // srun and torchrun set them for one process too
			return Launch{}, nil
		}
		return l, nil
	}
	return Launch{}, nil
}

// number reads a variable that counts from least.
func number(getenv func(string) string, name string, least int) (int, error) {
	n, err := strconv.Atoi(getenv(name))
	if err != nil || n < least {
		return 0, fmt.Errorf("%s is %q, want a number from %d", name, getenv(name), least)
	}
	return n, nil
}

func readLaunch(getenv func(string) string, rank, world, local, localWorld string) (l Launch, err error) {
	if l.World, err = number(getenv, world, 1); err != nil {
		return l, err
	}
	if l.Rank, err = number(getenv, rank, 0); err != nil {
		return l, err
	}
	if l.Rank >= l.World {
		return l, fmt.Errorf("%s is %d, but %s only %d", rank, l.Rank, world, l.World)
	}
	if getenv(localWorld) != "" {
		if l.LocalWorld, err = number(getenv, localWorld, 1); err != nil {
			return l, err
		}
		l.LocalWorld = min(l.LocalWorld, l.World)
	}
	if getenv(local) != "" {
		if l.Local, err = number(getenv, local, 0); err != nil {
			return l, err
		}
		switch {
		case l.Local >= l.World:
			return l, fmt.Errorf("%s is %d, but %s only %d", local, l.Local, world, l.World)
		case l.LocalWorld > 0 && l.Local >= l.LocalWorld:
			return l, fmt.Errorf("%s is %d, but %s only %d", local, l.Local, localWorld, l.LocalWorld)
		}
	}
	return l, nil
}

// readPlace reads a launcher's variables and where rank 0 is.
func readPlace(getenv func(string) string, name, rank, world, local, localWorld string) (Launch, error) {
	l, err := readLaunch(getenv, rank, world, local, localWorld)
	if err != nil || l.World == 1 {
		return l, err
	}
	slurm := name == "Slurm"
	if slurm {
		l.slurmShare(getenv)
	}
	l.MasterAddr = getenv("MASTER_ADDR")
	if l.MasterAddr == "" && slurm {
		l.MasterAddr = firstHost(cmp.Or(getenv("SLURM_STEP_NODELIST"), getenv("SLURM_JOB_NODELIST")))
		if l.MasterAddr == "" {
			return l, fmt.Errorf("%s and %s are set, as by Slurm, but neither SLURM_JOB_NODELIST nor MASTER_ADDR", rank, world)
		}
	}
	if l.MasterAddr == "" {
		return l, fmt.Errorf("%s and %s are set, as by %s, but not MASTER_ADDR", rank, world, name)
	}
	switch {
	case getenv("MASTER_PORT") != "":
		if l.MasterPort, err = number(getenv, "MASTER_PORT", 1); err == nil && l.MasterPort > 65535 {
			err = fmt.Errorf("MASTER_PORT is %d, above 65535", l.MasterPort)
		}
		if err != nil {
			return l, err
		}
	case slurm && getenv("SLURM_JOB_ID") != "":
		job, err := number(getenv, "SLURM_JOB_ID", 0)
		if err != nil {
			return l, err
		}
		l.MasterPort = 20000 + job%10000
	default:
		return l, fmt.Errorf("%s and %s are set, as by %s, but not MASTER_PORT", rank, world, name)
	}
	if !slurm {
		l.Hosted = getenv("TORCHELASTIC_USE_AGENT_STORE") == "True"
		if getenv("TORCHELASTIC_RESTART_COUNT") != "" {
			l.Attempt, err = number(getenv, "TORCHELASTIC_RESTART_COUNT", 0)
		}
	}
	return l, err
}

// slurmShare reads how many tasks are on this machine and how many processors are
// this one's. A count that cannot be read is as good as none.
func (l *Launch) slurmShare(getenv func(string) string) {
	if n := processors.TasksHere(getenv); n > 0 {
		l.LocalWorld = min(n, l.World)
	}
	l.CPUs = processors.Given(getenv)
}

// firstHost is the first name of a Slurm node list: "gpu[07-09,12],cpu1" gives
// gpu07.
func firstHost(list string) string {
	open := strings.IndexByte(list, '[')
	comma := strings.IndexByte(list, ',')
	if open < 0 || (comma >= 0 && comma < open) {
		name, _, _ := strings.Cut(list, ",")
		return name
	}
	inside, rest, _ := strings.Cut(list[open+1:], "]")
	first := inside
	if i := strings.IndexAny(inside, ",-"); i >= 0 {
		first = inside[:i]
	}
	suffix, _, _ := strings.Cut(rest, ",")
	return list[:open] + first + suffix
}

// WatchParent calls stop once this process is no child of parent any more, which it finds
// within a second, and returns then or when ctx ends.
func WatchParent(ctx context.Context, parent int, stop func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if os.Getppid() != parent {
				stop()
				return
			}
		}
	}
}
