package torch

import (
	"strings"
	"testing"

	"synshard/train"
)

func TestGroupFrom(t *testing.T) {
	for _, c := range []struct {
		name  string
		env   map[string]string
		want  train.Group
		local int
		err   string
	}{
		{"alone", nil, train.Group{}, 0, ""},
		{"torchrun", map[string]string{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "29500"},
			train.Group{Rank: 3, World: 4, MasterAddr: "a", MasterPort: 29500}, 1, ""},
		{"torchrun of one", map[string]string{"RANK": "0", "WORLD_SIZE": "1"}, train.Group{}, 0, ""},
		{"torchrun inside Slurm", map[string]string{"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1", "SLURM_PROCID": "7", "SLURM_NTASKS": "8"},
			train.Group{World: 2, MasterAddr: "a", MasterPort: 1}, 0, ""},
		{"Slurm", map[string]string{"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_JOB_NODELIST": "gpu[07-09,12],cpu1", "SLURM_JOB_ID": "123456", "SLURMD_NODENAME": "gpu08"},
			train.Group{Rank: 5, World: 8, MasterAddr: "gpu07", MasterPort: 23456, Host: "gpu08"}, 1, ""},
		{"no address", map[string]string{"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "1"}, train.Group{}, 0, "MASTER_ADDR"},
		{"no port", map[string]string{"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a"}, train.Group{}, 0, "MASTER_PORT"},
		{"rank beyond", map[string]string{"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, train.Group{}, 0, "RANK is 2"},
		{"no number", map[string]string{"RANK": "x", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, train.Group{}, 0, `RANK is "x"`},
	} {
		g, local, err := GroupFrom(func(name string) string { return c.env[name] })
		if g != c.want || local != c.local || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %+v, %d, %v; want %+v, %d, %q", c.name, g, local, err, c.want, c.local, c.err)
		}
	}
	for list, want := range map[string]string{"a": "a", "a,b": "a", "n[1-3]": "n1", "n[08,11]x,m": "n08x", "a,n[1-2]": "a", "": ""} {
		if got := firstHost(list); got != want {
			t.Errorf("first of %q is %q, want %q", list, got, want)
		}
	}
}
