package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/ingest/record"
	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// amend amends a dataset.
func (j *job) amend(ctx context.Context, found *standing) (Summary, error) {
	j.have, j.reopened = found.manifest, found.amendment.Reopened()
	j.number(found.names(), found.classes)
	j.amended = j.becomes(found)
	if !found.aside {
		was := *found.manifest
		begun, err := j.state.Exists()
		if err != nil {
			return Summary{}, err
		}
		if begun { // a call may have been killed after it wrote the next list of what was refused
			was.RejectedSHA256 = ""
		}
		if err := asWritten(ctx, j.o.Out, &was, j.o.Workers); err != nil {
			return Summary{}, err
		}
		if found.amendment.Grow {
			if err := j.compareKept(ctx); err != nil {
				return Summary{}, err
			}
		}
		if err := j.state.Begin(record.Started{Fingerprint: j.plan.print, Amendment: &found.amendment}); err != nil {
			return Summary{}, err
		}
		if err := j.reopenUnits(); err != nil {
			return Summary{}, err
		}
	}
	kept, err := j.keptUnits()
	if err == nil && found.aside {
		err = j.leftWhole(ctx, kept)
	}
	if err != nil {
		return Summary{}, err
	}
	j.splits = slices.Sorted(maps.Keys(setOf(found.amendment.Add, j.reopened)))
	j.units = kept
	have := map[record.Unit]bool{}
	for i := range kept {
		have[kept[i].Unit] = true
	}
	for _, u := range j.plan.units {
		added := slices.Contains(found.amendment.Add, u.Split)
		if added || found.amendment.Grow && u.Split == "train" && !have[u.Unit] {
			j.units = append(j.units, u)
		}
	}
	if err := j.process(ctx); err != nil {
		return Summary{}, err
	}
	if err := j.rebox(ctx); err != nil {
		return Summary{}, err
	}
	return j.finish(j.ending())
}

// becomes gives the fingerprint of the dataset when it is amended.
func (j *job) becomes(found *standing) record.Fingerprint {
	f := found.print
	f.Splits = maps.Clone(f.Splits)
	if f.Splits == nil {
		f.Splits = map[string][]record.SplitPrint{}
	}
	for _, split := range found.amendment.Add {
		f.Splits[split] = j.plan.print.Splits[split]
	}
	if found.amendment.Grow {
		f.Splits["train"] = slices.Concat(f.Splits["train"], j.plan.print.Splits["train"])
	}
	return f
}

func setOf(lists ...[]string) map[string]bool {
	set := map[string]bool{}
	for _, list := range lists {
		for _, s := range list {
			set[s] = true
		}
	}
	return set
}

// compareKept wants the images of classes that the dataset has, where the source
// of more classes has them too, to be the same.
func (j *job) compareKept(ctx context.Context) error {
	have, err := trainClassesIn(j.o.Out)
	if err != nil {
		return err
	}
	only := map[string]bool{}
	for class := range j.plan.trainClasses() {
		if have[class] {
			only[class] = true
		}
	}
	if len(only) == 0 {
		return nil
	}
	return j.compareSplit(ctx, "train", only)
}

// trainClassesIn lists the classes that have training images in a dataset.
func trainClassesIn(out files.Dir) (map[string]bool, error) {
	set, err := open(out)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	s, err := set.Split("train")
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for i := range s.Len() {
		have[s.Row(i).Synset] = true
	}
	return have, nil
}

// reopenUnits writes the records of the units of the splits that change, and moves
// the manifest aside.
func (j *job) reopenUnits() error {
	if len(j.reopened) == 0 {
		return nil
	}
	for _, split := range j.reopened {
		records, err := recordsOf(j.o.Out, split)
		if err != nil {
			return err
		}
		for _, r := range records {
			r.Kept = true
			if err := j.state.Finish(r); err != nil {
				return err
			}
		}
	}
	if err := j.o.Out.Rename(shard.ManifestName, record.StateName+"/"+shard.ManifestName); err != nil {
		return err
	}
	return errors.Join(j.o.Out.Sync(record.StateName), j.o.Out.Sync("."))
}

// keptUnits lists the units of the dataset that have a record.
func (j *job) keptUnits() ([]unit, error) {
	if len(j.reopened) == 0 {
		return nil, nil
	}
	ids, err := j.state.Kept()
	var out []unit
	for _, id := range ids {
		if slices.Contains(j.reopened, id.Split) {
			out = append(out, unit{Unit: id, kept: true})
		}
	}
	return out, err
}

// recordsOf makes the records of a split's units from its index.
func recordsOf(out files.Dir, split string) (map[record.Unit]*record.Record, error) {
	set, err := shard.OpenDir(out)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	s, err := set.Split(split)
	if err != nil {
		return nil, err
	}
	sums, err := sumsOf(out, split, s.Info)
	if err != nil {
		return nil, err
	}
	records := map[record.Unit]*record.Record{}
	shards := map[string]*record.Record{}
	for i := range s.Len() {
		row := s.Row(i)
		r := shards[row.File]
		if r == nil {
			id, err := unitOfShard(split, row.File, row.Synset)
			if err != nil {
				return nil, err
			}
			info, known := sums[row.File]
			if !known {
				if info, err = shard.SumFile(out, row.File); err != nil {
					return nil, err
				}
			}
			if r = records[id]; r == nil {
				r = &record.Record{Unit: id}
				records[id] = r
			}
			r.Shards = append(r.Shards, info)
			shards[row.File] = r
		}
		r.Rows = append(r.Rows, row)
	}
	for _, r := range records {
		slices.SortFunc(r.Shards, func(a, b shard.ShardInfo) int { return strings.Compare(a.File, b.File) })
	}
	return records, nil
}

// sumsOf gives what a split's list of shards says of each; nothing where a dataset
// of before has none.
func sumsOf(out files.Dir, split string, info shard.SplitInfo) (map[string]shard.ShardInfo, error) {
	sums := map[string]shard.ShardInfo{}
	if info.ShardsSHA256 == "" {
		return sums, nil
	}
	list, err := shard.ReadShards(out, split, info.ShardsSHA256)
	for _, s := range list {
		sums[s.File] = s
	}
	return sums, err
}

// unitOfShard names the unit that a shard is of.
func unitOfShard(split, file, synset string) (record.Unit, error) {
	id := record.Unit{Split: split}
	if strings.Contains(file, "/synset=") {
		id.Class = synset
		return id, nil
	}
	if _, err := fmt.Sscanf(path.Base(file), "part-%d.arrow", &id.Piece); err != nil {
		return id, fmt.Errorf("%s: not a shard's name: %w", file, err)
	}
	return id, nil
}

// otherBoxes lists the splits in which an image has not the boxes given for it.
func otherBoxes(set *shard.Dataset, splits []string, boxes imagenet.Boxes, shrink int) ([]string, error) {
	if len(boxes) == 0 {
		return nil, nil
	}
	var out []string
	for _, name := range splits {
		s, err := set.Split(name)
		if err != nil {
			return nil, err
		}
		for i := range s.Len() {
			if r := s.Row(i); boxesDiffer(boxes, &r, shrink) {
				out = append(out, name)
				break
			}
		}
	}
	return out, nil
}

// boxedIn wants boxes that are given without sources to be of images that the dataset has.
func (p *Plan) boxedIn(set *shard.Dataset, splits []string) error {
	if len(p.o.Sources) > 0 {
		return nil // of which boxed has asked
	}
	for _, name := range splits {
		s, err := set.Split(name)
		if err != nil {
			return err
		}
		for i := range s.Len() {
			if _, ok := p.boxes[imagenet.Stem(s.Row(i).Path)]; ok {
				return nil
			}
		}
	}
	return &OptionError{"boxes", fmt.Sprintf("they are of %d images, and none of these is in the dataset", len(p.boxes))}
}

// boxesDiffer says whether an image has other boxes than those given for it. Of images that may
// have been made smaller (shrink, 0: none was) only what is in them is compared: their boxes were
// made smaller with them, by how much is not known any more.
func boxesDiffer(boxes imagenet.Boxes, r *shard.Row, shrink int) bool {
	given, ok := boxes[imagenet.Stem(r.Path)]
	smaller := shrink > 0 && min(r.Width, r.Height) == int32(shrink)
	return ok && !slices.EqualFunc(given, r.Objects, func(a, b shard.Object) bool {
		return a == b || smaller && a.Synset == b.Synset
	})
}

// rebox writes the shards anew that hold images with other boxes than those
// given.
func (j *job) rebox(ctx context.Context) error {
	if len(j.plan.boxes) == 0 || len(j.reopened) == 0 {
		return nil
	}
	return inorder.Each(ctx, j.o.Workers, len(j.units), func(_ context.Context, i int) error {
		if u := &j.units[i]; u.kept {
			return j.reboxUnit(u)
		}
		return nil
	})
}

func (j *job) reboxUnit(u *unit) error {
	r, err := j.state.Load(u.Unit)
	if err != nil {
		return fmt.Errorf("%s: the record of %s, to which boxes are added: %w", j.o.Out, u.Unit, err)
	}
	if !slices.ContainsFunc(r.Rows, func(row shard.Row) bool { return boxesDiffer(j.plan.boxes, &row, j.o.Resize) }) {
		return nil
	}
	w := &unitWriter{converter: j.newConverter(u), record: record.Record{Unit: r.Unit, Inputs: r.Inputs, Rejected: r.Rejected, Skipped: r.Skipped, Kept: r.Kept}}
	defer w.close()
	for _, f := range r.Shards {
		err := shard.EachImage(j.o.Out, f.File, func(im *shard.Image) error {
			if given, ok := j.plan.boxes[imagenet.Stem(im.Path)]; ok {
				im.Objects = given
			}
			j.o.OnRead(int64(len(im.Bytes)), 1)
			return w.append(im)
		})
		if err == nil {
			err = w.cut()
		}
		if err != nil {
			return err
		}
	}
	return j.state.Finish(&w.record)
}

// readManifest reads the manifest of a dataset that is whole, or that is being
// amended (aside).
func readManifest(out files.Dir) (m shard.Manifest, aside bool, err error) {
	m, err = shard.ReadManifest(out)
	if !isNotDataset(err) {
		return m, false, err
	}
	moved, asideErr := shard.ReadManifest(files.Below(out, record.StateName))
	if asideErr == nil {
		return moved, true, nil
	}
	if !errors.Is(asideErr, shard.ErrNotDataset) && !errors.Is(asideErr, fs.ErrNotExist) {
		return m, false, asideErr
	}
	return m, false, err
}
