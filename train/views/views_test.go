package views

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
)

// TestWhatTrainingLeavesOut: images that are none, and nothing that a machine or a dataset lacks.
func TestWhatTrainingLeavesOut(t *testing.T) {
	told := 0
	v := &Views{o: Options{OnLeftOut: func(string, string, error) { told++ }}}
	decide := v.onError("train", func(int) string { return "a" })
	of := []error{pixel.ErrMalformed, pixel.ErrTruncated, pixel.ErrUnknownFormat}
	for _, err := range of {
		if decide(loader.Item{}, fmt.Errorf("an image: %w", err)) != nil {
			t.Errorf("%v ends a run", err)
		}
	}
	for _, err := range []error{shard.ErrCorrupt, os.ErrNotExist, unix.EMFILE, unix.EIO, unix.ELOOP} {
		if decide(loader.Item{}, fmt.Errorf("a shard: %w", err)) == nil {
			t.Errorf("%v is passed over as an image's", err)
		}
	}
	if told != len(of) {
		t.Errorf("told of %d images left out, not of %d", told, len(of))
	}
}
