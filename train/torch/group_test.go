package torch

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

const groupSteps = 3

// Kinds of a group's training, beside plain.
const (
	frozen   = "batch norm frozen"
	weighted = "batch norm frozen, classes weighted"
	split    = "batch norm frozen, two microbatches each"
)

// groupConfig is what a group's processes, or the one they are held to, are made with.
func groupConfig(kind string) train.EngineConfig {
	cfg := traintest.GroupConfig()
	if kind == weighted { // of share's labels 0 and 2 on the one side, 4 and none on the other: 2.1 and 5
		cfg.ClassWeights = []float64{0.1, 1, 2, 1, 5, 1, 7, 1}
	}
	if kind == split {
		cfg.Accumulate = 2
	}
	return cfg
}

// TestMain lets the test binary be one process of a group.
func TestMain(m *testing.M) {
	if rank := os.Getenv("SYNSHARD_TEST_RANK"); rank != "" {
		if err := groupProcess(rank, os.Getenv("SYNSHARD_TEST_STORE"), os.Getenv("SYNSHARD_TEST_OUT"), os.Getenv("SYNSHARD_TEST_KIND")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			if errors.Is(err, train.ErrPeerLost) {
				os.Exit(5)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fileStore is a group's store in a directory, a file a name.
type fileStore string

func (s fileStore) Do(c train.StoreCall) (a train.StoreAnswer, err error) {
	path := filepath.Join(string(s), hex.EncodeToString([]byte(c.Key)))
	switch c.Op {
	case train.StoreSet:
		if err := os.WriteFile(path+".new", c.Value, 0o600); err != nil {
			return a, err
		}
		return a, os.Rename(path+".new", path)
	case train.StoreGet:
		for until := time.Now().Add(c.Timeout); time.Now().Before(until); time.Sleep(time.Millisecond) {
			if a.Value, err = os.ReadFile(path); !errors.Is(err, os.ErrNotExist) {
				return a, err
			}
		}
		return a, fmt.Errorf("nobody set %q", c.Key)
	}
	return a, fmt.Errorf("operation %d", c.Op)
}

// share is a rank's half of a batch of 4, whose last row is padding.
func share(rank int) *loader.Batch {
	b := traintest.Batch(4)
	b.Labels[3] = -1
	image := 299 * 299 * 3
	b.Images, b.Labels, b.N = b.Images[rank*2*image:(rank+1)*2*image], b.Labels[rank*2:rank*2+2], 2
	return b
}

// groupProcess trains as one rank and saves its state, and what its steps found as metadata.
// With out "die" it goes away after its first step without a word.
func groupProcess(rank, store, out, kind string) error {
	cfg := groupConfig(kind)
	cfg.Batch = 2
	n, err := strconv.Atoi(rank)
	if err != nil {
		return err
	}
	cfg.Device = traintest.RankDevice(n)
	cfg.Group = train.Group{Rank: n, World: 2, Host: "127.0.0.1", Store: fileStore(store), Timeout: 2 * time.Minute}
	s, err := Open(os.Getenv("SYNSHARD_TEST_LIB"))
	if err != nil {
		return err
	}
	network, err := model.New("inception_v3", traintest.NarrowOptions)
	if err != nil {
		return err
	}
	e, err := s.New(network, cfg)
	if err != nil {
		return err
	}
	if err := e.SetState(modeltest.Fill(network)); err != nil {
		return err
	}
	found := map[string]string{}
	for i := range groupSteps {
		m, err := e.Step(share(cfg.Group.Rank), train.Step{Seed: uint64(i), LR: 0.01, EMADecay: 0.9, FreezeBN: kind != ""})
		if err != nil {
			return err
		}
		if m.Counted != 3 {
			return fmt.Errorf("step %d counts %d labels of 3", i, m.Counted)
		}
		if took := m.Forward + m.Backward + m.Group + m.Update; m.Exchange <= 0 || m.Exchange > took {
			return fmt.Errorf("step %d took %v, its exchange %v", i, took, m.Exchange)
		}
		if out == "die" {
			os.Exit(0)
		}
		found[strconv.Itoa(i)] = fmt.Sprint(m.Loss, m.MainLoss, m.AuxLoss, m.CrossEntropy)
	}
	state, err := e.State()
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := weights.WriteSafetensors(f, state, found); err != nil {
		return err
	}
	return f.Close()
}

// group starts two processes and gives them.
func group(t *testing.T, kind string, outs ...string) []*exec.Cmd {
	t.Helper()
	s := shim(t)
	traintest.NeedCards(t, len(outs), s.CUDADevices)
	lib := s.Path()
	store := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var cmds []*exec.Cmd
	for rank, out := range outs {
		c := exec.Command(self)
		c.Env = append(os.Environ(), "SYNSHARD_TEST_RANK="+strconv.Itoa(rank), "SYNSHARD_TEST_STORE="+store, "SYNSHARD_TEST_OUT="+out, "SYNSHARD_TEST_LIB="+lib, "SYNSHARD_TEST_KIND="+kind)
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Process.Kill() })
		cmds = append(cmds, c)
	}
	return cmds
}

// TestGroup trains in two processes, whose shares of a batch are unequal: two rows with labels
// and one. Their weights must be the same to the bit, and with batch norm frozen, losses too,
// those of one process with the whole batch: with weights of classes the mean is by those
// of the batch and not of each share.
func TestGroup(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes that train; not with -short")
	}
	for _, kind := range []string{frozen, weighted, split, ""} {
		t.Run(kind, func(t *testing.T) {
			two, found := trainedInTwo(t, kind)
			if kind == "" {
				return
			}
			e := engine(t, groupConfig(kind))
			whole := traintest.Batch(4)
			whole.Labels[3] = -1
			for i := range groupSteps {
				m := traintest.Step(t, e, whole, train.Step{Seed: uint64(i), LR: 0.01, EMADecay: 0.9, FreezeBN: true})
				var loss, main, aux, entropy float64
				if _, err := fmt.Sscan(found[strconv.Itoa(i)], &loss, &main, &aux, &entropy); err != nil {
					t.Fatal(err)
				}
				for _, c := range [][2]float64{{loss, m.Loss}, {main, m.MainLoss}, {aux, m.AuxLoss}, {entropy, m.CrossEntropy}} {
					if !(math.Abs(c[0]-c[1]) <= 1e-5*c[1]) {
						t.Errorf("step %d: losses of two processes %s, of one %v", i, found[strconv.Itoa(i)], m)
						break
					}
				}
			}
			for _, w := range traintest.State(t, e) {
				if d := modeltest.Difference(t, w, two[w.Name]); !(d <= 1e-5) {
					t.Errorf("%s: two processes and one differ by %g", w.Name, d)
				}
			}
		})
	}
}

// trainedInTwo gives the state that both processes of a group end in, and what rank 0 found by step.
func trainedInTwo(t *testing.T, kind string) (map[string]model.Tensor, map[string]string) {
	t.Helper()
	dir := t.TempDir()
	outs := []string{filepath.Join(dir, "0"), filepath.Join(dir, "1")}
	for rank, c := range group(t, kind, outs...) {
		if err := c.Wait(); err != nil {
			t.Fatalf("rank %d: %v", rank, err)
		}
	}
	var states [2][]model.Tensor
	var found [2]map[string]string
	for rank, path := range outs {
		var err error
		if states[rank], found[rank], err = weights.ReadSafetensorsFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(modeltest.Sums(states[0]), modeltest.Sums(states[1])); diff != "" {
		t.Fatalf("state (-rank 0 +rank 1):\n%s", diff)
	}
	return model.ByName(states[0]), found[0]
}

// TestLostPeer expects a process whose peer goes away to say so in seconds.
func TestLostPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes that train; not with -short")
	}
	cmds := group(t, "", filepath.Join(t.TempDir(), "0"), "die")
	if err := cmds[1].Wait(); err != nil {
		t.Fatal(err)
	}
	gone := time.Now()
	var exit *exec.ExitError
	if err := cmds[0].Wait(); !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Errorf("the process left behind: %v, want exit status 5", err)
	}
	if took := time.Since(gone); took > 30*time.Second {
		t.Errorf("the process left behind took %v to notice", took)
	}
}
