package main

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/mlflow"
	"github.com/synshard/synshard/train/recipe"
)

// trackingOptions are the flags of train that say which MLflow server is told.
type trackingOptions struct{ uri, experiment string }

const trackingExperiment = "synshard"

// AddFlags adds them to the verb.
func (o *trackingOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.uri, "mlflow", "", "tell the MLflow tracking server at this address too (http://HOST:PORT); credentials: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
	f.StringVar(&o.experiment, "mlflow-experiment", trackingExperiment, "its experiment, made where there is none")
}

func (o *trackingOptions) check(evalOnly bool) error {
	switch {
	case o.uri == "" && o.experiment != trackingExperiment:
		return usagef("--mlflow-experiment has no effect without --mlflow")
	case o.uri == "":
		return nil
	case evalOnly:
		return usagef("--mlflow has no effect with --eval-only: a training run is what the server is told of")
	case o.experiment == "":
		return usagef("--mlflow-experiment names an experiment")
	}
	if _, err := mlflow.CheckURI(o.uri); err != nil {
		shown := "" // anything but scheme and host may be a password or a token
		if u, failed := url.Parse(o.uri); failed == nil && u.Host != "" {
			shown = " " + u.Scheme + "://" + u.Host
		}
		return usagef("--mlflow%s: %w", shown, err)
	}
	return nil
}

// tracker tells an MLflow server how a run goes. One without an address tells nobody.
type tracker struct {
	a        *app
	o        mlflow.Options
	exporter *mlflow.Exporter
}

// stoppedTime bounds what a run that was stopped waits for the server.
const stoppedTime = 15 * time.Second

func (a *app) newTracker(flags trainOptions) *tracker {
	return &tracker{a: a, o: mlflow.Options{
		URI: flags.tracking.uri, Experiment: flags.tracking.experiment, Name: storage.Shown(flags.out),
		Token: os.Getenv("MLFLOW_TRACKING_TOKEN"), Username: os.Getenv("MLFLOW_TRACKING_USERNAME"), Password: os.Getenv("MLFLOW_TRACKING_PASSWORD"),
		OnTrouble: func(err error) { a.Warnf("%v; the run goes on, and what is not told yet will be", err) },
	}}
}

// start begins to tell of the run in a directory, whose log is there.
func (t *tracker) start(dir string, rec recipe.Recipe, from checkpoint.Identity, steps int64) {
	if t.o.URI == "" {
		return
	}
	t.o.Dir, t.o.Stride = dir, mlflow.StrideFor(steps)
	var err error
	if t.o.Params, err = rec.Table(); err == nil {
		t.o.Tags = [][2]string{{"synshard.version", buildVersion()}}
		for _, name := range slices.Sorted(maps.Keys(from)) {
			t.o.Tags = append(t.o.Tags, [2]string{"made_from." + name, from[name]})
		}
		t.exporter, err = mlflow.Start(t.o)
	}
	if err != nil {
		t.a.Warnf("%v; the server is not told of the run", err)
	}
}

// close tells how the run ended.
func (t *tracker) close(ctx context.Context, err error) {
	if t.exporter == nil {
		return
	}
	how := mlflow.Finished
	switch {
	case errors.Is(err, train.ErrStopped) || ctx.Err() != nil:
		how = mlflow.Stopped
	case err != nil:
		how = mlflow.Failed
	}
	if how != mlflow.Finished {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), stoppedTime)
		defer cancel()
	}
	if err := t.exporter.Close(ctx, how); err != nil {
		t.a.Warnf("%v", err)
	}
}

// finished tells of a run that was finished before.
func (t *tracker) finished(ctx context.Context, o train.Options, res train.Result) {
	t.o.Already = true
	t.start(o.Dir, o.Recipe, o.MadeFrom, res.Steps)
	t.close(ctx, nil)
}
