// Package ingest turns images, wherever they come from, into a dataset: shards,
// index, classes and manifest.
//
// MakePlan opens the sources, asks package layout what their names mean, looks at
// what the dataset's directory holds, and changes nothing. Run does what the
// plan says: it writes units (the images of a class, or a piece of a flat split)
// in parallel and records each when it is whole, so that work that was
// interrupted continues, and the result is the same bytes whatever the number of
// workers and interruptions.
package ingest

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
	"github.com/synshard/synshard/source/layout"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/wordnet"
)

// Source is one path to read from.
type Source struct {
	Path   string      // a folder, an archive, a list, a file of rows; "-" is Options.Stdin
	Split  string      // train, val or test: where its images go; "": the names tell
	Kind   source.Kind // what it must be; "": its bytes tell
	Layout string      // what it must be: WebDataset or Kaggle; "": the names tell
}

// What a source can be asked to be, beside a kind of container: see Source.Layout.
const (
	WebDataset = "webdataset" // tars with a .cls or .json beside each image
	Kaggle     = "kaggle"     // the tree of Kaggle's copy of ILSVRC, with its solutions
)

// Options say what is read and how. There is at least one source, or Boxes.
type Options struct {
	Sources []Source  // read in this order
	Stdin   io.Reader // what "-" is
	Devkit  string    // ILSVRC2012's development kit; "": that among the sources, if any
	Boxes   []string  // archives or directories of annotations, beside those among the sources

	Layout      string          // what the names of every source mean; "": the names tell
	Split       string          // where images go whose source says nothing of splits; "": train
	ValFraction float64         // of the training images, by class, that become the validation split
	Seed        uint64          // of which images these are
	FollowLinks bool            // out of folders, see source.Options
	Classes     *classlist.List // all classes, in label order; nil: as the sources list them, else those found, ascending

	// Job is the place, from 0, among Jobs calls that make the dataset together, in
	// one directory; Join ends it. Jobs is 0 where one call does it all.
	Job, Jobs int

	Out files.Dir // the dataset's directory, made where it is missing
	// OpenDir opens a folder among the sources for what an export keeps there; nil: it is here.
	OpenDir    func(path string) (files.Dir, error)
	Overwrite  bool           // what is in Out and was made otherwise is made anew
	WordNet    *wordnet.Graph // words, glosses and paths of the classes; may be nil
	ShardBytes int64          // of images, where a shard is cut; 0: 256 MiB
	Workers    int            // units written at a time; 0: one more than CPUs, so that one may wait for the disk
	Check      Check          // what an image must survive
	OnBad      Policy         // what becomes of one that does not

	Resize  int // longest shorter side, in pixels; 0: originals
	Quality int // of JPEGs made by Resize, 1 to 100; 0: 90

	// OnRead is told of images as they are done with, from many goroutines.
	OnRead func(bytes int64, images int)
}

func (o *Options) openDir(path string) (files.Dir, error) {
	if o.OpenDir == nil {
		return files.Local(path), nil
	}
	return o.OpenDir(path)
}

// Check says what an image must survive to be stored.
type Check int

// The checks.
const (
	CheckDecode Check = iota // its bytes are decoded to the end
	CheckHeader              // its first bytes say what it is
)

var checkNames = []string{"decode", "header"}

func (c Check) String() string { return nameOf(checkNames, int(c)) }

// MarshalText gives the check's name.
func (c Check) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the name of a check.
func (c *Check) UnmarshalText(b []byte) error { return parseName(checkNames, b, (*int)(c)) }

// Policy says what becomes of an image that is refused. It is never dropped
// without a word: each has a line in rejected.ndjson.
type Policy int

// The policies.
const (
	Quarantine Policy = iota // its bytes are kept under rejected/
	Skip                     // the line alone is kept
	Fail                     // the first one ends the run
)

var policyNames = []string{"quarantine", "skip", "fail"}

func (p Policy) String() string { return nameOf(policyNames, int(p)) }

// MarshalText gives the policy's name.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the name of a policy.
func (p *Policy) UnmarshalText(b []byte) error { return parseName(policyNames, b, (*int)(p)) }

func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return fmt.Sprintf("number %d", i)
	}
	return names[i]
}

func parseName(names []string, b []byte, to *int) error {
	for i, n := range names {
		if n == string(b) {
			*to = i
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %v", b, names)
}

// OptionError is an option that is wrong, or has no effect for the sources given.
type OptionError struct {
	Option  string // as the field is called on the command line, without dashes
	Problem string // for people
}

func (e *OptionError) Error() string { return e.Option + ": " + e.Problem }

// DifferError is a directory that holds a dataset, or part of one, that was made
// otherwise.
type DifferError struct {
	Out         string   // the directory
	Unfinished  bool     // there is part of a dataset in it; else a whole one
	Differences []string // what differs, a phrase each
}

func (e *DifferError) Error() string {
	what := "is a dataset made otherwise"
	if e.Unfinished {
		what = "holds an unfinished dataset made otherwise"
	}
	s := e.Out + " " + what
	for i, d := range e.Differences {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		s += sep + d
	}
	return s
}

// Summary is what a call did.
type Summary struct {
	Out      string           `json:"out"`      // the dataset's directory or URL
	Images   int64            `json:"images"`   // in the dataset
	Bytes    int64            `json:"bytes"`    // of them
	Classes  int              `json:"classes"`  // of the class list, those without images too
	Splits   map[string]int64 `json:"splits"`   // images
	Rejected int64            `json:"rejected"` // images refused
	// Skipped is what the sources hold and the dataset does not, by reason.
	Skipped []layout.Skipped `json:"skipped,omitempty"`
	// Inner are the classes that are ancestors of other classes.
	Inner int `json:"inner_classes"`
	// Notes name what is worth knowing, such as differences from the counts that
	// the sources promise.
	Notes   []string `json:"notes,omitempty"`
	Already bool     `json:"already,omitempty"` // there was nothing to do
	// Job says which job of an array this was, as "3/8": then all of this tells of its
	// share alone. "" where the dataset is whole.
	Job string `json:"job,omitempty"`
}

// LostImages counts what is not in the dataset though it is an image, or was
// named as one: the refused and the skipped.
func (s *Summary) LostImages() int64 {
	return s.Rejected + skippedImages(s.Skipped)
}

func skippedImages(all []layout.Skipped) (n int64) {
	for _, k := range all {
		if k.Images {
			n += int64(k.Count)
		}
	}
	return n
}

const defaultShardBytes = 256 << 20

// complete checks the options and fills in what is left out.
func (o *Options) complete() error {
	if o.Out == nil || o.Out == files.Local("") {
		return errors.New("no directory for the dataset")
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
	if o.OnRead == nil {
		o.OnRead = func(int64, int) {}
	}
	splits := []string{o.Split}
	for _, s := range o.Sources {
		splits = append(splits, s.Split)
	}
	for _, s := range splits {
		if s != "" && s != "train" && s != "val" && s != "test" {
			return &OptionError{"as-split", fmt.Sprintf("%q is not train, val or test", s)}
		}
	}
	switch {
	case len(o.Sources) == 0 && len(o.Boxes) == 0:
		return errors.New("nothing to read")
	case o.Jobs < 0 || o.Job < 0 || o.Job > max(o.Jobs-1, 0):
		return &OptionError{"job", fmt.Sprintf("%d of %d", o.Job, o.Jobs)}
	case o.Jobs > 0 && o.Overwrite:
		return &OptionError{"overwrite", "jobs of an array make a dataset where none is: remove what is to be made anew, or make it by one call without --job"}
	case o.Jobs > 0 && len(o.Sources) == 0:
		return &OptionError{"job", "boxes alone are added to a dataset by one call"}
	case o.Jobs > 0 && slices.ContainsFunc(o.Sources, func(s Source) bool { return s.Path == "-" }):
		return &OptionError{"job", "a pipe is read by one call: it cannot be shared out among jobs"}
	case o.Resize < 0:
		return &OptionError{"shrink", fmt.Sprintf("%d pixels", o.Resize)}
	case o.Quality < 1 || o.Quality > 100:
		return &OptionError{"quality", fmt.Sprintf("%d is not from 1 to 100", o.Quality)}
	case o.ShardBytes < 1:
		return &OptionError{"shard-bytes", fmt.Sprintf("%d bytes", o.ShardBytes)}
	case o.Workers < 1:
		return &OptionError{"workers", fmt.Sprintf("%d of them", o.Workers)}
	case !(o.ValFraction >= 0 && o.ValFraction < 1):
		return &OptionError{"val-fraction", fmt.Sprintf("%g is not from 0 to below 1", o.ValFraction)}
	case o.Check < CheckDecode || o.Check > CheckHeader:
		return &OptionError{"check-images", o.Check.String()}
	case o.OnBad < Quarantine || o.OnBad > Fail:
		return &OptionError{"on-bad", o.OnBad.String()}
	}
	return nil
}
