package infer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
)

// Outputs is what a network gives for n images, the caller's to keep. Embedding
// and Logits are nil where the network has none, and may be where they were not
// asked of the Predictor.
type Outputs struct {
	Probabilities []float32 // [n, classes]
	Embedding     []float32 // [n, width]
	Logits        []float32 // [n, classes]
}

// Predictor runs a network. Predict takes n images, uint8 [n, size, size, 3], which
// it may read until it returns, and is called from many goroutines. Where it has a method
// Unchanged() error, what was predicted counts only if that gives nil afterwards.
type Predictor interface {
	Predict(ctx context.Context, images []byte, n int) (Outputs, error)
}

// Source is the images, in the order of the output's rows, and what is known
// of them; *shard.View is one, *images.Images another. It is read from many
// goroutines. Where it has a method Unchanged() error, that must give nil when all
// is predicted.
type Source interface {
	Len() int            // images
	Path(i int) string   // the name of image i, from 0
	Synset(i int) string // the truth's name; "" where it is not known
	// Read gives an image's bytes, in buf where they fit. An image that cannot be
	// had by itself is source.ErrUnreadable; any other error ends the work.
	Read(i int, buf []byte) ([]byte, error)
}

// Options say what to predict over, how, and whom to tell.
type Options struct {
	Predictor Predictor  // runs the network
	Spec      model.Spec // how images are made ready for it, and its classes
	// OwnClasses says that Spec.Classes came with the model, and were not given
	// beside it: then no accuracy makes their order suspect.
	OwnClasses bool
	Source     Source // of the images

	Batch   int  // images a run of the network
	Fixed   bool // every run takes a full batch: the last one is padded
	Runs    int  // runs at a time; 0 means 1
	Workers int  // that decode; 0: one a CPU
	// Alloc is where batches lie, as loader.Options has it; nil: anywhere.
	Alloc func(n int) ([]byte, func(), error)

	// Columns say what is kept of each prediction. TopK 0 means 5; it is at most
	// the number of classes.
	Columns   prediction.Columns
	Truncated bool           // take a JPEG that ends early as far as it goes; else its row has the error
	Job       prediction.Job // the share of the rows that is predicted

	// Input says what the images are, Model which network it is, by the content of
	// every file of it, and Backend what runs it, so that a rerun knows whether earlier work
	// still holds; so does Chosen, what was said of the model beside its files. Notes, by name,
	// are kept in the output's metadata.
	Input, Model, Backend string
	Chosen, Notes         map[string]string
	// Overwrite starts anew where the output holds other predictions.
	Overwrite bool

	// OnRow is called from many goroutines, OnError from one, in the order of rows, when those
	// around an image are done. Each may be nil.
	OnRow   func(n int)               // as n more rows are done
	OnKept  func(n int)               // rows that an earlier run had done; once
	OnError func(path, reason string) // of an image that could not be read or predicted; its row is kept
}

func (o *Options) check() error {
	if o.Columns.TopK == 0 {
		o.Columns.TopK = 5
	}
	o.Columns.TopK = min(o.Columns.TopK, len(o.Spec.Classes))
	o.Runs = max(o.Runs, 1)
	if o.Batch < 1 || o.Predictor == nil || o.Source == nil {
		return fmt.Errorf("infer: batch %d, predictor %v, source %v", o.Batch, o.Predictor != nil, o.Source != nil)
	}
	if o.OnRow == nil {
		o.OnRow = func(int) {}
	}
	if o.OnKept == nil {
		o.OnKept = func(int) {}
	}
	if o.OnError == nil {
		o.OnError = func(string, string) {}
	}
	return errors.Join(o.Spec.Check(), o.Columns.Check(), o.Job.Check())
}

// header is what the output says of itself. What changes no byte of the rows is no
// part of its identity.
func (o *Options) header() prediction.Header {
	c := o.Columns
	options := map[string]string{
		"batch": strconv.Itoa(o.Batch), "fixed_batch": strconv.FormatBool(o.Fixed), "rows": strconv.Itoa(o.Source.Len()),
		"top_k": strconv.Itoa(c.TopK), "probabilities": strconv.FormatBool(c.Probabilities), "logits": strconv.FormatBool(c.Logits),
		"embedding": c.Embedding, "truncated": strconv.FormatBool(o.Truncated),
		"pixels": pixel.Arithmetic,
	}
	var derived []string
	for _, d := range c.Derived {
		derived = append(derived, d.Name+": "+d.Key)
	}
	options["derived"] = strings.Join(derived, "; ")
	maps.Copy(options, o.Chosen)
	if c.Embedding == "" {
		delete(options, "embedding-output") // of which nothing is kept
	}
	return prediction.Header{
		Identity: prediction.Identity{Model: o.Model, Spec: o.Spec, Backend: o.Backend, Input: o.Input, Options: options},
		Job:      o.Job, Notes: o.Notes, BatchRows: o.chunkRows(),
	}
}

// Rows is how many rows are asked for: the source's, or those of the job.
func (o *Options) Rows() int {
	from, to := o.Job.Range(o.Source.Len(), o.Batch)
	return to - from
}

// Most rows and bytes of a chunk of the output: what is lost at most when work
// is cut short, and about half of what is held in memory.
const (
	chunkRows  = 2048
	chunkBytes = 32 << 20
)

// chunkRows is how many rows are written at a time, a multiple of the batch.
func (o *Options) chunkRows() int {
	c := o.Columns
	width := 64 + 32*c.TopK
	for _, all := range []bool{c.Probabilities || len(c.Derived) > 0, c.Logits} {
		if all {
			width += 4 * len(o.Spec.Classes)
		}
	}
	if c.Embedding != "" {
		width += 4 * c.Width
	}
	rows := min(chunkRows, chunkBytes/width)
	return max(rows/o.Batch, 1) * o.Batch
}

// chunks cuts the rows that are asked for into runs.
func (o *Options) chunks() []prediction.Chunk {
	var all []prediction.Chunk
	from, to := o.Job.Range(o.Source.Len(), o.Batch)
	for size := o.chunkRows(); from < to; from += size {
		all = append(all, prediction.Chunk{Number: len(all), From: from, To: min(from+size, to)})
	}
	return all
}
