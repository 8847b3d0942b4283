package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/setup/wheel"
)

// Pinned is a libtorch that pins.txt names, as it lies in a cache.
type Pinned struct {
	Version, Kind string // Kind is cpu or cuda
	Dir           string // the package's, with lib/ and include/
}

// Libtorch brings the pinned libtorch of o.Machine, with or without o.CUDA, into o.Cache:
// what engines are built against beforehand, for this machine or another. Of o these,
// Wheels and Say count.
func Libtorch(ctx context.Context, o Options) (p Pinned, err error) {
	pins, err := wheel.ReadPins(bytes.NewReader(pinned))
	if err != nil {
		return p, fmt.Errorf("pins.txt: %w", err)
	}
	o.Wheels.Work = filepath.Join(o.Cache, "downloads")
	r := run{o, pins}
	if err := durable.MkdirAll(o.Cache); err != nil {
		return p, err
	}
	lock, err := r.lock(ctx)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	t, err := r.bringTorch(ctx, torch{Done: Done{Part: Torch}})
	return Pinned{t.Version, r.kind(), t.dir}, err
}
