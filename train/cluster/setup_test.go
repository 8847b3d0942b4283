package cluster

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/synshard/synshard/internal/native/nativetest"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/torch"
	"github.com/synshard/synshard/train/traintest"
)

// TestMain lets the test binary be one process of a group.
func TestMain(m *testing.M) {
	if lib := os.Getenv("SYNSHARD_TEST_SERVE"); lib != "" {
		s, err := torch.Open(lib)
		if err == nil {
			_, err = Serve(dyingBackend{s, os.Getenv("SYNSHARD_TEST_DIES")}, os.Stdin, os.Stdout, Serving{})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if port := os.Getenv("SYNSHARD_TEST_FOLLOW"); port != "" {
		if err := followProcess(port); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// followProcess is rank 1 of a launched group; it ends with an error unless
// rank 0 ends with 7.
func followProcess(port string) error {
	l := Launch{Rank: 1, World: 2, LocalWorld: 2, MasterAddr: "127.0.0.1"}
	var err error
	if l.MasterPort, err = strconv.Atoi(port); err != nil {
		return err
	}
	s, err := torch.Open(os.Getenv("SYNSHARD_TEST_LIB"))
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	close(stop)
	code, err := Follow(context.Background(), s, l, Trust{Secret: testSecret}, Serving{Stop: stop, Adjust: func(c *train.EngineConfig) { c.Device = traintest.RankDevice(l.Rank) }})
	if err == nil && code != 7 {
		err = fmt.Errorf("rank 0 ended with %d", code)
	}
	return err
}

const groupSteps = 3

func testSecret() ([]byte, error) { return []byte("a secret of the tests' own"), nil }

// shim opens the real library, or skips the test, saying what it needs.
func shim(t testing.TB) *torch.Shim {
	t.Helper()
	s, err := torch.Open(nativetest.Torch(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func engine(t testing.TB, cfg train.EngineConfig) *torch.Engine {
	t.Helper()
	n := traintest.Narrow(t)
	e, err := shim(t).New(n, cfg)
	return traintest.Filled(t, n, e, err)
}
