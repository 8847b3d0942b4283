package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/standin"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/cluster/meeting"
)

// trainOut is the run directory that stands for an --out at a URL, and nil where that is
// a path.
type trainOut struct{ *standin.Dir }

// openOut opens what --out names and has flags.out be a path: of a URL the directory
// that stands for it, or, to measure alone, a copy of what is measured.
func (a *app) openOut(ctx context.Context, flags *trainOptions, stop func()) (trainOut, error) {
	if !storage.IsURL(flags.out) {
		return trainOut{}, nil
	}
	if flags.evalOnly {
		path, err := a.remote.paths.Tree(ctx, flags.out, train.EvaluationFiles)
		flags.out = path
		return trainOut{}, err
	}
	who, err := storage.ThisProcess()
	if err != nil {
		return trainOut{}, err
	}
	d, err := a.remote.paths.Directory(ctx, flags.out, standin.DirOptions{
		Rank: train.DurableRank, Private: func(name string) bool { return name == meeting.SecretName },
		Holder:    who,
		OnWait:    func(err error) { a.Logf("%v; waiting to see whether its holder is alive", err) },
		OnTrouble: func(err error) { a.Warnf("%v", err) }, OnLost: stop,
	})
	if err != nil {
		return trainOut{}, err
	}
	flags.out = d.Path
	return trainOut{d}, nil
}

// durable is train.Options.OnDurable.
func (o trainOut) durable(final bool) error {
	if err := o.Commit(); err != nil || !final {
		return err
	}
	return o.Wait()
}

// close lets the directory go, and adds to how a run ended that it is not there.
func (o trainOut) close(err error) error {
	if o.Dir == nil {
		return err
	}
	failed := o.Close()
	if failed != nil && err != nil {
		return fmt.Errorf("%v; but not all of it is there: %w", err, failed)
	}
	return errors.Join(err, failed)
}

// figures are what went to and from the store; nil where the run is here.
func (o trainOut) figures() *storage.Figures {
	if o.Dir == nil {
		return nil
	}
	f := o.Figures()
	return &f
}
