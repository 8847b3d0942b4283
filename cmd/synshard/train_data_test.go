package main

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
	decide := (&trainData{complained: maxComplaints}).onError("train", nil)
	for _, err := range []error{pixel.ErrMalformed, pixel.ErrTruncated, pixel.ErrUnknownFormat} {
		if decide(loader.Item{}, fmt.Errorf("an image: %w", err)) != nil {
			t.Errorf("%v ends a run", err)
		}
	}
	for _, err := range []error{shard.ErrCorrupt, os.ErrNotExist, unix.EMFILE, unix.EIO, unix.ELOOP} {
		if decide(loader.Item{}, fmt.Errorf("a shard: %w", err)) == nil {
			t.Errorf("%v is passed over as an image's", err)
		}
	}
}
