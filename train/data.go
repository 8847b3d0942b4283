package train

import (
	"context"
	"fmt"

	"github.com/synshard/synshard/loader"
)

// Batches hands out an epoch's batches in order. *loader.Loader is one.
type Batches interface {
	Next() (*loader.Batch, error) // to be released by who asked; io.EOF ends the epoch
	Stats() loader.Stats          // of this epoch so far
	Close() error                 // ends the epoch, done or not
}

// Data is what is trained and validated on.
type Data interface {
	// Train opens an epoch, counted from 0, from sample start of its order on, in
	// batches of so many images; the short last one is left out.
	Train(ctx context.Context, epoch int, start int64, batch int) (Batches, error)
	// Val opens the whole validation set in order; the last batch is padded.
	Val(ctx context.Context, batch int) (Batches, error)
	// TrainSet and ValSet say how many images there are and their labels. A
	// validation set without images is none.
	TrainSet() Labels
	ValSet() Labels
}

// Labels are the classes of a set of images.
type Labels interface {
	Len() int          // images
	Label(i int) int64 // of image i, from 0; -1 is none
}

// Loaded is Data read through loaders. The options are templates: what differs
// from epoch to epoch (batch, epoch, start, order, size) is filled in. Validation
// images whose OnError says to carry on are not counted.
type Loaded struct {
	TrainSource, ValSource   loader.Source       // what is learnt, and what is measured
	TrainOptions, ValOptions loader.Options      // of each; TrainOptions' size is the largest there is
	TrainSize                func(epoch int) int // of training images; nil: TrainOptions'
	Seed                     uint64              // of the order and of what is random in images
}

// TrainSet gives the training source's labels.
func (d *Loaded) TrainSet() Labels { return d.TrainSource }

// ValSet gives the validation source's labels.
func (d *Loaded) ValSet() Labels { return d.ValSource }

// Train opens a shuffled epoch.
func (d *Loaded) Train(ctx context.Context, epoch int, start int64, batch int) (Batches, error) {
	o := d.TrainOptions
	o.Batch, o.Epoch, o.Start, o.Seed = batch, epoch, start, d.Seed
	o.Shuffle, o.DropLast = true, true
	if d.TrainSize != nil {
		cut := *o.Train
		cut.Size = d.TrainSize(epoch)
		o.Train, o.Size = &cut, cut.Size
	}
	l, err := loader.New(ctx, d.TrainSource, o)
	if err != nil {
		return nil, fmt.Errorf("training data: %w", err)
	}
	return l, nil
}

// Val opens the validation set in order.
func (d *Loaded) Val(ctx context.Context, batch int) (Batches, error) {
	o := d.ValOptions
	o.Batch, o.Epoch, o.Start, o.Seed = batch, 0, 0, d.Seed
	o.Shuffle, o.DropLast = false, false
	l, err := loader.New(ctx, d.ValSource, o)
	if err != nil {
		return nil, fmt.Errorf("validation data: %w", err)
	}
	return l, nil
}

// Fits says whether there is memory for batches of so many images (loader.Options.Fits).
func (d *Loaded) Fits(batch int) error {
	for _, o := range []loader.Options{d.TrainOptions, d.ValOptions} {
		o.Batch = batch
		if err := o.Fits(); err != nil {
			return err
		}
	}
	return nil
}

// census counts the images of each class and names the first whose label is
// none of them.
func census(what string, set Labels, classes []string) ([]int64, error) {
	counts := make([]int64, len(classes))
	for i := range set.Len() {
		l := set.Label(i)
		switch {
		case l == -1:
			return nil, fmt.Errorf("%s image %s has no label (-1): make the dataset anew (ingest --overwrite), which leaves images without a label out", what, called(set, i))
		case l < 0 || l >= int64(len(classes)):
			return nil, fmt.Errorf("%s image %s has label %d, and there are %d classes (0 to %d)", what, called(set, i), l, len(classes), len(classes)-1)
		}
		counts[l]++
	}
	return counts, nil
}

// called is an image's number, and its path where the set knows it.
func called(set Labels, i int) string {
	if named, ok := set.(interface{ Path(int) string }); ok {
		return fmt.Sprintf("%d (%s)", i, named.Path(i))
	}
	return fmt.Sprint(i)
}
