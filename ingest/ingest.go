// Package ingest turns archives and folders of images into a dataset: shards,
// index, classes and manifest. Archives are read in place and in parallel.
// Work that was interrupted continues, and the result is the same bytes
// whatever the number of workers and interruptions.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/wordnet"
)

// Options say what is read and how. At least one of Train, Val, Test and
// Folder is set.
type Options struct {
	Train  string    // tar of a tar (or a directory) a synset; "-" is Stdin; compressed ones are read front to back
	Val    string    // flat tar; labelled by Devkit
	Test   string    // flat tar, no labels
	Devkit string    // tar or tar.gz with meta.mat and the ground truth
	Folder string    // root/CLASS/images, a directory or a zip, instead of Train
	Kaggle string    // the competition's tree or zip, instead of all of these
	Stdin  io.Reader // what "-" is

	// Sources of the split Split.
	WebDataset []string // tars
	Parquet    []string // Hugging Face's: image struct<bytes, path>, label
	List       string   // CSV or TSV of path,label
	Split      string   // "": train

	Boxes   []string // tars or directories of annotations
	Classes []string // all classes, where a source cannot say; numbers are places in it
	Out     string

	WordNet    *wordnet.Graph // words, glosses and paths of the classes; may be nil
	ShardBytes int64          // of images, where a shard is cut; 0: 256 MiB
	Workers    int            // groups written at a time; 0: one more than CPUs, so that one may wait for the disk
	Check      string         // header or decode (the default): what an image must survive
	OnBad      string         // fail, skip or quarantine (the default)

	Resize  int // longest shorter side; 0: originals
	Quality int // of JPEGs made by Resize; 0: 90

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
	Stream bool   `json:"stream"` // read front to back: groups and bytes are not known before
}

// Summary is what a call did.
type Summary struct {
	Out      string           `json:"out"`
	Images   int64            `json:"images"` // in the dataset
	Bytes    int64            `json:"bytes"`
	Classes  int              `json:"classes"`
	Splits   map[string]int64 `json:"splits"` // images
	Rejected int64            `json:"rejected"`
	// Inner are the classes that are ancestors of other classes.
	Inner int `json:"inner_classes"`
	// Notes name differences from the counts that the sources promise.
	Notes   []string `json:"notes,omitempty"`
	Already bool     `json:"already,omitempty"` // there was nothing to do
}

const defaultShardBytes = 256 << 20

// sources counts what may fill each split.
func (o *Options) sources() map[string]int {
	n := map[string]int{}
	count := func(split string, set bool) {
		if set {
			n[split]++
		}
	}
	count("train", o.Train != "")
	count("train", o.Folder != "")
	count("val", o.Val != "")
	count("test", o.Test != "")
	count(o.Split, len(o.WebDataset) > 0)
	count(o.Split, len(o.Parquet) > 0)
	count(o.Split, o.List != "")
	return n
}

func (o *Options) check() error {
	if o.Split == "" {
		o.Split = "train"
	}
	n := o.sources()
	switch {
	case o.Out == "":
		return errors.New("ingest: no directory for the dataset")
	case len(n) == 0 && o.Kaggle == "" && len(o.Boxes) == 0:
		return errors.New("ingest: nothing to read")
	case len(n) > 0 && o.Kaggle != "":
		return errors.New("ingest: the Kaggle tree holds every split: no source beside it")
	case o.Val != "" && o.Devkit == "":
		return errors.New("ingest: the validation archive has no labels in it: the development kit is needed")
	case o.Split != "train" && o.Split != "val" && o.Split != "test":
		return fmt.Errorf("ingest: split %q: want train, val or test", o.Split)
	case o.Resize < 0 || o.Quality < 0 || o.Quality > 100:
		return fmt.Errorf("ingest: resize %d, quality %d", o.Resize, o.Quality)
	}
	for split, k := range n {
		if k > 1 {
			return fmt.Errorf("ingest: %d sources for the split %s", k, split)
		}
	}
	if dash := strings.Count("\x00"+o.Train+"\x00"+o.Val+"\x00"+o.Test+"\x00", "\x00-\x00"); dash > 1 || dash == 1 && o.Stdin == nil {
		return errors.New("ingest: standard input can be one archive")
	}
	if o.Quality == 0 {
		o.Quality = 90
	}
	if o.ShardBytes == 0 {
		o.ShardBytes = defaultShardBytes
	}
	if o.Workers == 0 {
		o.Workers = processors.Count() + 1
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
	kit     *imagenet.Kit
	groups  []group
	streams []stream
	sources map[string]string // split -> what it is made from
	classes []shard.Class
	label   map[string]int64
	names   []string // of classes, in label order
	given   []string // classes that are there whether or not they have images
	boxes   imagenet.Boxes
	state   *state
	files   []*os.File
	whole   []os.FileInfo   // of files, as they were opened
	have    *shard.Manifest // of the dataset that is added to

	reopened []string // splits of it that change
}

// Run ingests. The dataset's directory is locked meanwhile
// (durable.ErrLocked). A cancelled context leaves finished groups for the next
// call.
func Run(ctx context.Context, o Options) (Summary, error) {
	if err := o.check(); err != nil {
		return Summary{}, err
	}
	j := &job{o: o, sources: map[string]string{}, boxes: imagenet.Boxes{}, given: slices.Clone(o.Classes)}
	defer j.close()
	if err := j.open(ctx); err != nil {
		return Summary{}, err
	}
	for _, f := range j.files {
		info, err := f.Stat()
		if err != nil {
			return Summary{}, err
		}
		j.whole = append(j.whole, info)
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

func (j *job) plan() Plan {
	p := Plan{Out: j.o.Out}
	for _, split := range slices.Sorted(maps.Keys(j.sources)) {
		s := PlanSplit{Split: split, Source: j.sources[split]}
		s.Stream = slices.ContainsFunc(j.streams, func(st stream) bool { return st.split == split })
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
