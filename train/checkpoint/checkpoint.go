// Package checkpoint is a training run's state on disk: safetensors files that hold
// weights, averages, optimiser state and where the run stands, and what becomes of
// weights in other hands. FORMAT.md says what a file holds.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/runlog"
)

// ErrDamaged marks a checkpoint whose bytes are not those that were written.
var ErrDamaged = errors.New("checkpoint damaged")

// Dir is where checkpoints lie, in the run's directory.
const Dir = "checkpoints"

// Version is what this program writes and the only one that it reads.
const Version = 1

const (
	namePrefix = "step-"
	nameSuffix = ".safetensors"
)

// Position is where a run stands and what must stay the same for it to go on:
// the next sample is number Sample of epoch Epoch's order under Seed.
type Position struct {
	Version      int                 `json:"version"` // of the format
	Step         int64               `json:"step"`    // optimiser steps done
	Epoch        int                 `json:"epoch"`   // epoch under way, from 0
	Sample       int64               `json:"sample"`  // samples of it already used
	Images       int64               `json:"images"`  // training images used in all
	Seconds      float64             `json:"seconds"` // of training steps in all
	Seed         uint64              `json:"seed"`
	Batch        int                 `json:"batch"`               // images an optimiser step
	Rows         int                 `json:"rows"`                // images of the training set
	Model        string              `json:"model"`               // as model.New names it
	Width        float64             `json:"width"`               // of the network's channels
	Classes      string              `json:"classes"`             // digest of the class list
	Microbatches int                 `json:"accumulate"`          // that a batch is worked through in
	Optimizer    string              `json:"optimizer"`           // rmsprop, sgd or adamw
	Evals        []runlog.Evaluation `json:"evals,omitempty"`     // one an epoch validated
	MadeFrom     Identity            `json:"made_from,omitempty"` // nil: written by a version that kept none
}

// BestEval gives the validation with the highest top-1 (of the averaged weights
// where there are such), the earliest on a tie; false where there was none. One that is not
// finite, with which earlier versions went on, is none.
func (p *Position) BestEval() (runlog.Evaluation, bool) {
	var best runlog.Evaluation
	found := false
	for _, e := range p.Evals {
		if e.Finite() && (!found || e.Best().Accuracy() > best.Best().Accuracy()) {
			best, found = e, true
		}
	}
	return best, found
}

func fileName(step int64) string {
	return fmt.Sprintf("%s%09d%s", namePrefix, step, nameSuffix)
}

// Steps lists the steps a run directory has checkpoints of, whole or not,
// ascending. A directory that is not there has none.
func Steps(dir string) ([]int64, error) {
	entries, err := os.ReadDir(filepath.Join(dir, Dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var steps []int64
	for _, e := range entries {
		if n, ok := stepOf(e.Name()); ok {
			steps = append(steps, n)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// stepOf is the step of a checkpoint's file.
func stepOf(name string) (int64, bool) {
	middle, ok := strings.CutPrefix(name, namePrefix)
	middle, ended := strings.CutSuffix(middle, nameSuffix)
	n, err := strconv.ParseInt(middle, 10, 64)
	return n, ok && ended && err == nil && n >= 0 && fileName(n) == name
}

// NewestOf gives, of names in a run directory with slashes, that of the newest
// checkpoint; false where there is none.
func NewestOf(names []string) (newest string, ok bool) {
	last := int64(-1)
	for _, name := range names {
		if base, in := strings.CutPrefix(name, Dir+"/"); in {
			if n, is := stepOf(base); is && n > last {
				newest, last = name, n
			}
		}
	}
	return newest, last >= 0
}

// Path is the file of one step's checkpoint.
func Path(dir string, step int64) string {
	return filepath.Join(dir, Dir, fileName(step))
}

// Write writes a checkpoint of p.Step into a run directory, whole or not at all,
// and gives its path.
func Write(dir string, p Position, spec model.Spec, tensors []model.Tensor) (string, error) {
	path := Path(dir, p.Step)
	meta, err := metadata(p, spec)
	if err != nil {
		return "", err
	}
	meta[weights.SumKey] = weights.Sum(tensors, meta)
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return "", err
	}
	err = durable.WriteFile(path, func(w io.Writer) error { return weights.WriteSafetensors(w, tensors, meta) })
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	return path, nil
}

func metadata(p Position, spec model.Spec) (map[string]string, error) {
	state, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return map[string]string{"format": "pt", weights.StateKey: string(state), model.SpecKey: spec.JSON()}, nil
}

// Checkpoint is what one file holds.
type Checkpoint struct {
	Position Position       // where the run stands
	Spec     model.Spec     // how images are made ready, and the classes
	Tensors  []model.Tensor // the engine's whole state: weights, averages, the optimiser's slots
}

// Read reads a checkpoint and checks every byte of it; what is wrong with it is
// ErrDamaged, unless it cannot be opened at all or is whole and of another
// Version.
func Read(path string) (*Checkpoint, error) {
	damaged := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %w", path, ErrDamaged, fmt.Errorf(format, args...))
	}
	f, info, err := regular.Open(path)
	if errors.Is(err, regular.ErrUnfit) {
		return nil, damaged("%w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	defer f.Close()
	tensors, meta, err := weights.ReadSafetensors(f, info.Size())
	if err != nil {
		return nil, damaged("%w", err)
	}
	if meta[weights.SumKey] == "" {
		return nil, damaged("it has no %s", weights.SumKey)
	}
	c := Checkpoint{Tensors: tensors}
	if err := json.Unmarshal([]byte(meta[weights.StateKey]), &c.Position); err != nil {
		return nil, damaged("%s: %w", weights.StateKey, err)
	}
	if v := c.Position.Version; v != Version {
		return nil, fmt.Errorf("%s: checkpoint version %d, this program knows %d", path, v, Version)
	}
	if c.Spec, err = model.ParseSpec(meta[model.SpecKey]); err != nil {
		return nil, damaged("%s: %w", model.SpecKey, err)
	}
	return &c, nil
}

// ReadPosition reads where a checkpoint of so many bytes stands, and nothing else of it: its
// tensors may be damaged.
func ReadPosition(r io.ReaderAt, size int64) (p Position, err error) {
	meta, err := weights.ReadMetadata(r, size)
	if err != nil {
		return p, fmt.Errorf("checkpoint: %w", err)
	}
	if err := json.Unmarshal([]byte(meta[weights.StateKey]), &p); err != nil {
		return p, fmt.Errorf("checkpoint: %s: %w", weights.StateKey, err)
	}
	return p, nil
}

// Newest reads the newest checkpoint that is whole; nil when there is none at all.
// onDamaged is told of each damaged one on the way, newest first, and an error from
// it ends the search. When every one is damaged that is ErrDamaged.
func Newest(dir string, onDamaged func(path string, err error) error) (*Checkpoint, error) {
	steps, err := Steps(dir)
	if err != nil {
		return nil, err
	}
	var last error
	for _, step := range slices.Backward(steps) {
		path := Path(dir, step)
		c, err := Read(path)
		if err == nil && c.Position.Step != step {
			err = fmt.Errorf("%s: %w: it holds step %d", path, ErrDamaged, c.Position.Step)
		}
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		if err := onDamaged(path, err); err != nil {
			return nil, err
		}
		last = err
	}
	if last != nil {
		return nil, fmt.Errorf("no whole checkpoint is left in %s (the last: %w); to start afresh remove the directory",
			filepath.Join(dir, Dir), last)
	}
	return nil, nil
}

// asideSuffix is of a checkpoint that was set aside.
const asideSuffix = ".damaged"

// SetAside renames a damaged checkpoint, to its path and ".damaged", so that it is
// none any more, and gives its new path.
func SetAside(path string) (string, error) {
	aside := path + asideSuffix
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("set aside: %w", err)
	}
	return aside, nil
}

// Kept are those of steps, ascending, whose checkpoints stay: the newest keep, and
// that of step best. Without hasBest there is none.
func Kept(steps []int64, keep int, best int64, hasBest bool) []int64 {
	var out []int64
	for i, step := range steps {
		if i >= len(steps)-keep || hasBest && step == best {
			out = append(out, step)
		}
	}
	return out
}

// bestName is the link to the checkpoint whose validation was best.
const bestName = "best.safetensors"

// Prune removes all checkpoints that are not Kept, and points best.safetensors at the
// best one, at no other where that is not there.
func Prune(dir string, keep int, best int64, hasBest bool) error {
	steps, err := Steps(dir)
	if err != nil {
		return err
	}
	kept := Kept(steps, keep, best, hasBest)
	for _, step := range steps {
		if slices.Contains(kept, step) {
			continue
		}
		if err := os.Remove(Path(dir, step)); err != nil {
			return fmt.Errorf("remove old checkpoint: %w", err)
		}
	}
	to, link := filepath.Join(Dir, fileName(best)), filepath.Join(dir, bestName)
	if hasBest && slices.Contains(steps, best) {
		return relink(to, link)
	}
	if was, err := os.Readlink(link); err == nil && (!hasBest || was != to) {
		return os.Remove(link)
	}
	return nil
}

// Whole holds the checkpoint of a step, all of it, to its sum; ErrDamaged says that it is
// not what was written, or not there.
func Whole(dir string, step int64) error {
	path := Path(dir, step)
	c, err := Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: it is missing", path, ErrDamaged)
	case err != nil:
		return err
	case c.Position.Step != step:
		return fmt.Errorf("%s: %w: it holds step %d", path, ErrDamaged, c.Position.Step)
	}
	return nil
}

// Forget sets the checkpoint of a step aside where there is something in its place, and
// removes best.safetensors where that leads to it.
func Forget(dir string, step int64) error {
	path := Path(dir, step)
	_, err := os.Lstat(path)
	if err == nil {
		_, err = SetAside(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	link := filepath.Join(dir, bestName)
	if to, err := os.Readlink(link); err == nil && to == filepath.Join(Dir, fileName(step)) {
		return os.Remove(link)
	}
	return nil
}

// RemoveAll removes every checkpoint of a run directory, those that were set aside, and
// best.safetensors.
func RemoveAll(dir string) error {
	if err := os.Remove(filepath.Join(dir, bestName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(dir, Dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list checkpoints: %w", err)
	}
	for _, e := range entries { // by name: the newest last
		if _, ok := stepOf(strings.TrimSuffix(e.Name(), asideSuffix)); !ok {
			continue
		}
		if err := os.Remove(filepath.Join(dir, Dir, e.Name())); err != nil {
			return fmt.Errorf("remove checkpoint: %w", err)
		}
	}
	return nil
}

// relink makes name a symbolic link to target, replacing what it was in one
// step.
func relink(target, name string) error {
	tmp := name + ".new" // which a killed call may have left
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if have, err := os.Readlink(name); err == nil && have == target {
		return nil
	}
	if err := os.Symlink(target, tmp); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return nil
}
