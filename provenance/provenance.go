// Package provenance tells what a prediction, a model, a run or a dataset was made from, by
// what the files themselves hold: sums, versions, options, back to the archives.
package provenance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/train/runlog"
)

// Kind is the sort of a thing.
type Kind string

// The kinds.
const (
	Predictions Kind = "predictions" // a file that infer or merge wrote
	Model       Kind = "model"       // a file of a network
	Run         Kind = "run"         // a directory of train's
	Dataset     Kind = "dataset"     // a directory of ingest's
	Source      Kind = "source"      // archives, folders, lists, that images came from
	Weights     Kind = "weights"     // tensors that a run began with
	File        Kind = "file"        // a part of one of these
)

// SHA256 is the algorithm of a digest that is the sum of a file's bytes. Others are called
// after what they are the sum of.
const SHA256 = "sha256"

// Input is what a thing says that it was made from.
type Input struct {
	Kind   Kind   // what it is
	Name   string // as the thing calls it
	Digest Digest // of its bytes, or by which it is known
	Facts  []Fact // what else is said of it
}

// Digest is a sum: its algorithm and its digits. The zero Digest is none.
type Digest struct {
	Algorithm string // SHA256, or the name of what it is a sum of
	Value     string // hexadecimal digits
}

// Fact is a value by name.
type Fact struct {
	Name  string // as the file has it, or a word for it
	Value string // likewise
}

// Thing is what something says of itself.
type Thing struct {
	Kind   Kind    // what it is
	Path   string  // as it was given, or found
	Digest Digest  // of its bytes, or of what stands for all of it
	Facts  []Fact  // what else it says, in order
	From   []Input // what it was made from
	// Files are the files that are parts of it, with their sums, of which those of others
	// may speak: paths relative to Path.
	Files []Input
}

func (t *Thing) fact(name, value string) {
	if value != "" {
		t.Facts = append(t.Facts, Fact{name, value})
	}
}

// ErrUnknown marks a file or a directory that says nothing of what it was made from: nothing
// that synshard made, or what has lost that.
var ErrUnknown = errors.New("it does not say what it was made from")

// Of reads what the file or directory at a path says of itself.
func Of(path string) (*Thing, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	t := &Thing{Path: path}
	if info.IsDir() {
		return t, t.directory()
	}
	return t, t.file()
}

// directory reads what a directory holds.
func (t *Thing) directory() error {
	for _, kind := range []struct {
		file string
		read func() error
	}{{shard.ManifestName, t.dataset}, {runlog.Name, t.run}} {
		switch is, err := holds(t.Path, kind.file); {
		case err != nil:
			return err
		case is:
			return kind.read()
		}
	}
	return fmt.Errorf("%s: neither predictions nor a model, a run or a dataset of synshard's: %w", t.Path, ErrUnknown)
}

// holds says whether a directory has a file of a name.
func holds(dir, name string) (bool, error) {
	info, err := files.Look(files.Local(dir), name)
	return info != nil && info.Mode().IsRegular(), err
}

// file reads a file: a model by its ending, else predictions.
func (t *Thing) file() error {
	switch strings.ToLower(filepath.Ext(t.Path)) {
	case ".onnx":
		_, id, err := onnx.Load(t.Path)
		if err != nil {
			return err
		}
		t.Kind, t.Digest = Model, Digest{SHA256, id.Sum}
		return t.network()
	case ".safetensors", ".pth", ".pt":
		t.Kind = Model
		if err := t.sum(); err != nil {
			return err
		}
		return t.network()
	}
	t.Kind = Predictions
	if err := t.sum(); err != nil {
		return err
	}
	md, err := prediction.Metadata(t.Path)
	if err != nil {
		return err
	}
	return t.predictions(md)
}

func (t *Thing) sum() error {
	sum, err := regular.SHA256(t.Path)
	t.Digest = Digest{SHA256, sum}
	return err
}
