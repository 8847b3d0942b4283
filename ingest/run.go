package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// job is one call of Run.
type job struct {
	plan  *Plan
	o     *Options
	state *record.State

	splits []string // whose indexes are written
	units  []unit   // of these splits; streams add theirs as they are met

	classes    []shard.Class // by label
	names      []string      // of classes, by label
	labelOf    map[string]int
	labels     []int64 // by place in the plan's classes
	firstClass string  // in the order of shards

	have     *shard.Manifest    // of the dataset that is amended; nil: there was none
	amended  record.Fingerprint // of the dataset as it becomes
	reopened []string           // splits of it that change

	placing sync.Mutex // plan.place
	met     met        // units of streams
	left    skips      // what was left out: what the plan knew of, and what was met since

	recorded map[record.Unit]done // what jobs of an array did, where this call joins them
	read     func(record.Unit) (*record.Record, error)
}

// Run does what a plan says. The dataset's directory is locked meanwhile
// (durable.ErrLocked), and looked at again. A cancelled context leaves finished
// units for the next call. What there was before and does not agree with the plan is a
// *DifferError; damage to it is shard.ErrCorrupt.
func Run(ctx context.Context, p *Plan) (Summary, error) {
	if p.o.Jobs > 0 {
		return p.runJob(ctx)
	}
	if err := p.o.Out.MkdirAll("."); err != nil {
		return Summary{}, err
	}
	lock, err := p.o.Out.TryLock(shard.LockName)
	if err != nil {
		return Summary{}, fmt.Errorf("%s: %w", p.o.Out, err)
	}
	defer lock.Unlock()
	found, err := p.inspect(ctx)
	if err != nil {
		return Summary{}, err
	}
	sum, err := newJob(p).do(ctx, found)
	var differ *DifferError
	if p.o.Overwrite && (errors.As(err, &differ) || errors.Is(err, shard.ErrCorrupt)) { // seen only when images or shards were read
		return newJob(p).do(ctx, &standing{kind: otherwise})
	}
	return sum, err
}

func newJob(p *Plan) *job {
	j := &job{plan: p, o: &p.o, state: record.StateIn(p.o.Out)}
	j.read = j.made
	j.left.list = slices.Clone(p.skips.list)
	return j
}

// do does what there is to do in a directory that was found so.
func (j *job) do(ctx context.Context, found *standing) (Summary, error) {
	switch found.kind {
	case otherwise:
		if err := clearDataset(j.o.Out); err != nil {
			return Summary{}, err
		}
		return j.make(ctx)
	case nothing, unfinished:
		return j.make(ctx)
	case amendable:
		return j.amend(ctx, found)
	}
	return j.nothingToDo(ctx, found)
}

// make makes a dataset, or goes on with one.
func (j *job) make(ctx context.Context) (Summary, error) {
	j.number(j.plan.Classes, nil)
	if err := j.state.Begin(record.Started{Fingerprint: j.plan.print}); err != nil {
		return Summary{}, err
	}
	j.splits = j.plan.splitNames()
	j.units = slices.Clone(j.plan.units)
	if err := j.process(ctx); err != nil {
		return Summary{}, err
	}
	return j.finish(j.ending())
}

// number gives the classes their labels. A dataset that is amended has its own.
func (j *job) number(names []string, have []shard.Class) {
	j.names, j.classes, j.labelOf = names, have, map[string]int{}
	for i, name := range names {
		if have == nil {
			j.classes = append(j.classes, j.plan.class(i, name))
		}
		j.labelOf[name] = i
	}
	for _, name := range j.plan.Classes {
		label, ok := j.labelOf[name]
		if !ok {
			label = -1 // inspect has seen that no image has it
		}
		j.labels = append(j.labels, int64(label))
	}
	if len(names) > 0 {
		j.firstClass = slices.Min(names)
	}
}

// process writes all units that are not finished.
func (j *job) process(ctx context.Context) error {
	if err := j.state.List(); err != nil {
		return err
	}
	for _, from := range j.sources(slices.Clone(j.units), j.splits) {
		if err := j.processOf(ctx, from, j.workOn); err != nil {
			return err
		}
	}
	return j.plan.set.unchanged()
}

// unitSource gives units one after the other. submit takes a unit over, waiting
// until there is a worker for it; it returns false where the unit's images are
// not needed. A unit that was not listed before is added to the job's.
type unitSource interface {
	units(ctx context.Context, submit func(*unit) (bool, error)) error
}

// listed are units that are known before they are read.
type listed []unit

func (l listed) units(_ context.Context, submit func(*unit) (bool, error)) error {
	for i := range l {
		if _, err := submit(&l[i]); err != nil {
			return err
		}
	}
	return nil
}

// processOf does the work that there is on each unit, some at a time. What it wrote before an
// error, and which error, is the same in every call.
func (j *job) processOf(ctx context.Context, from unitSource, workOn func(*unit) func(context.Context) error) error {
	workers, giving := inorder.New(ctx, j.o.Workers)
	_, known := from.(listed)
	err := from.units(giving, func(u *unit) (bool, error) {
		if err := giving.Err(); err != nil {
			return false, err
		}
		if !known {
			j.units = append(j.units, *u)
		}
		work := workOn(u)
		if work == nil {
			return false, nil
		}
		began := workers.Go(func(ctx context.Context) error {
			if err := work(ctx); !errors.Is(err, errNotWhole) {
				return err
			}
			return nil // the reason is another's
		})
		if !began {
			return false, giving.Err()
		}
		return true, nil
	})
	if werr := workers.Wait(); werr != nil && !(err != nil && errors.Is(werr, context.Canceled)) {
		return werr
	}
	return err
}

// done gives the record of a unit that is finished, from the same inputs, and all of it what
// was written.
func (j *job) done(u *unit) (r *record.Record, done bool, err error) {
	if r, done, err = j.state.Done(u.Unit, u.sum); !done || err != nil {
		return nil, false, err
	}
	switch err := j.state.Sound(r); {
	case shard.Damage(err):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return r, true, nil
}

// workOn says what there is to do with a unit: nothing, or to write it. One that is
// finished is held to its sums first, and to its source where that is a pipe.
func (j *job) workOn(u *unit) func(context.Context) error {
	if u.kept {
		return nil
	}
	write := func(ctx context.Context) error { return j.write(ctx, u) }
	if !u.streamed {
		return func(ctx context.Context) error {
			if _, done, err := j.done(u); done || err != nil {
				return err
			}
			return write(ctx)
		}
	}
	switch r, done, err := j.done(u); {
	case err != nil:
		return func(context.Context) error { return err }
	case !done:
		return write
	case !u.unknown:
		return nil
	default:
		return func(ctx context.Context) error {
			want := newComparison(r.Rows, r.Rejected)
			if err := j.compareUnit(ctx, u, want); err != nil {
				return err
			}
			return want.result(j, u.String())
		}
	}
}

// nothingToDo ends a call over a dataset that is made from the same sources in
// the same way. What was touched, or is a pipe, is read again and compared. The
// manifest gets a fresh time, as Make wants of a target.
func (j *job) nothingToDo(ctx context.Context, found *standing) (Summary, error) {
	m := found.manifest
	if len(found.touched) > 0 {
		if err := j.reread(ctx, found); err != nil {
			return Summary{}, err
		}
		if err := shard.WriteManifest(j.o.Out, *m); err != nil {
			return Summary{}, err
		}
	}
	if j.names == nil {
		j.number(found.names(), found.classes)
	}
	return j.finishAlready(ctx, found)
}

// finishAlready ends a call that found all done, once all of it is what was written.
func (j *job) finishAlready(ctx context.Context, found *standing) (Summary, error) {
	if err := asWritten(ctx, j.o.Out, found.manifest, j.o.Workers); err != nil {
		return Summary{}, err
	}
	for _, name := range []string{shard.ManifestName, "."} {
		if err := j.o.Out.Touch(name); err != nil {
			return Summary{}, err
		}
	}
	s := j.summary(found.manifest, j.inner())
	s.Already = true
	s.Skipped = found.print.Skipped
	if begun, err := j.state.Exists(); !begun || err != nil {
		return s, err
	}
	if err := inspectRejected(j.o.Out, found.manifest); err != nil {
		return Summary{}, err
	}
	return s, j.state.Remove() // which a killed call may have left
}

// clearDataset removes what ingest made in a directory, and nothing else. A
// directory without a dataset, or the beginnings of one, is left alone.
func clearDataset(out files.Dir) error {
	s := record.StateIn(out)
	// The state says until the end that what lies here is to be made.
	if err := s.Clear(); err != nil {
		return err
	}
	err := out.Remove(shard.ManifestName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := out.Sync("."); err != nil {
		return err
	}
	for _, name := range []string{"train", "val", "test", shard.ClassesName, shard.RejectedName, shard.RejectedDir} {
		if err := out.RemoveAll(name); err != nil {
			return err
		}
	}
	return s.Remove()
}

// sourceOf names the sources of a split.
func sourceOf(prints []record.SplitPrint) string {
	s := ""
	for i := range prints {
		if i > 0 {
			s += " + "
		}
		s += prints[i].Source
	}
	return s
}

// isNotDataset says that a directory is no dataset, or not there at all.
func isNotDataset(err error) bool {
	return errors.Is(err, shard.ErrNotDataset) || errors.Is(err, fs.ErrNotExist)
}
