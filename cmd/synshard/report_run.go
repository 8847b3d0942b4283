package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/runlog"
	"github.com/synshard/synshard/web/report"
)

// readRun reads what a report says of a run.
func (a *app) readRun(dir string) (*report.Run, error) {
	config, err := regular.ReadFile(filepath.Join(dir, "config.yaml"), regular.Document)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	newest, err := a.newestOf(dir)
	if err != nil {
		return nil, err
	}
	run, err := report.ReadRun(ui.Text(a.remote.paths.Shown(dir)), filepath.Join(dir, runlog.Name), string(config), newest.Step, newest.Evals)
	return run, noRun(dir, err)
}

// drawCurves draws a run's curves alone.
func (a *app) drawCurves(dir, out string) error {
	newest, err := a.newestOf(dir)
	if err != nil {
		return err
	}
	log, h := filepath.Join(dir, runlog.Name), runlog.History{}
	if err := runlog.Check(log, newest.Step, newest.Evals, h.Add); err != nil {
		return noRun(dir, err)
	}
	if err := h.Write(out); err != nil {
		return fmt.Errorf("curves: %s: %w", log, err)
	}
	return a.printReport(out)
}

// drawPlots draws the plots of a run, or of predictions, alone.
func (a *app) drawPlots(in reportInputs, out string, o reportOptions) error {
	if in.run != "" {
		return a.drawCurves(in.run, out)
	}
	var opts report.Options
	if err := a.reportSets(in.files, o, &opts); err != nil {
		return err
	}
	if err := report.WritePlots(out, opts); err != nil {
		return err
	}
	return a.printReport(out)
}

// noRun makes an error of reading a log that is not there one of usage.
func noRun(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("%s holds no run: %w", dir, err)
	}
	return err
}

// newestOf is where the newest checkpoint of a run stands, which tells what a log has
// lost at its end; the zero value where there is none. One that is damaged tells nothing,
// nor does an older one in its place: checkpoint.ErrDamaged.
func (a *app) newestOf(dir string) (checkpoint.Position, error) {
	if far, ok := a.remote.runs[dir]; ok {
		if far.err != nil {
			a.Warnf("%s: whether %s lacks lines at its end is not known: %v", dir, runlog.Name, far.err)
		}
		return far.newest, nil
	}
	newest, err := checkpoint.Newest(dir, func(_ string, err error) error { return err })
	if newest == nil || err != nil {
		return checkpoint.Position{}, err
	}
	return newest.Position, nil
}
