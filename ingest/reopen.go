package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/shard"
)

// A dataset to which boxes or classes are added is taken back to an unfinished
// one: every group of the splits that change gets its record again, and then
// the manifest moves into the state's directory. From there on it goes the way
// of interrupted work, and no image is read that need not be.

// manifest reads the dataset's manifest, where it is whole or was reopened.
func (j *job) manifest() (m shard.Manifest, reopened bool, err error) {
	m, err = shard.ReadManifest(j.o.Out)
	if !errors.Is(err, shard.ErrNotDataset) && !isNotExist(err) {
		return m, false, err
	}
	if aside, asideErr := shard.ReadManifest(filepath.Join(j.o.Out, stateName)); asideErr == nil {
		return aside, true, nil
	}
	return m, false, err
}

// newClasses says whether the training source has a class without images in
// the dataset, whose training set must be by class.
func (j *job) newClasses() bool {
	for _, g := range j.groups {
		if g.split != "train" {
			continue
		}
		if g.synset == "" {
			return false
		}
		if !j.inDataset(g) {
			return true
		}
	}
	return false
}

// inDataset says whether a class has a shard.
func (j *job) inDataset(g group) bool {
	_, err := os.Stat(filepath.Join(j.o.Out, filepath.FromSlash(shard.ShardName(g.split, g.synset, 0))))
	return err == nil
}

// otherBoxes lists the splits in which an image has not the boxes given for it.
func (j *job) otherBoxes(m shard.Manifest) ([]string, error) {
	if len(j.boxes) == 0 {
		return nil, nil
	}
	set, err := shard.Open(j.o.Out)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	var out []string
	for name := range m.Splits {
		s, err := set.Split(name)
		if err != nil {
			return nil, err
		}
		for i := range s.Len() {
			if r := s.Row(i); j.boxesDiffer(&r) {
				out = append(out, name)
				break
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

func (j *job) boxesDiffer(r *shard.Row) bool {
	given, ok := j.boxes[stem(r.Path)]
	return ok && !slices.Equal(given, r.Objects)
}

// reopen writes the records of a split's groups from its index.
func (j *job) reopen(split string) error {
	set, err := shard.Open(j.o.Out)
	if err != nil {
		return err
	}
	defer set.Close()
	s, err := set.Split(split)
	if err != nil {
		return err
	}
	files := map[string][]int{} // rows by file
	for i := range s.Len() {
		f := s.Row(i).File
		files[f] = append(files[f], i)
	}
	groups := map[string][]string{}
	for f := range files {
		dir := path.Dir(f)
		if !strings.Contains(dir, "synset=") {
			dir = f // a flat split's shard is a group
		}
		groups[dir] = append(groups[dir], f)
	}
	for _, list := range groups {
		slices.Sort(list)
		g, err := groupOf(split, list[0], s.Row(files[list[0]][0]).Synset)
		if err != nil {
			return err
		}
		d := done{Files: list}
		for _, f := range list {
			for _, i := range files[f] {
				d.Rows = append(d.Rows, s.Row(i))
			}
		}
		if err := j.state.finish(g, d); err != nil {
			return err
		}
	}
	return nil
}

// groupOf names the group that made a shard.
func groupOf(split, file, synset string) (group, error) {
	g := group{split: split, name: synset, synset: synset, from: file}
	if !strings.Contains(file, "/synset=") {
		var n int
		if _, err := fmt.Sscanf(path.Base(file), "part-%d.arrow", &n); err != nil {
			return g, fmt.Errorf("%s: not a shard's name: %w", file, err)
		}
		g.name, g.synset = fmt.Sprintf("piece-%05d", n), ""
	}
	return g, nil
}

// recorded lists the groups of a split that have a record and are not listed.
func (j *job) recorded(split string) ([]group, error) {
	have := map[string]bool{}
	for _, g := range j.groups {
		have[j.state.record(g)] = true
	}
	paths, err := filepath.Glob(filepath.Join(j.state.dir, split+"-*.done"))
	if err != nil {
		return nil, err
	}
	var out []group
	for _, p := range paths {
		if have[p] {
			continue
		}
		d, err := j.state.readFile(p)
		if err != nil {
			return nil, err
		}
		if len(d.Files) == 0 {
			continue
		}
		g, err := groupOf(split, d.Files[0], d.Rows[0].Synset)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

// takeBack reopens the splits that change, once.
func (j *job) takeBack() error {
	if len(j.reopened) == 0 {
		return nil
	}
	whole, aside := filepath.Join(j.o.Out, shard.ManifestName), filepath.Join(j.state.dir, shard.ManifestName)
	if _, err := os.Stat(aside); errors.Is(err, fs.ErrNotExist) {
		for _, split := range j.reopened {
			if err := j.reopen(split); err != nil {
				return err
			}
		}
		if err := os.Rename(whole, aside); err != nil {
			return err
		}
		if err := errors.Join(durable.SyncDir(j.state.dir), durable.SyncDir(j.o.Out)); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	for _, split := range j.reopened {
		more, err := j.recorded(split)
		if err != nil {
			return err
		}
		j.groups = append(j.groups, more...)
		j.sources[split] = cmp.Or(j.sources[split], j.have.Splits[split].Source)
	}
	return nil
}

// rebox writes the shards anew that hold images with other boxes than those
// given.
func (j *job) rebox(ctx context.Context) error {
	if len(j.boxes) == 0 || len(j.reopened) == 0 {
		return nil
	}
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(j.o.Workers)
	for _, g := range j.groups {
		if !slices.Contains(j.reopened, g.split) {
			continue
		}
		eg.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return j.reboxGroup(g)
		})
	}
	return eg.Wait()
}

func (j *job) reboxGroup(g group) error {
	d, err := j.state.read(g)
	if err != nil || !slices.ContainsFunc(d.Rows, func(r shard.Row) bool { return j.boxesDiffer(&r) }) {
		return err
	}
	w := &groupWriter{j: j, g: g}
	defer w.abort()
	for _, file := range d.Files {
		err := shard.EachImage(filepath.Join(j.o.Out, filepath.FromSlash(file)), func(im *shard.Image) error {
			if given, ok := j.boxes[stem(im.Path)]; ok {
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
	w.done.Rejected = d.Rejected
	return j.state.finish(g, w.done)
}
