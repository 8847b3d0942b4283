// Package ingest turns archives and folders of images into a dataset: shards,
// index, classes and manifest. Archives are read in place and in parallel.
// Work that was interrupted continues, and the result is the same bytes
// whatever the number of workers and interruptions.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"synshard/internal/durable"
	"synshard/shard"
	"synshard/wordnet"
)

// Options say what is read and how. At least one of Train, Val, Test and
// Folder is set.
type Options struct {
	Train  string // tar of a tar a synset
	Val    string // flat tar; labelled by Devkit
	Test   string // flat tar, no labels
	Devkit string // tar or tar.gz with meta.mat and the ground truth
	Folder string // root/CLASS/images, instead of Train
	Out    string

	WordNet    *wordnet.Graph // words, glosses and paths of the classes; may be nil
	ShardBytes int64          // of images, where a shard is cut; 0: 256 MiB
	Workers    int            // 0: one a CPU
	Check      string         // header or decode (the default): what an image must survive
	OnBad      string         // fail, skip or quarantine (the default)

	OnPlan func(Plan)
	OnRead func(bytes int64, images int) // as images are done with, from many goroutines
	DryRun bool                          // stop after OnPlan
}

// Plan is what a call is about to do.
type Plan struct {
	Out    string      `json:"out"`
	Splits []PlanSplit `json:"splits"`
}

// PlanSplit is the part of a plan for one split.
type PlanSplit struct {
	Split  string `json:"split"`
	Source string `json:"source"`
	Groups int    `json:"groups"` // synsets, or pieces of a flat archive
	Done   int    `json:"done"`   // of them, by an earlier call
	Bytes  int64  `json:"bytes"`  // of the groups to do
}

// Summary is what a call did.
type Summary struct {
	Out      string           `json:"out"`
	Images   int64            `json:"images"` // in the dataset
	Bytes    int64            `json:"bytes"`
	Classes  int              `json:"classes"`
	Splits   map[string]int64 `json:"splits"` // images
	Rejected int64            `json:"rejected"`
	Already  bool             `json:"already,omitempty"` // there was nothing to do
}

const defaultShardBytes = 256 << 20

func (o *Options) check() error {
	switch {
	case o.Out == "":
		return errors.New("ingest: no directory for the dataset")
	case o.Train == "" && o.Val == "" && o.Test == "" && o.Folder == "":
		return errors.New("ingest: nothing to read")
	case o.Train != "" && o.Folder != "":
		return errors.New("ingest: a training tar and a folder of classes are two sources for one split")
	case o.Val != "" && o.Devkit == "":
		return errors.New("ingest: the validation archive has no labels in it: the development kit is needed")
	}
	if o.ShardBytes == 0 {
		o.ShardBytes = defaultShardBytes
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Check == "" {
		o.Check = "decode"
	}
	if o.OnBad == "" {
		o.OnBad = "quarantine"
	}
	if o.ShardBytes < 1 || o.Workers < 1 || !slices.Contains([]string{"header", "decode"}, o.Check) || !slices.Contains([]string{"fail", "skip", "quarantine"}, o.OnBad) {
		return fmt.Errorf("ingest: shard bytes %d, workers %d, check %q, on bad %q", o.ShardBytes, o.Workers, o.Check, o.OnBad)
	}
	if o.OnPlan == nil {
		o.OnPlan = func(Plan) {}
	}
	if o.OnRead == nil {
		o.OnRead = func(int64, int) {}
	}
	return nil
}

// job is one call.
type job struct {
	o       Options
	kit     *Kit
	groups  []group
	sources map[string]string // split -> what it is made from
	classes []shard.Class
	label   map[string]int64
	names   []string // of classes, in label order
	state   *state
	files   []*tarFile
}

// Run ingests. The dataset's directory is locked meanwhile
// (durable.ErrLocked). A cancelled context leaves finished groups for the next
// call.
func Run(ctx context.Context, o Options) (Summary, error) {
	if err := o.check(); err != nil {
		return Summary{}, err
	}
	j := &job{o: o, sources: map[string]string{}}
	defer j.close()
	if err := j.open(ctx); err != nil {
		return Summary{}, err
	}
	if o.DryRun {
		if err := j.peek(); err != nil {
			return Summary{}, err
		}
		o.OnPlan(j.plan())
		return Summary{Out: o.Out}, nil
	}
	if err := durable.MkdirAll(o.Out); err != nil {
		return Summary{}, err
	}
	lock, err := durable.TryLock(filepath.Join(o.Out, ".lock"))
	if err != nil {
		return Summary{}, fmt.Errorf("%s: %w", o.Out, err)
	}
	defer lock.Unlock()
	return j.run(ctx)
}

func (j *job) close() {
	for _, f := range j.files {
		f.Close()
	}
}

// open opens the sources and lists the groups.
func (j *job) open(ctx context.Context) error {
	var err error
	if j.o.Devkit != "" {
		if j.kit, err = ReadKit(j.o.Devkit); err != nil {
			return err
		}
	}
	add := func(split, path string, groups []group, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		j.groups = append(j.groups, groups...)
		j.sources[split] = describe(path, info)
		return nil
	}
	archive := func(path string) (*tarFile, error) {
		t, err := openTar(path)
		if err == nil {
			j.files = append(j.files, t)
		}
		return t, err
	}
	if j.o.Folder != "" {
		g, err := folderGroups(j.o.Folder)
		if err := add("train", j.o.Folder, g, err); err != nil {
			return err
		}
	}
	for _, s := range []struct{ split, path string }{{"train", j.o.Train}, {"val", j.o.Val}, {"test", j.o.Test}} {
		if s.path == "" {
			continue
		}
		t, err := archive(s.path)
		if err != nil {
			return err
		}
		var g []group
		if s.split == "train" {
			g, err = t.trainGroups(ctx)
		} else {
			g, err = t.flatGroups(ctx, s.split, j.o.ShardBytes)
		}
		if err := add(s.split, s.path, g, err); err != nil {
			return err
		}
	}
	return nil
}

// describe identifies a source: if it changes, what was made from it is old.
func describe(path string, info os.FileInfo) string {
	if info.IsDir() {
		return filepath.Base(path) + "/"
	}
	return fmt.Sprintf("%s, %d bytes", filepath.Base(path), info.Size())
}

func (j *job) plan() Plan {
	p := Plan{Out: j.o.Out}
	for _, split := range slices.Sorted(maps.Keys(j.sources)) {
		s := PlanSplit{Split: split, Source: j.sources[split]}
		for _, g := range j.groups {
			if g.split != split {
				continue
			}
			if s.Groups++; j.state.done(g) {
				s.Done++
			} else {
				s.Bytes += g.bytes
			}
		}
		p.Splits = append(p.Splits, s)
	}
	return p
}

// peek loads the state of an earlier call without changing anything.
func (j *job) peek() error {
	var err error
	j.state, err = openState(j.o.Out, j.fingerprint(), true)
	return err
}

// fingerprint is everything the result depends on.
func (j *job) fingerprint() map[string]string {
	f := map[string]string{
		"shard_bytes": fmt.Sprint(j.o.ShardBytes), "check": j.o.Check, "on_bad": j.o.OnBad,
		"classes": strings.Join(j.synsets(), " "),
	}
	for split, s := range j.sources {
		f["source of "+split] = s
	}
	return f
}

// synsets lists the classes: the kit's, and the training set's.
func (j *job) synsets() []string {
	set := map[string]bool{}
	if j.kit != nil {
		for _, s := range j.kit.classes() {
			set[s] = true
		}
	}
	for _, g := range j.groups {
		if g.split == "train" {
			set[g.synset] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func (j *job) run(ctx context.Context) (Summary, error) {
	if done, sum, err := j.already(); done || err != nil {
		return sum, err
	}
	var err error
	if j.state, err = openState(j.o.Out, j.fingerprint(), false); err != nil {
		return Summary{}, err
	}
	j.makeClasses()
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
	return j.finish()
}

// already says whether the dataset is there, made from the same sources in the
// same way.
func (j *job) already() (bool, Summary, error) {
	m, err := shard.ReadManifest(j.o.Out)
	if errors.Is(err, shard.ErrNotDataset) {
		return false, Summary{}, nil
	}
	if err != nil {
		return false, Summary{}, err
	}
	if diff := differences(m.Options, j.fingerprint()); diff != "" {
		return false, Summary{}, fmt.Errorf("%s is a dataset made otherwise (%s); give another directory", j.o.Out, diff)
	}
	sum := summarize(j.o.Out, m)
	sum.Classes, sum.Already = len(j.synsets()), true
	return true, sum, nil
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
			c.ILSVRC2012ID = j.kit.idOf[name]
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
