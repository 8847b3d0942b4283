package provenance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/regular"
)

// Chain is a thing and what it was made from, as far as that is at hand: each once, what is
// made before what it is made from.
type Chain struct {
	Things []*Thing // the one asked for first
	// Found says, by place in Things and in its From, which of Things an input is; what is
	// at hand nowhere is not in it.
	Found map[[2]int]int
	// Foreign are those of Options.At that nothing in Things was made from, such as a model
	// that has changed since.
	Foreign []*Thing

	partial func(path string) bool
}

// Options say where to look.
type Options struct {
	// At are paths of datasets, runs and models that something may be made from.
	At []string
	// Partial says of a path that it is a copy without the files that a dataset's manifest
	// speaks of; nil: none is.
	Partial func(path string) bool
}

// Trace follows what the thing at a path was made from through what is at hand: the paths of
// o, and what lies beside the files.
func Trace(ctx context.Context, path string, o Options) (*Chain, error) {
	first, err := Of(path)
	if err != nil {
		return nil, err
	}
	if first.Kind == Dataset && len(first.From) == 0 {
		return nil, fmt.Errorf("%s: a dataset whose manifest was lost or damaged, or of an earlier version: %w", path, ErrUnknown)
	}
	var others []*Thing
	for _, p := range o.At {
		t, err := Of(p)
		if err != nil {
			return nil, err
		}
		others = append(others, t)
	}
	c := &Chain{Things: []*Thing{first}, Found: map[[2]int]int{}, partial: o.Partial}
	for i := 0; i < len(c.Things); i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t := c.Things[i]
		for k, in := range t.From {
			found, err := find(in, t, others)
			if err != nil {
				return nil, err
			}
			if found == nil {
				continue
			}
			n := slices.IndexFunc(c.Things, func(o *Thing) bool { return o.Path == found.Path })
			if n < 0 {
				n = len(c.Things)
				c.Things = append(c.Things, found)
			}
			c.Found[[2]int{i, k}] = n
		}
	}
	c.Foreign = slices.DeleteFunc(others, c.hasPartIn)
	return c, nil
}

// hasPartIn says whether a thing, or one of the same sum, is what something here was made from,
// or a run that has one of the things here in its directory.
func (c *Chain) hasPartIn(o *Thing) bool {
	return slices.ContainsFunc(c.Things, func(t *Thing) bool {
		return o.Path == t.Path || slices.ContainsFunc(t.From, o.answers) || o.Kind == Run && regular.SameFile(filepath.Dir(t.Path), o.Path)
	})
}

// find looks for an input of t among other things, what is in their directories, and what lies
// beside t; nil where it is nowhere.
func find(in Input, t *Thing, others []*Thing) (*Thing, error) {
	dirs := []string{filepath.Dir(t.Path)}
	for _, o := range others {
		if o.answers(in) {
			return o, nil
		}
		if o.Kind == Run {
			dirs = append(dirs, o.Path)
		}
	}
	if in.Kind != Model {
		return nil, nil
	}
	for _, dir := range dirs {
		if found, err := modelIn(dir, in.Digest); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// modelIn is the file of a network of these bytes directly in a directory; nil where there is none.
func modelIn(dir string, want Digest) (*Thing, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), ".onnx") && !strings.HasSuffix(e.Name(), ".safetensors") {
			continue
		}
		one := Thing{Path: filepath.Join(dir, e.Name())}
		if err := one.sum(); err != nil {
			return nil, err
		}
		if one.Digest == want {
			return Of(one.Path)
		}
	}
	return nil, nil
}

// answers says whether a thing is an input of another, or holds it.
func (t *Thing) answers(in Input) bool {
	if in.Digest.Value == "" {
		return false
	}
	if t.Kind == in.Kind && t.Digest == in.Digest {
		return true
	}
	return t.Kind == in.Kind && slices.ContainsFunc(t.Files, func(f Input) bool { return f.Name == in.Name && f.Digest == in.Digest })
}

// Check is a sum that was computed again.
type Check struct {
	Path   string // of the file
	Digest Digest // as it is told
	OK     bool   // the file has it
}

// Check holds every file of datasets that is at hand to the sum that is told of it, and
// predictions to their own sums, which is prediction.ErrFormat where they are not what these say. A
// model is found by its sum, which is computed for that. A run's files are told of by nobody but
// the run.
func (c *Chain) Check(ctx context.Context) ([]Check, error) {
	var out []Check
	for _, t := range c.Things {
		if t.Kind == Predictions {
			if err := prediction.Verify(t.Path); err != nil {
				return nil, err
			}
		}
		if t.Kind != Dataset || c.partial != nil && c.partial(t.Path) {
			continue
		}
		for _, f := range t.Files {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			path := filepath.Join(t.Path, filepath.FromSlash(f.Name))
			sum, err := regular.SHA256(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			out = append(out, Check{path, f.Digest, sum == f.Digest.Value})
		}
	}
	slices.SortFunc(out, func(a, b Check) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}
