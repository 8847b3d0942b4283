package processors

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/controlgroup"
)

// TestGiven: what Slurm says of the tasks and processors of a machine, in each of
// the ways in which it does.
func TestGiven(t *testing.T) {
	type env map[string]string
	type share struct{ Tasks, Processors int }
	for _, c := range []struct {
		name string
		env  env
		want share
	}{
		{"processors a task", env{"SLURM_STEP_ID": "0", "SLURM_CPUS_PER_TASK": "3", "SLURM_STEP_TASKS_PER_NODE": "4(x2),2", "SLURM_NODEID": "1"}, share{4, 3}},
		{"the last machine", env{"SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "4(x2),2", "SLURM_NODEID": "2", "SLURM_CPUS_ON_NODE": "9"}, share{2, 4}},
		{"one machine", env{"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_NODES": "1", "SLURM_NTASKS": "10", "SLURM_CPUS_ON_NODE": "4"}, share{10, 1}},
		{"a batch script", env{"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "3", "SLURM_CPUS_ON_NODE": "6", "SLURM_JOB_NUM_NODES": "2"}, share{0, 6}},
		{"no job", env{"SLURM_CPUS_ON_NODE": "6"}, share{}},
		{"beyond the list", env{"SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "4(x2)", "SLURM_NODEID": "2"}, share{}},
		{"no numbers", env{"SLURM_STEP_ID": "0", "SLURM_CPUS_PER_TASK": "many", "SLURM_STEP_TASKS_PER_NODE": "some", "SLURM_NODEID": "0"}, share{}},
	} {
		get := func(name string) string { return c.env[name] }
		if diff := cmp.Diff(c.want, share{TasksHere(get), Given(get)}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestQuota: the least quota of the groups of a process and of those above them, a
// part of a processor as one.
func TestQuota(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"cpu.max": "max 100000\n", "pod/cpu.max": "250000 100000\n", "pod/a/cpu.max": "max 100000\n", "half/cpu.max": "50000 100000\n", "whole/cpu.max": "100000 100000\n",
		"cpu/old/cpu.cfs_quota_us": "300000\n", "cpu/old/cpu.cfs_period_us": "100000\n", "cpu/free/cpu.cfs_quota_us": "-1\n", "cpu/free/cpu.cfs_period_us": "100000\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const none = 1<<31 - 1
	for text, want := range map[string]int{
		"": none, "0::/\n": none, "0::/pod/a\n": 3, "0::/half\n": 1, "0::/whole\n": 1, "0::/gone\n": none,
		"4:memory:/old\n3:cpu,cpuacct:/old\n": 3, "3:cpu:/free\n": none, "3:cpu:/old\n0::/half\n": 1,
	} {
		if got := quota(controlgroup.In(root, []byte(text), "cpu")); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// TestHeed: a scheduler makes the count smaller, and never larger.
func TestHeed(t *testing.T) {
	before := count
	defer func() { count = before }()
	for said, want := range map[string]int{"": 8, "none": 8, "12": 8, "3": 3} {
		count = 8
		env := map[string]string{"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": said}
		if Heed(func(name string) string { return env[name] }); Count() != want {
			t.Errorf("%q: %d, want %d", said, Count(), want)
		}
	}
}
