package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source/layout"
	"github.com/synshard/synshard/wordnet"
)

// tally counts what the records of the units say, while indexes are written.
type tally struct {
	train     map[string]int64 // training images by class, refused ones too
	images    map[string]int64 // images by split, refused ones too
	fileBytes map[string]int64 // bytes of shards by split
	objects   int64            // of all images
	rejected  []shard.Rejection
	skipped   []layout.Skipped
}

func (t *tally) add(r *record.Record) {
	split := r.Unit.Split
	t.rejected = append(t.rejected, r.Rejected...)
	t.skipped = append(t.skipped, r.Skipped...)
	t.images[split] += int64(len(r.Rows))
	for _, f := range r.Shards {
		t.fileBytes[split] += f.Size
	}
	for i := range r.Rows {
		t.objects += int64(len(r.Rows[i].Objects))
		if split == "train" {
			t.train[r.Rows[i].Synset]++
		}
	}
}

// count adds the refused images, once each.
func (t *tally) count() {
	slices.SortFunc(t.rejected, shard.CompareRejections)
	t.rejected = slices.Compact(t.rejected) // a call may have been killed after it listed them
	for i := range t.rejected {
		r := &t.rejected[i]
		t.images[r.Split]++
		if r.Split == "train" {
			t.train[r.Synset]++
		}
	}
}

// ending is what a dataset gets beside what the records of its units say.
type ending struct {
	print   record.Fingerprint
	wordnet string           // its version; "" without
	skipped []layout.Skipped // that no record has
	told    record.Told
}

// ending is that of a call that did all of it.
func (j *job) ending() ending {
	e := ending{print: j.plan.print, skipped: j.plan.leftOut(&j.left), told: j.told()}
	if j.have != nil {
		e.print = j.amended
	}
	if j.o.WordNet != nil {
		e.wordnet = j.o.WordNet.Version()
	}
	return e
}

// told is what the plan has to say of the dataset.
func (j *job) told() record.Told {
	return record.Told{Skipped: j.plan.Skipped, Notes: j.plan.Notes, Inner: j.inner(), Boxed: len(j.plan.boxes), Promised: promised(j.plan.kit)}
}

// promised is how many images a development kit says there are.
func promised(kit *imagenet.Kit) *record.Promised {
	if kit == nil {
		return nil
	}
	p := &record.Promised{Classes: len(kit.Classes()), Truth: len(kit.Truth)}
	for _, s := range kit.Synsets {
		if s.NumChildren == 0 && s.TrainImages > 0 {
			p.Train = append(p.Train, record.Count{Class: s.WNID, Images: int(s.TrainImages)})
		}
	}
	return p
}

// finish writes indexes, classes, the list of refused images and, last, the
// manifest.
func (j *job) finish(e ending) (Summary, error) {
	m := shard.Manifest{Splits: map[string]shard.SplitInfo{}, WordNetVersion: e.wordnet}
	t := &tally{train: map[string]int64{}, images: map[string]int64{}, fileBytes: map[string]int64{}}
	var err error
	if j.have != nil {
		m = *j.have
		maps.Copy(t.fileBytes, e.print.FileBytes)
		if t.rejected, err = j.keptRejections(); err != nil {
			return Summary{}, err
		}
		if !j.plan.covers(j.have) { // else it is told anew
			t.skipped = e.print.Skipped
		}
	} else if m.ClassesSHA256, err = shard.WriteClasses(j.o.Out, j.classes); err != nil {
		return Summary{}, err
	}
	for _, split := range j.splits {
		info := shard.SplitInfo{Source: sourceOf(e.print.Splits[split])}
		delete(t.fileBytes, split)
		if err := j.index(split, &info, t); err != nil {
			return Summary{}, err
		}
		m.Splits[split] = info
	}
	t.skipped = mergeSkips(t.skipped, e.skipped)
	if err := j.writeLast(&m, e.print, t); err != nil {
		return Summary{}, err
	}
	sum := j.summary(&m, e.told.Inner)
	sum.Skipped = t.skipped
	sum.Notes = slices.Clone(e.told.Notes)
	if e.told.Boxed > 0 && t.objects == 0 {
		sum.Notes = append(sum.Notes, fmt.Sprintf("none of the %d images that the boxes are of is in the dataset", e.told.Boxed))
	}
	sum.Notes = append(sum.Notes, j.notes(e.told.Promised, t, &m)...)
	return sum, j.state.Remove()
}

// writeLast writes the list of refused images and the manifest.
func (j *job) writeLast(m *shard.Manifest, print record.Fingerprint, t *tally) error {
	t.count()
	m.Rejected = int64(len(t.rejected))
	var err error
	if m.RejectedSHA256, err = shard.WriteRejected(j.o.Out, t.rejected); err != nil {
		return err
	}
	if err := j.o.Out.RemoveTemps(".", true); err != nil {
		return err
	}
	print.Boxes = "" // the indexes say which there are
	print.FileBytes = t.fileBytes
	print.Skipped = t.skipped
	m.Options = json.RawMessage(print.Encode())
	return shard.WriteManifest(j.o.Out, *m)
}

// index writes the index of a split from the records of its units. Where each
// is a class the rows of one are in memory at a time.
func (j *job) index(split string, info *shard.SplitInfo, t *tally) error {
	var mine []record.Unit
	whole := split == "train"
	for i := range j.units {
		if id := j.units[i].Unit; id.Split == split {
			mine = append(mine, id)
			whole = whole && id.Class != ""
		}
	}
	slices.SortFunc(mine, record.CompareUnits)
	if err := j.o.Out.MkdirAll(split); err != nil {
		return err
	}
	shards, err := j.writeIndex(split, mine, whole, info, t)
	if err != nil {
		return err
	}
	info.Shards = len(shards)
	if info.ShardsSHA256, err = shard.WriteShards(j.o.Out, split, shards); err != nil {
		return err
	}
	own := map[string]bool{}
	for _, f := range shards {
		own[f.File] = true
	}
	return j.sweep(split, own)
}

// writeIndex writes the rows of units, in order, and gives their shards. apart: no row
// of one unit comes before a row of an earlier one.
func (j *job) writeIndex(split string, units []record.Unit, apart bool, info *shard.SplitInfo, t *tally) ([]shard.ShardInfo, error) {
	w, err := shard.CreateIndex(j.o.Out, split)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	var shards []shard.ShardInfo
	var rows []shard.Row
	flush := func() error {
		shard.SortRows(split, rows)
		for i := range rows {
			if err := w.Append(&rows[i]); err != nil {
				return err
			}
			info.Bytes += rows[i].Length
		}
		info.Rows += int64(len(rows))
		rows = rows[:0]
		return nil
	}
	err = j.eachRecord(units, func(r *record.Record) error {
		t.add(r)
		shards = append(shards, r.Shards...)
		rows = append(rows, r.Rows...)
		if apart {
			return flush()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := flush(); err != nil {
		return nil, err
	}
	info.IndexSHA256, err = w.Commit()
	return shards, err
}

// eachRecord calls f with the records of units, in their order. Some are read
// ahead: with thousands of them waiting for the disk, or the network, is most of it.
func (j *job) eachRecord(units []record.Unit, f func(*record.Record) error) error {
	ahead := max(16, 2*j.o.Out.AtOnce())
	type result struct {
		r   *record.Record
		err error
	}
	read := make(chan chan result, ahead)
	stop := make(chan struct{})
	var under sync.WaitGroup // what is read ahead ends before who asked for it goes on
	defer under.Wait()
	defer close(stop)
	under.Go(func() {
		defer close(read)
		for _, id := range units {
			one := make(chan result, 1)
			select {
			case read <- one:
			case <-stop:
				return
			}
			under.Go(func() {
				r, err := j.read(id)
				one <- result{r, err}
			})
		}
	})
	for one := range read {
		got := <-one
		if got.err != nil {
			return got.err
		}
		if err := f(got.r); err != nil {
			return err
		}
	}
	return nil
}

// made is the record of a unit that this call made, or held to its sums.
func (j *job) made(id record.Unit) (*record.Record, error) {
	r, err := j.state.Read(id)
	return r, j.damaged(id, err)
}

// damaged is what a unit's record or shards could not be read for: that they are not what
// was written, or what their place says of them.
func (j *job) damaged(id record.Unit, err error) error {
	if shard.Damage(err) {
		return j.lost(id)
	}
	return err
}

// lost is that a unit is not what was recorded of it.
func (j *job) lost(id record.Unit) error {
	if by, joined := j.recorded[id]; joined {
		return fmt.Errorf("%s: %s: its record or its shards are not what job %s left; run that job again: %w", j.o.Out, id, by.job, shard.ErrCorrupt)
	}
	return fmt.Errorf("%s: %s: its record or its shards were changed while the dataset was made: %w", j.o.Out, id, shard.ErrCorrupt)
}

// sweep removes shards of a split that are not its own: of units that were made
// from other images before.
func (j *job) sweep(split string, own map[string]bool) error {
	left := map[string]int{} // files in directories of classes
	err := j.o.Out.Walk(split, func(name string, e fs.DirEntry) error {
		in := path.Dir(name)
		class := path.Dir(in) == split && strings.HasPrefix(path.Base(in), "synset=")
		switch {
		case e.IsDir() && in == split && strings.HasPrefix(e.Name(), "synset="):
			left[name] += 0
			return nil
		case isShard(e.Name()) && !own[name] && (class || in == split):
			return j.o.Out.Remove(name)
		case class:
			left[in]++
		}
		return nil
	})
	for _, dir := range slices.Sorted(maps.Keys(left)) {
		if err == nil && left[dir] == 0 {
			if err = j.o.Out.Remove(dir); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
	}
	return err
}

func isShard(name string) bool {
	return strings.HasPrefix(name, "part-") && strings.HasSuffix(name, ".arrow")
}

// keptRejections lists what was refused of the splits that this call does not
// write.
func (j *job) keptRejections() ([]shard.Rejection, error) {
	list, err := shard.ReadRejected(j.o.Out, "") // a call that was killed may have written it anew
	return slices.DeleteFunc(list, func(r shard.Rejection) bool {
		return slices.Contains(j.splits, r.Split) && !slices.Contains(j.reopened, r.Split)
	}), err
}

func (j *job) summary(m *shard.Manifest, inner int) Summary {
	s := Summary{Out: j.o.Out.String(), Splits: map[string]int64{}, Rejected: m.Rejected, Classes: len(j.classes), Inner: inner}
	for name, info := range m.Splits {
		s.Splits[name] = info.Rows
		s.Images += info.Rows
		s.Bytes += info.Bytes
	}
	return s
}

// inner counts the classes that are ancestors of other classes.
func (j *job) inner() int {
	if j.o.WordNet == nil {
		return 0
	}
	above := map[wordnet.ID]bool{}
	for _, name := range j.names {
		if id, err := wordnet.ParseID(name); err == nil {
			for _, up := range j.o.WordNet.Ancestors(id) {
				if up != id {
					above[up] = true
				}
			}
		}
	}
	n := 0
	for _, name := range j.names {
		if id, err := wordnet.ParseID(name); err == nil && above[id] {
			n++
		}
	}
	return n
}

// released counts the images of ILSVRC2012 by split.
var released = map[string]int64{"train": 1281167, "val": 50000, "test": 100000}

// notes names differences from the counts of the kit and, where the classes
// are a thousand, of the release.
func (j *job) notes(kit *record.Promised, t *tally, m *shard.Manifest) []string {
	if kit == nil {
		return nil
	}
	var out []string
	if slices.Contains(j.splits, "train") {
		for _, c := range kit.Train {
			if n := t.train[c.Class]; n != int64(c.Images) {
				out = append(out, fmt.Sprintf("%s has %d training images and the kit says %d", c.Class, n, c.Images))
			}
		}
	}
	if kit.Classes == 1000 {
		for _, split := range j.splits {
			if n := t.images[split]; n != released[split] {
				out = append(out, fmt.Sprintf("%s has %d images and ILSVRC2012 has %d", split, n, released[split]))
			}
		}
	} else if n := m.Splits["val"].Rows; slices.Contains(j.splits, "val") && n != int64(kit.Truth) {
		out = append(out, fmt.Sprintf("val has %d images and the ground truth %d", n, kit.Truth))
	}
	return out
}
