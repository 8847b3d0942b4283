package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/wordnet"
)

const sourceKey = "source of "

// peek loads the state of an earlier call without changing anything.
func (j *job) peek() error {
	if done, _, err := j.already(); done || err != nil {
		j.groups = nil
		return err
	}
	var err error
	if j.state, err = openState(j.o.Out, j.fingerprint(), true, j.have != nil); err != nil {
		return err
	}
	for _, split := range j.reopened {
		j.sources[split] = cmp.Or(j.sources[split], j.have.Splits[split].Source+", boxes")
	}
	j.groups = slices.DeleteFunc(j.groups, func(g group) bool { return slices.Contains(j.reopened, g.split) && j.inDataset(g) })
	return nil
}

// fingerprint is everything the result depends on.
func (j *job) fingerprint() map[string]string {
	f := map[string]string{
		"shard_bytes": fmt.Sprint(j.o.ShardBytes), "check": j.o.Check, "on_bad": j.o.OnBad,
		"classes": strings.Join(j.synsets(), "\n"),
	}
	if j.o.Resize > 0 {
		f["resize"] = fmt.Sprintf("%d at quality %d", j.o.Resize, j.o.Quality)
	}
	if len(j.o.Boxes) > 0 {
		f["boxes"] = fmt.Sprintf("of %d images, sha256 %x", len(j.boxes), j.boxes.Sum())
	}
	for split, s := range j.sources {
		f[sourceKey+split] = s
	}
	return f
}

// synsets lists the classes: those given, and the training set's, or, where
// there is neither, those of the other images. A dataset that is added to has
// its own.
func (j *job) synsets() []string {
	if j.have != nil {
		return lines(optionsOf(j.have)["classes"])
	}
	set := map[string]bool{}
	for _, s := range j.given {
		set[s] = true
	}
	for _, g := range j.groups {
		if g.synset != "" {
			set[g.synset] = true
		}
		for _, s := range g.classes {
			set[s] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func (j *job) run(ctx context.Context) (Summary, error) {
	if done, sum, err := j.already(); done || err != nil {
		return sum, err
	}
	var err error
	if j.state, err = openState(j.o.Out, j.fingerprint(), false, j.have != nil); err != nil {
		return Summary{}, err
	}
	j.makeClasses()
	if err := j.takeBack(); err != nil {
		return Summary{}, err
	}
	j.o.OnPlan(j.plan())
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(j.o.Workers)
	for _, gr := range j.groups {
		if j.state.done(gr) {
			continue
		}
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			return j.write(gctx, gr)
		})
	}
	if err := g.Wait(); err != nil {
		return Summary{}, err
	}
	for _, s := range j.streams {
		if err := j.pass(ctx, s); err != nil {
			return Summary{}, err
		}
	}
	if err := j.unchanged(); err != nil {
		return Summary{}, err
	}
	if err := j.rebox(ctx); err != nil {
		return Summary{}, err
	}
	return j.finish()
}

// already says whether the dataset is there, made from the same sources in the
// same way. Splits that it does not have are added; those it has are left.
func (j *job) already() (bool, Summary, error) {
	m, reopened, err := j.manifest()
	if errors.Is(err, shard.ErrNotDataset) || isNotExist(err) {
		if len(j.sources) == 0 {
			return false, Summary{}, fmt.Errorf("%s is not a dataset: boxes alone are added to one", j.o.Out)
		}
		return false, Summary{}, nil
	}
	if err != nil {
		return false, Summary{}, err
	}
	mine, theirs := j.fingerprint(), optionsOf(&m)
	known := map[string]bool{}
	for _, c := range lines(theirs["classes"]) {
		known[c] = true
	}
	for _, c := range j.synsets() {
		if !known[c] {
			return false, Summary{}, fmt.Errorf("%s does not have the class %s; one more would number the others anew: give another directory, and all classes with the first of their images", j.o.Out, c)
		}
	}
	for _, k := range []string{"classes", "boxes"} {
		delete(mine, k)
		delete(theirs, k)
	}
	fresh := map[string]bool{}
	for split := range j.sources {
		if _, ok := m.Splits[split]; !ok {
			fresh[split] = true
			delete(mine, sourceKey+split)
		}
	}
	for split := range m.Splits {
		if _, ok := j.sources[split]; !ok {
			delete(theirs, sourceKey+split)
		}
	}
	grown := j.grows(theirs, mine, reopened)
	if len(j.sources) == 0 { // boxes alone: options of images do not matter
		clear(mine)
		clear(theirs)
	}
	if diff := differences(theirs, mine); diff != "" {
		return false, Summary{}, fmt.Errorf("%s is a dataset made otherwise (%s); give another directory", j.o.Out, diff)
	}
	j.have = &m
	if reopened {
		j.reopened, err = stateIn(j.o.Out).splits()
		j.reopened = slices.DeleteFunc(j.reopened, func(split string) bool { return m.Splits[split].Shards == 0 })
	} else {
		j.reopened, err = j.otherBoxes(m)
	}
	if err != nil {
		return false, Summary{}, err
	}
	if grown && !slices.Contains(j.reopened, "train") {
		j.reopened = append(j.reopened, "train")
	}
	if len(fresh) == 0 && len(j.reopened) == 0 {
		sum := summarize(j.o.Out, m)
		sum.Classes, sum.Already = len(known), true
		if j.o.DryRun {
			return true, sum, nil
		}
		return true, sum, stateIn(j.o.Out).remove() // which a killed call may have left
	}
	fresh["train"] = fresh["train"] || grown
	maps.DeleteFunc(j.sources, func(split, _ string) bool { return !fresh[split] })
	j.groups = slices.DeleteFunc(j.groups, func(g group) bool { return !fresh[g.split] })
	j.streams = slices.DeleteFunc(j.streams, func(s stream) bool { return !fresh[s.split] })
	return false, Summary{}, nil
}

// grows says whether the training source differs because it has more classes;
// then its name joins the earlier ones'.
func (j *job) grows(theirs, mine map[string]string, reopened bool) bool {
	key := sourceKey + "train"
	old, now := theirs[key], mine[key]
	if old == "" || now == "" || old == now {
		return false
	}
	if slices.Contains(strings.Split(old, " + "), now) {
		delete(theirs, key)
		delete(mine, key)
		return false
	}
	if !reopened && !j.newClasses() {
		return false
	}
	delete(theirs, key)
	delete(mine, key)
	j.sources["train"] = old + " + " + now
	return true
}

func summarize(out string, m shard.Manifest) Summary {
	s := Summary{Out: out, Splits: map[string]int64{}, Rejected: m.Rejected}
	for name, info := range m.Splits {
		s.Splits[name] = info.Rows
		s.Images += info.Rows
		s.Bytes += info.Bytes
	}
	return s
}

// makeClasses numbers the classes in ascending synset order and looks their
// words up.
func (j *job) makeClasses() {
	j.label, j.names = map[string]int64{}, j.synsets()
	for i, name := range j.names {
		c := shard.Class{Label: i, Synset: name}
		if j.kit != nil {
			c.ILSVRC2012ID = j.kit.ID(name)
		}
		if id, err := wordnet.ParseID(name); err == nil && j.o.WordNet != nil {
			if s, ok := j.o.WordNet.Synset(id); ok {
				c.Words, c.Gloss = s.Lemmas, s.Gloss
				for _, up := range j.o.WordNet.HypernymPath(id) {
					c.Path = append(c.Path, up.String())
				}
			}
		}
		j.label[name] = int64(i)
		j.classes = append(j.classes, c)
	}
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

// lines splits what is joined with newlines.
func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
