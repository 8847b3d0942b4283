package cluster

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLaunchFrom(t *testing.T) {
	type env map[string]string
	for _, c := range []struct {
		name string
		env  env
		want Launch
		err  string
	}{
		{"alone", nil, Launch{}, ""},
		{"torchrun", env{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "29500",
			"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2"},
			Launch{Rank: 3, World: 4, Local: 1, LocalWorld: 2, MasterAddr: "a", MasterPort: 29500, Hosted: true, Attempt: 2}, ""},
		{"Kubeflow, a process a machine", env{"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "job-master-0", "MASTER_PORT": "23456"},
			Launch{Rank: 1, World: 2, MasterAddr: "job-master-0", MasterPort: 23456}, ""},
		{"torchrun of one", env{"RANK": "0", "WORLD_SIZE": "1"}, Launch{}, ""},
		{"torchrun inside Slurm", env{"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1", "SLURM_PROCID": "7", "SLURM_NTASKS": "8"},
			Launch{World: 2, MasterAddr: "a", MasterPort: 1}, ""},
		{"Slurm", env{"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_JOB_NODELIST": "gpu[07-09,12],cpu1", "SLURM_JOB_ID": "123456", "SLURM_NTASKS_PER_NODE": "4"},
			Launch{Rank: 5, World: 8, Local: 1, LocalWorld: 4, MasterAddr: "gpu07", MasterPort: 23456}, ""},
		{"Slurm, batch script of one", env{"SLURM_PROCID": "0", "SLURM_JOB_ID": "1", "SLURM_JOB_NODELIST": "a"}, Launch{}, ""},
		{"Slurm, shell of an allocation", env{"SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"}, Launch{}, ""},
		{"no rank", env{"WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, Launch{}, "not RANK"},
		{"no count", env{"RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, Launch{}, "not WORLD_SIZE"},
		{"Slurm, no count", env{"SLURM_PROCID": "1"}, Launch{}, "not SLURM_NTASKS"},
		{"Slurm, no list", env{"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "1"}, Launch{}, "SLURM_JOB_NODELIST"},
		{"Slurm, no job", env{"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_NODELIST": "a"}, Launch{}, "MASTER_PORT"},
		{"no address", env{"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "1"}, Launch{}, "not MASTER_ADDR"},
		{"no port", env{"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a"}, Launch{}, "not MASTER_PORT"},
		{"port out of range", env{"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "70000"}, Launch{}, "MASTER_PORT is 70000"},
		{"rank beyond", env{"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, Launch{}, "RANK is 2, but WORLD_SIZE only 2"},
		{"local beyond", env{"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, Launch{}, "LOCAL_RANK is 2, but LOCAL_WORLD_SIZE only 2"},
		{"no number", env{"RANK": "x", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, Launch{}, `RANK is "x"`},
		{"nobody", env{"RANK": "0", "WORLD_SIZE": "0"}, Launch{}, `WORLD_SIZE is "0"`},
	} {
		l, err := LaunchFrom(func(name string) string { return c.env[name] })
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		case c.err == "" && (err != nil || l != c.want):
			t.Errorf("%s: %+v, %v; want %+v", c.name, l, err, c.want)
		}
	}
	for list, want := range map[string]string{"a": "a", "a,b": "a", "n[1-3]": "n1", "n[08,11]x,m": "n08x", "a,n[1-2]": "a", "": ""} {
		if got := firstHost(list); got != want {
			t.Errorf("first of %q is %q, want %q", list, got, want)
		}
	}
}

func TestShareOfTheMachine(t *testing.T) {
	type share struct {
		Threads int
		Device  string
	}
	for _, c := range []struct {
		launch              Launch
		processors, visible int
		want                share
	}{
		{Launch{}, 8, 2, share{8, "cuda:0"}},
		{Launch{World: 16, Local: 3, LocalWorld: 8}, 64, 8, share{8, "cuda:3"}},
		{Launch{World: 16, Local: 3, LocalWorld: 8}, 4, 1, share{1, "cuda:0"}},
		{Launch{World: 2, Local: 1, LocalWorld: 2, CPUs: 1}, 2, 0, share{1, "cuda:1"}},
		{Launch{World: 2, LocalWorld: 2, CPUs: 8}, 4, 0, share{4, "cuda:0"}},
	} {
		got := share{c.launch.Threads(c.processors), c.launch.Device(c.visible)}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.launch, diff)
		}
	}
}

// TestSlurmShare: a launch under Slurm knows the tasks of its machine, and its own
// processors.
func TestSlurmShare(t *testing.T) {
	env := map[string]string{"SLURM_STEP_ID": "0", "SLURM_CPUS_PER_TASK": "3", "SLURM_STEP_TASKS_PER_NODE": "4(x2),2", "SLURM_NODEID": "1"}
	l := Launch{World: 10}
	l.slurmShare(func(name string) string { return env[name] })
	if diff := cmp.Diff(Launch{World: 10, LocalWorld: 4, CPUs: 3}, l); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWatchParent: a parent that is none is gone at once, the real one is not.
func TestWatchParent(t *testing.T) {
	gone := make(chan struct{})
	go WatchParent(t.Context(), -1, func() { close(gone) })
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond) // a look and a half
	defer cancel()
	WatchParent(ctx, os.Getppid(), func() { t.Error("the parent lives") })
	<-gone // or a parent that is none is not missed
}
