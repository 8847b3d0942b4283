package ingest

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source/layout"
)

// Several calls may make one dataset in one directory: the jobs of an array, each
// a part of the units, and Join, which does what is left to do when all are
// there. A job makes the whole plan, which is the same for all, and does its
// share of it; units and their records are those of one call, so that the bytes
// are too.

// share is what one call does of a plan.
type share struct {
	units   []unit
	streams map[int]bool // inputs that are read front to back; nil: all of them
}

// reads says whether an input that is read front to back is this share's.
func (s *share) reads(input int) bool { return s.streams == nil || s.streams[input] }

// place names a job for people; "" where there is no array.
func (o *Options) place() string {
	if o.Jobs == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", o.Job, o.Jobs)
}

// perUnit is what a unit costs beside its bytes, in bytes: files are made, synced
// and listed.
const perUnit = 64 << 10

// shareOut gives this call its share: a run of the listed units, and of the
// streams behind them, about as many bytes as every other job's. Streams whose
// images are cut into pieces are one job's together, because each goes on
// numbering where the one before ends.
func (p *Plan) shareOut() share {
	if p.o.Jobs == 0 {
		return share{units: p.units}
	}
	s := share{streams: map[int]bool{}}
	var weights []int64
	for i := range p.units {
		weights = append(weights, perUnit+p.units[i].bytes)
	}
	groups := p.streamGroups()
	for _, g := range groups {
		var size int64
		for _, input := range g {
			size += p.set.list[p.set.inputs[input]].info.Size
		}
		weights = append(weights, perUnit+size)
	}
	first, last := rangeOf(weights, p.o.Job, p.o.Jobs)
	n := len(p.units)
	s.units = p.units[min(first, n):min(last, n)]
	for _, g := range groups[max(first-n, 0):max(last-n, 0)] {
		for _, input := range g {
			s.streams[input] = true
		}
	}
	return s
}

// streamGroups lists the inputs that are read front to back, those together that
// one job must read.
func (p *Plan) streamGroups() [][]int {
	var pieces []int
	var out [][]int
	for i, at := range p.set.inputs {
		if !p.set.list[at].info.Sequential {
			continue
		}
		if slices.ContainsFunc(p.splitNames(), func(split string) bool { return !p.byClass[split] && p.holds(i, []string{split}) }) {
			pieces = append(pieces, i)
		} else {
			out = append(out, []int{i})
		}
	}
	if pieces != nil {
		out = append(out, pieces)
	}
	return out
}

// rangeOf gives the run first <= k < last of things that is share i of n: those whose
// middle lies in it, when all weights stand in a row.
func rangeOf(weights []int64, i, n int) (first, last int) {
	var total, before uint64
	for _, w := range weights {
		total += uint64(w)
	}
	first, last = -1, 0
	for k, w := range weights {
		hi, lo := bits.Mul64(before+uint64(w)/2, uint64(n))
		of, _ := bits.Div64(hi, lo, total)
		if before += uint64(w); of == uint64(i) {
			if first < 0 {
				first = k
			}
			last = k + 1
		}
	}
	return max(first, 0), last
}

// runJob does one job's share. The directory is shared with the other jobs of the
// array, and with nobody else meanwhile (durable.ErrLocked); so is the job.
func (p *Plan) runJob(ctx context.Context) (Summary, error) {
	if err := p.o.Out.MkdirAll("."); err != nil {
		return Summary{}, err
	}
	shared, err := p.o.Out.TryShare(shard.LockName, record.JobName(p.o.Job, p.o.Jobs))
	if err != nil {
		return Summary{}, fmt.Errorf("%s: %w", p.o.Out, err)
	}
	defer shared.Unlock()
	found, err := p.inspect(ctx)
	if err != nil {
		return Summary{}, err
	}
	j := newJob(p)
	if found.kind == whole {
		return j.nothingToDo(ctx, found)
	}
	j.number(p.Classes, nil)
	if err := j.beginTogether(); err != nil {
		return Summary{}, err
	}
	own, err := j.state.LockJob(p.o.Job, p.o.Jobs)
	if err != nil {
		return Summary{}, fmt.Errorf("job %s: %w", p.o.place(), err)
	}
	defer own.Unlock()
	if s, done, err := j.alreadyDone(); done || err != nil {
		return s, err
	}
	if err := j.state.BeginJob(p.o.Job, p.o.Jobs); err != nil {
		return Summary{}, err
	}
	j.splits, j.units = p.splitNames(), slices.Clone(p.mine.units)
	if err := j.process(ctx); err != nil {
		return Summary{}, err
	}
	return j.endJob()
}

// beginTogether notes what is being made where no job has, or where its sources
// were touched since.
func (j *job) beginTogether() error {
	was, ok, err := j.state.Started()
	if err == nil && ok && slices.Equal(was.Fingerprint.Encode(), j.plan.print.Encode()) {
		return nil
	}
	return j.state.Begin(record.Started{Fingerprint: j.plan.print})
}

// endJob records that a job's units are there, and sums up what it did.
func (j *job) endJob() (Summary, error) {
	o := j.o
	array, err := j.array(true)
	if err != nil {
		return Summary{}, err
	}
	done := &record.Job{Index: o.Job, Jobs: o.Jobs, Told: j.told(), Met: j.metInStreams()}
	sum := Summary{Out: o.Out.String(), Job: o.place(), Splits: map[string]int64{}, Classes: len(j.classes), Skipped: done.Met}
	slices.SortFunc(j.units, func(a, b unit) int { return record.CompareUnits(a.Unit, b.Unit) })
	for i := range j.units {
		u := &j.units[i]
		r, err := j.made(u.Unit)
		if err != nil {
			return Summary{}, err
		}
		done.Done = append(done.Done, record.Done{Unit: u.Unit, Inputs: r.Inputs, Record: r.Sum(), Listed: !u.streamed})
		sum.add(r)
	}
	return sum, j.state.FinishJob(done, array)
}

// add counts what a unit has.
func (s *Summary) add(r *record.Record) {
	s.Images += int64(len(r.Rows))
	s.Splits[r.Unit.Split] += int64(len(r.Rows))
	s.Rejected += int64(len(r.Rejected))
	s.Skipped = mergeSkips(s.Skipped, r.Skipped)
	for i := range r.Rows {
		s.Bytes += r.Rows[i].Length
	}
}

// array is what all jobs have in common. With write the class list is written.
func (j *job) array(write bool) (*record.Array, error) {
	a := &record.Array{Jobs: j.o.Jobs, Fingerprint: j.plan.print, Units: len(j.plan.units)}
	if j.o.WordNet != nil {
		a.WordNet = j.o.WordNet.Version()
	}
	var listed []record.Done
	for i := range j.plan.units {
		u := &j.plan.units[i]
		listed = append(listed, record.Done{Unit: u.Unit, Inputs: u.sum})
	}
	a.UnitsSHA256 = record.SumUnits(listed)
	if !write {
		return a, nil
	}
	var err error
	a.ClassesSHA256, err = shard.WriteClasses(j.o.Out, j.classes)
	return a, err
}

// alreadyDone says whether the job was done before, of the same array, and all that
// it left is there, by its sums.
func (j *job) alreadyDone() (sum Summary, done bool, err error) {
	o := j.o
	left, err := j.state.Job(o.Job, o.Jobs)
	if err != nil {
		return Summary{}, false, nil
	}
	was, err := j.state.Array(left)
	if err != nil {
		return Summary{}, false, nil
	}
	now, err := j.array(false)
	if err != nil {
		return Summary{}, false, nil
	}
	now.ClassesSHA256 = was.ClassesSHA256
	if sum, err := now.Sum(); err != nil || sum != left.Array {
		return Summary{}, false, nil
	}
	if classes, err := shard.ReadClasses(o.Out, was.ClassesSHA256); err != nil || !slices.EqualFunc(classes, j.classes, sameClass) {
		return Summary{}, false, nil
	}
	s := Summary{Out: o.Out.String(), Job: o.place(), Splits: map[string]int64{}, Classes: len(j.classes), Skipped: left.Met, Already: true}
	for _, d := range left.Done {
		r, err := j.state.Read(d.Unit)
		if err == nil && r.Sum() != d.Record {
			return Summary{}, false, nil
		}
		if err == nil {
			err = j.state.Sound(r)
		}
		switch {
		case shard.Damage(err):
			return Summary{}, false, nil
		case err != nil:
			return Summary{}, false, err
		}
		s.add(r)
	}
	return s, true, nil
}

func sameClass(a, b shard.Class) bool {
	return a.Label == b.Label && a.Synset == b.Synset && a.ILSVRC2012ID == b.ILSVRC2012ID && a.Gloss == b.Gloss && slices.Equal(a.Words, b.Words) && slices.Equal(a.Path, b.Path)
}

// metInStreams is what was left out of streams whose names were not read before:
// what is known of all else every job's plan has.
func (j *job) metInStreams() []layout.Skipped {
	return j.left.of(func(container int) bool {
		k := &j.plan.set.list[container]
		return k.unlisted && k.auxiliary == images
	})
}

// startedBeside is what is being made in the directory, which other jobs may be
// beginning at this moment: file systems between machines may show the shards of
// one before what it noted earlier.
func (p *Plan) startedBeside(ctx context.Context) (was record.Started, ok bool, err error) {
	const patience, pause = 10 * time.Second, 250 * time.Millisecond
	state := record.StateIn(p.o.Out)
	for began := time.Now(); ; {
		was, ok, err = state.Started()
		if ok || err != nil || p.o.Jobs == 0 || time.Since(began) > patience {
			return was, ok, err
		}
		held, err := holds(p.o.Out)
		if err != nil || held == "" {
			return was, false, err
		}
		if begun, err := state.Exists(); !begun || err != nil {
			return was, false, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return was, false, ctx.Err()
		}
	}
}

// fitsJob says why a job of an array cannot do what the directory holds asks for.
func (p *Plan) fitsJob(s *standing) error {
	if p.o.Jobs == 0 {
		return nil
	}
	if s.kind == amendable || len(s.touched) > 0 {
		return &OptionError{"job", p.o.Out.String() + " is a dataset: what is added to it, and what was touched of its sources, one call without --job does"}
	}
	if s.kind != unfinished {
		return nil
	}
	other, err := record.StateIn(p.o.Out).OtherArrays(p.o.Jobs)
	if err == nil && len(other) > 0 {
		err = &DifferError{Out: p.o.Out.String(), Unfinished: true, Differences: []string{fmt.Sprintf("it was begun by jobs of %d, and this is one of %d (a call without --job finishes it alone)", other[0], p.o.Jobs)}}
	}
	return err
}
