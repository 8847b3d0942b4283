package main

import (
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/metrics"
	"github.com/synshard/synshard/internal/ui"
)

// metricsEvery is how often a verb that works writes --metrics-file.
const metricsEvery = 15 * time.Second

// openMetrics begins --metrics-file, where it is given.
func (a *app) openMetrics(cmd *cobra.Command) error {
	switch {
	case a.metricsPath == "" || cmd.Hidden: // a hidden verb is part of another, which writes the file
		return nil
	case filepath.Ext(a.metricsPath) != metrics.Ending:
		return usagef("--metrics-file %s: its name ends in %s; the node exporter reads no others", a.metricsPath, metrics.Ending)
	case follows(cmd):
		return nil
	}
	f, err := metrics.Begin(metrics.Options{Path: a.metricsPath, Verb: verbOf(cmd), Every: metricsEvery, OnBad: func(err error) { a.Warnf("%v", err) }})
	if err != nil {
		return withCode(exitFailure, err)
	}
	a.metrics = f
	return nil
}

// counting is progress whose count goes into the metrics, too.
type counting struct {
	ui.Progress
	count *metrics.Count
}

// counted begins a count, of which a bar shows the progress.
func counted(bar ui.Progress, count *metrics.Count) ui.Progress {
	count.Set(0)
	return counting{bar, count}
}

// Add64 implements ui.Progress.
func (c counting) Add64(n int64) {
	c.Progress.Add64(n)
	c.count.Add(n)
}

// Set implements ui.Progress.
func (c counting) Set(n int64) {
	c.Progress.Set(n)
	c.count.Set(n)
}

// imageBar shows progress over images, and counts them.
func (a *app) imageBar(total int64, what string) ui.Progress {
	return counted(a.Bar(total, what, "images"), a.metrics.Images)
}

// imageByteBar shows progress over bytes of images, and counts them.
func (a *app) imageByteBar(total int64, what string) ui.Progress {
	return counted(a.ByteBar(total, what), a.metrics.Bytes)
}

// cameTo is what a verb came to at its end.
func (a *app) cameTo(images, rejected int64) {
	a.metrics.Images.Set(images)
	a.metrics.Rejected.Set(rejected)
}
