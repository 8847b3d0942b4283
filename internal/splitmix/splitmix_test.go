package splitmix

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMix wants the first numbers that SplitMix64 gives for the seed 1234567, as its authors
// and others publish them.
func TestMix(t *testing.T) {
	want := []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821}
	var got []uint64
	for state := uint64(1234567); len(got) < len(want); {
		state += 0x9e3779b97f4a7c15
		got = append(got, Mix(state))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
}
