package main

import (
	"cmp"
	"errors"
	"sync/atomic"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/views"
)

// trainData is the dataset a run reads.
type trainData struct {
	*views.Views
	set    *shard.Dataset
	points *loader.Points // nil where a run has one epoch
}

// complaints about unreadable images shown before the rest is only counted
// in the log.
const maxComplaints = 10

// openTrainData opens the views of both splits.
func (a *app) openTrainData(dir string, flags trainOptions) (*trainData, error) {
	set, err := a.openSet(dir)
	if err != nil {
		return nil, err
	}
	d := &trainData{set: set}
	if d.Views, err = a.openTrainViews(set, flags); err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return d, nil
}

func (a *app) openTrainViews(set *shard.Dataset, flags trainOptions) (*views.Views, error) {
	sel, err := flags.selection.selection()
	if err != nil {
		return nil, err
	}
	g, err := a.graphOf(sel, flags.selection)
	if err != nil {
		return nil, err
	}
	if h := flags.heldOut.is; flags.split == flags.valSplit && h.Fraction == 0 && h.Folds == 0 {
		a.Warnf("%s is trained on and validated on: accuracies say nothing of other images (--val-split, --val-fraction)", flags.split)
	}
	sel.OnSense = a.tellSenses(g)
	var complaints atomic.Int64
	return views.Open(set, views.Options{
		Split: flags.split, ValSplit: flags.valSplit, Selection: sel, Graph: g, HeldOut: flags.heldOut.is,
		OnLeftOut: func(split, name string, err error) {
			if complaints.Add(1) <= maxComplaints {
				a.Logf("warning: %s image %s is left out: %v", split, name, err)
			}
		},
	})
}

// Close closes the dataset.
func (d *trainData) Close() error {
	if d.points != nil {
		d.points.Close()
	}
	return d.set.Close()
}

// cached is the data by a recipe, with the cache flags laid over the images; d's Close
// ends it.
func (a *app) cached(d *trainData, r recipe.Recipe, flags trainOptions, alloc func(int) ([]byte, func(), error)) (*train.Loaded, error) {
	l := d.Data(r, flags.workers, alloc)
	d.points = l.TrainOptions.Points
	switch remote := d.set.Remote(); {
	case remote && flags.cache.mode != "page":
		return nil, usagef("--cache %s is for datasets in a directory; of one at a URL images are kept in --cache-dir", flags.cache.mode)
	case remote:
		return l, d.Keep(a.remote.sets[d.set], l, cmp.Or(a.remote.cacheBytes, mostKept))
	}
	l.TrainSource = flags.cache.apply(d.Train, d.set, d.Train.Row, &l.TrainOptions)
	return l, nil
}
