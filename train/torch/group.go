package torch

import (
	"fmt"
	"strconv"
	"strings"

	"synshard/train"
)

// launchers are the names under which what starts groups of processes tells
// each its place: torchrun (and Kubeflow's PyTorchJob, which sets the same),
// then Slurm.
var launchers = []struct{ name, rank, world, local string }{
	{"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
	{"Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"},
}

// GroupFrom reads a process's place from the variables its launcher set, and
// its number on its machine, which is its GPU's. Slurm sets no MASTER_ADDR: the
// first machine of SLURM_JOB_NODELIST is meant, and without MASTER_PORT a port
// that goes by SLURM_JOB_ID. Alone, it gives the zero Group.
func GroupFrom(getenv func(string) string) (g train.Group, local int, err error) {
	for _, l := range launchers {
		if getenv(l.rank) == "" || getenv(l.world) == "" {
			continue
		}
		number := func(name string) int {
			n, e := strconv.Atoi(getenv(name))
			if (e != nil || n < 0) && err == nil {
				err = fmt.Errorf("place among processes: %s is %q, want a number from 0", name, getenv(name))
			}
			return n
		}
		g.Rank, g.World = number(l.rank), number(l.world)
		if getenv(l.local) != "" {
			local = number(l.local)
		}
		if err == nil && g.World <= 1 {
			return train.Group{}, local, nil // srun and torchrun set them for one process too
		}
		if err == nil && g.Rank >= g.World {
			err = fmt.Errorf("place among processes: %s is %d, but %s only %d", l.rank, g.Rank, l.world, g.World)
		}
		g.MasterAddr = getenv("MASTER_ADDR")
		slurm := l.name == "Slurm"
		if g.MasterAddr == "" && slurm {
			g.MasterAddr = firstHost(getenv("SLURM_JOB_NODELIST"))
		}
		if g.MasterAddr == "" && err == nil {
			err = fmt.Errorf("place among processes: %s and %s are set, as by %s, but not MASTER_ADDR", l.rank, l.world, l.name)
		}
		switch {
		case getenv("MASTER_PORT") != "":
			g.MasterPort = number("MASTER_PORT")
		case slurm && getenv("SLURM_JOB_ID") != "":
			g.MasterPort = 20000 + number("SLURM_JOB_ID")%10000
		case err == nil:
			err = fmt.Errorf("place among processes: %s and %s are set, as by %s, but not MASTER_PORT", l.rank, l.world, l.name)
		}
		if slurm {
			g.Host = getenv("SLURMD_NODENAME")
		}
		if err != nil {
			return train.Group{}, 0, err
		}
		return g, local, nil
	}
	return train.Group{}, 0, nil
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
