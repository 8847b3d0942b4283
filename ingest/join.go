package ingest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source/layout"
	"github.com/synshard/synshard/storage/files"
)

// done is a unit that a job of an array recorded.
type done struct {
	job    string        // as "3/8"
	record record.Digest // of the unit
}

// JoinError is jobs of an array that do not make a dataset.
type JoinError struct {
	Out      string   // the directory
	Problems []string // a phrase each, with the jobs that it is of
}

func (e *JoinError) Error() string {
	return e.Out + ": its jobs do not make a dataset: " + strings.Join(e.Problems, "; ")
}

// Join makes the dataset that the jobs of an array made, and reads
// no source. Jobs that are missing, are of another array or did the same twice are
// a *JoinError that names them; what is not as a job left it is shard.ErrCorrupt.
// A dataset that is joined already stays as it is. The shards are read, to hold them to
// their sums; a cancelled context leaves what the jobs left.
func Join(ctx context.Context, out files.Dir) (Summary, error) {
	j := &job{o: &Options{Out: out, Workers: processors.Count()}, state: record.StateIn(out)}
	if _, err := shard.ReadManifest(out); isNotDataset(err) {
		switch begun, err := j.state.Exists(); {
		case err != nil:
			return Summary{}, err
		case !begun:
			return Summary{}, &JoinError{out.String(), []string{"none has begun"}}
		}
	}
	lock, err := out.TryLock(shard.LockName)
	if err != nil {
		return Summary{}, fmt.Errorf("%s: %w", out, err)
	}
	defer lock.Unlock()
	m, err := shard.ReadManifest(out)
	switch {
	case err == nil:
		return j.joinedAlready(ctx, &m)
	case !isNotDataset(err):
		return Summary{}, err
	}
	jobs, err := j.state.Jobs()
	if err != nil {
		return Summary{}, fmt.Errorf("%w; run that job again", err)
	}
	array, err := j.fit(jobs)
	if err != nil {
		return Summary{}, err
	}
	if j.classes, err = shard.ReadClasses(out, array.ClassesSHA256); err != nil {
		return Summary{}, fmt.Errorf("%w; run a job again", err)
	}
	j.splits = slices.Sorted(maps.Keys(array.Fingerprint.Splits))
	e := ending{print: array.Fingerprint, wordnet: array.WordNet, told: jobs[0].Told}
	lists := [][]layout.Skipped{e.told.Skipped}
	for _, one := range jobs {
		lists = append(lists, one.Met)
	}
	e.skipped = mergeSkips(lists...)
	j.read = j.asLeft(ctx)
	return j.finish(e)
}

const (
	// heldAtOnce and mostHeld bound what of shards is held to its sums at a time: in bytes of
	// all, and of one, which is read piece by piece.
	heldAtOnce = 64 << 20
	mostHeld   = 8 << 20
)

// asLeft gives the records of units that jobs left, once they and their shards are what the
// jobs wrote, byte for byte. Each is read once, of small ones many at a time.
func (j *job) asLeft(ctx context.Context) func(record.Unit) (*record.Record, error) {
	room := semaphore.NewWeighted(heldAtOnce)
	return func(id record.Unit) (*record.Record, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := j.state.Load(id)
		if err != nil {
			return nil, j.damaged(id, err)
		}
		if r.Sum() != j.recorded[id].record {
			return nil, j.lost(id)
		}
		var size int64
		for _, f := range r.Shards {
			size += f.Size
		}
		size = min(size, mostHeld)
		if err := room.Acquire(ctx, size); err != nil {
			return nil, err
		}
		defer room.Release(size)
		return r, j.damaged(id, j.state.Sound(r))
	}
}

// joinedAlready ends a join over a whole dataset.
func (j *job) joinedAlready(ctx context.Context, m *shard.Manifest) (Summary, error) {
	print, ok := record.Of(m)
	set, err := open(j.o.Out)
	if err != nil {
		return Summary{}, err
	}
	defer set.Close()
	if ok {
		if err := sound(set, j.o.Out, m, print); err != nil {
			return Summary{}, err
		}
	}
	j.classes = set.Classes()
	return j.finishAlready(ctx, &standing{kind: whole, manifest: m, print: print})
}

// fit wants the jobs to be all of one array, and their units all that there are,
// once each. It notes them.
func (j *job) fit(jobs []*record.Job) (*record.Array, error) {
	if len(jobs) == 0 {
		return nil, &JoinError{j.o.Out.String(), []string{"none is done"}}
	}
	problems := missing(jobs)
	first, err := j.state.Array(jobs[0])
	if err != nil {
		return nil, fmt.Errorf("%w; run that job again", err)
	}
	arrays := map[record.Digest][]string{}
	for _, one := range jobs[1:] {
		if one.Array != jobs[0].Array {
			arrays[one.Array] = append(arrays[one.Array], placeOf(one))
		}
	}
	for _, one := range jobs[1:] {
		names := arrays[one.Array]
		if delete(arrays, one.Array); names == nil {
			continue
		}
		other, err := j.state.Array(one)
		if err != nil {
			return nil, fmt.Errorf("%w; run that job again", err)
		}
		problems = append(problems, fmt.Sprintf("job %s is of another array than job %s: %s", record.Some(names), placeOf(jobs[0]), strings.Join(record.DifferentArrays(first, other), ", ")))
	}
	if len(problems) > 0 {
		return nil, &JoinError{j.o.Out.String(), problems}
	}
	return first, j.collect(jobs, first)
}

func placeOf(j *record.Job) string { return fmt.Sprintf("%d/%d", j.Index, j.Jobs) }

// missing names the jobs that are not done of the arrays that there are.
func missing(jobs []*record.Job) (problems []string) {
	have := map[int]map[int]bool{}
	for _, one := range jobs {
		if have[one.Jobs] == nil {
			have[one.Jobs] = map[int]bool{}
		}
		have[one.Jobs][one.Index] = true
	}
	for _, n := range slices.Sorted(maps.Keys(have)) {
		var names []string
		for i := range n {
			if !have[n][i] {
				names = append(names, fmt.Sprintf("%d/%d", i, n))
			}
		}
		if len(names) > 0 {
			problems = append(problems, fmt.Sprintf("job %s is not done", record.Some(names)))
		}
	}
	return problems
}

// collect notes the units of all jobs.
func (j *job) collect(jobs []*record.Job, a *record.Array) error {
	j.recorded = map[record.Unit]done{}
	var listed []record.Done
	var problems []string
	for _, one := range jobs {
		for _, d := range one.Done {
			if before, ok := j.recorded[d.Unit]; ok {
				problems = append(problems, fmt.Sprintf("%s is of job %s and of job %s", d.Unit, before.job, placeOf(one)))
			}
			j.recorded[d.Unit] = done{placeOf(one), d.Record}
			j.units = append(j.units, unit{Unit: d.Unit})
			if d.Listed {
				listed = append(listed, d)
			}
		}
	}
	if len(listed) != a.Units || record.SumUnits(listed) != a.UnitsSHA256 {
		problems = append(problems, fmt.Sprintf("they have %d units of the sources, and the sources have %d", len(listed), a.Units))
	}
	if len(problems) > 3 {
		problems = append(problems[:3], fmt.Sprintf("and %d more", len(problems)-3))
	}
	if len(problems) > 0 {
		return &JoinError{j.o.Out.String(), problems}
	}
	return nil
}
