package cluster

import (
	"bytes"
	"encoding/gob"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/synshard/synshard/train"
)

// FuzzLink: whatever comes over a link, it ends with the stream, and takes no more memory than
// came, but for a bound; messages that came whole are handed on as they were sent.
func FuzzLink(f *testing.F) {
	sent := []message{
		{Kind: isAnswer, Answer: &reply{Error: "x"}},
		{Kind: isStore, Call: 3, Store: train.StoreCall{Op: train.StoreSet, Key: "k", Value: []byte("v")}},
		{Kind: isEnd, Code: 75},
	}
	var whole bytes.Buffer
	e := gob.NewEncoder(&whole)
	for _, m := range sent {
		if err := e.Encode(m); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(whole.Bytes())
	f.Add(whole.Bytes()[:whole.Len()/2])
	f.Add([]byte{0xf8, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) // a message of a great many bytes
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		hungUp := 0
		l := newLink(bytes.NewReader(b), io.Discard, func() { hungUp++ })
		var got []message
		l.run(always(0), func(m message) { got = append(got, m) })
		select {
		case <-l.gone:
		default:
			t.Fatal("the link has not ended")
		}
		if hungUp != 1 || l.err == nil {
			t.Errorf("hung up %d times: %v", hungUp, l.err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20+100*uint64(len(b)) {
			t.Errorf("%d MiB for %d bytes", took>>20, len(b))
		}
		if bytes.HasPrefix(b, whole.Bytes()) {
			if diff := cmp.Diff(sent, got[:min(len(sent), len(got))]); diff != "" {
				t.Errorf("(-sent +handed on):\n%s", diff)
			}
		}
	})
}

// FuzzLaunch: whatever a launcher's variables say, they are an error that names one,
// or a place that can be: a rank within its world, here and on its machine.
func FuzzLaunch(f *testing.F) {
	f.Add("RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=h MASTER_PORT=29500 TORCHELASTIC_RESTART_COUNT=1", 4)
	f.Add("SLURM_PROCID=3 SLURM_NTASKS=4 SLURM_LOCALID=1 SLURM_STEP_NODELIST=gpu[07-09,12],cpu1 SLURM_JOB_ID=7 SLURM_STEP_TASKS_PER_NODE=2(x2) SLURM_NODEID=1 SLURM_CPUS_ON_NODE=8", 2)
	f.Add("SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_JOB_NODELIST=[ SLURM_JOB_ID=1 SLURM_STEP_TASKS_PER_NODE=9(x SLURM_CPUS_PER_TASK=-1 SLURM_STEP_ID=0", 0)
	f.Add("SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_JOB_NODELIST=a SLURM_JOB_ID=1 SLURM_STEP_TASKS_PER_NODE=-5(x9),-2 SLURM_NODEID=-1", -3)
	f.Fuzz(func(t *testing.T, environment string, processors int) {
		set := map[string]string{}
		for _, v := range strings.Fields(environment) {
			name, value, _ := strings.Cut(v, "=")
			set[name] = value
		}
		l, err := LaunchFrom(func(name string) string { return set[name] })
		if err != nil {
			if !strings.HasPrefix(err.Error(), "place among processes: ") {
				t.Errorf("an error of nowhere: %v", err)
			}
			return
		}
		if (l == Launch{}) {
			return
		}
		if l.Rank < 0 || l.Rank >= l.World || l.World < 2 || l.Local < 0 || l.LocalWorld < 0 || l.LocalWorld > l.World || l.LocalWorld > 0 && l.Local >= l.LocalWorld ||
			l.CPUs < 0 || l.MasterAddr == "" || l.MasterPort < 1 || l.MasterPort > 65535 || l.Attempt < 0 {
			t.Errorf("%q: %+v", environment, l)
		}
		if n := l.Threads(max(processors, 1)); n < 1 || n > max(processors, 1) {
			t.Errorf("%d threads of %d processors: %+v", n, processors, l)
		}
	})
}
