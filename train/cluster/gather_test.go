package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// gathered is a launched group of this process and another of the test binary.
func gathered(t *testing.T, onStop func()) (*Members, *exec.Cmd) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes that train; not with -short")
	}
	s := shim(t)
	traintest.NeedCards(t, 2, s.CUDADevices)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	port := traintest.FreePort(t)
	c := exec.Command(self)
	c.Env = append(os.Environ(), "SYNSHARD_TEST_FOLLOW="+strconv.Itoa(port), "SYNSHARD_TEST_LIB="+s.Path())
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	m, err := Gather(context.Background(), s, Launch{World: 2, LocalWorld: 2, MasterAddr: "127.0.0.1", MasterPort: port, Timeout: time.Minute}, Trust{Secret: testSecret}, Terms{OnStop: onStop})
	if err != nil {
		t.Fatal(err)
	}
	return m, c
}

// TestGather: engines of a launched group hold the same weights to the bit; one
// whose step failed can be replaced; and the others end as rank 0 says.
func TestGather(t *testing.T) {
	var stops atomic.Int32
	m, c := gathered(t, func() { stops.Add(1) })
	n := traintest.Narrow(t)
	for range 2 {
		p, err := m.NewEngine(n, traintest.GroupConfig())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.SetState(modeltest.Fill(n)); err != nil {
			t.Fatal(err)
		}
		for i := range groupSteps {
			found := traintest.Step(t, p, traintest.Batch(4), train.Step{Seed: uint64(i), LR: 0.01, EMADecay: 0.9})
			if found.Exchange <= 0 || found.Exchange > time.Minute {
				t.Errorf("step %d: gradients were %v on their way", i, found.Exchange)
			}
		}
		sameOnBothRanks(t, p)
		b := traintest.Batch(4)
		b.Labels[3] = 8 // rank 1's
		if _, err := p.Step(b, train.Step{LR: 0.01}); err == nil || !strings.Contains(err.Error(), "label 8") && !errors.Is(err, train.ErrPeerLost) {
			t.Errorf("a label out of range on rank 1: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if stops.Load() == 0 {
		t.Error("rank 1 was asked to stop, and rank 0 does not know")
	}
	m.Release(7)
	if err := c.Wait(); err != nil {
		t.Errorf("rank 1: %v", err)
	}
}

// TestGatherAlone: where the others do not come, the wait ends, and soon when it
// is called off.
func TestGatherAlone(t *testing.T) {
	b := &fakeBackend{engines: map[int]*fakeEngine{}}
	l := Launch{World: 2, LocalWorld: 2, MasterAddr: "127.0.0.1", MasterPort: traintest.FreePort(t), Timeout: time.Second}
	trust := Trust{Secret: testSecret}
	at := "127.0.0.1:" + strconv.Itoa(l.MasterPort)
	if _, err := Gather(t.Context(), b, l, trust, Terms{}); !errors.Is(err, train.ErrPeerLost) || !strings.Contains(err.Error(), "rank 1 of 2 processes did not come to "+at) {
		t.Errorf("rank 0 alone: %v", err)
	}
	l.Rank = 1
	if _, err := Follow(t.Context(), b, l, trust, Serving{}); !errors.Is(err, train.ErrPeerLost) || !strings.Contains(err.Error(), "meet rank 0 at "+at) {
		t.Errorf("rank 1 alone: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, stop)
	l.Timeout = time.Minute
	if _, err := Follow(ctx, b, l, trust, Serving{}); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}
