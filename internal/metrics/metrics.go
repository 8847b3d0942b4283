// Package metrics writes what a call of a verb does to a file for Prometheus's node
// exporter, whose textfile collector reads *.prom: for jobs of cron, which end before
// anybody scrapes them.
package metrics

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// Ending is that of the files' names: the collector reads no others.
const Ending = ".prom"

const prefix = "synshard_" // of all names

const lastSuccess = "synshard_last_success_timestamp_seconds"

// Options say what is written, and where.
type Options struct {
	Path  string          // ends in Ending
	Verb  string          // label of every metric; the file's name without Ending is the other
	Every time.Duration   // between two writes while the verb works
	OnBad func(err error) // the file cannot be written: told once
}

// File is the file of one call. Of what is counted only what was ever set is written.
// The zero File counts nothing and writes nothing.
type File struct {
	Images   *Count // done: written, read, trained on, predicted or measured
	Rejected *Count // images that could not be taken
	Bytes    *Count // of images, read or written

	o                       Options
	gatherer                prometheus.Gatherer
	registry                prometheus.Registerer // adds the labels
	running, start, seconds prometheus.Gauge
	success, code           prometheus.Gauge
	began                   time.Time

	mu   sync.Mutex // one write at a time
	bad  bool
	stop chan struct{}
	done chan struct{}
	once sync.Once
}

// Count is a number in a File that is there once it is set. It may be set from any
// goroutine; a nil Count counts nothing.
type Count struct {
	gauge prometheus.Gauge
	first sync.Once
	to    prometheus.Registerer
}

// Set makes the count n.
func (c *Count) Set(n int64) {
	if c != nil {
		c.gauge.Set(float64(n))
		c.appear()
	}
}

// Add adds n to it.
func (c *Count) Add(n int64) {
	if c != nil {
		c.gauge.Add(float64(n))
		c.appear()
	}
}

func (c *Count) appear() { c.first.Do(func() { c.to.MustRegister(c.gauge) }) }

// Begin writes the file for the first time, which says that the verb works, and goes on to
// write it now and then, until End. When the call before it ended well stays in it.
func Begin(o Options) (*File, error) {
	f := &File{o: o, began: time.Now(), stop: make(chan struct{}), done: make(chan struct{})}
	before, err := readSuccess(o.Path)
	if err != nil {
		return nil, err
	}
	f.register(before)
	if err := f.write(); err != nil {
		return nil, err
	}
	go f.keep()
	return f, nil
}

// readSuccess is when the call whose file lies there ended well; 0: never, or there is no
// file. A file that is none of ours is an error.
func readSuccess(path string) (float64, error) {
	text, err := regular.ReadFile(path, regular.Document)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		return 0, fmt.Errorf("metrics: %s is no file of metrics: %w", path, err)
	}
	if !ours(families) && len(text) > 0 {
		return 0, fmt.Errorf("metrics: %s is another program's: none of its metrics begins with %s", path, prefix)
	}
	for _, m := range families[lastSuccess].GetMetric() {
		return m.GetGauge().GetValue(), nil
	}
	return 0, nil
}

// ours says whether some of the metrics are of this program.
func ours(families map[string]*dto.MetricFamily) bool {
	for name := range families {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// register makes the gauges.
func (f *File) register(before float64) {
	all := prometheus.NewRegistry()
	f.gatherer = all
	f.registry = prometheus.WrapRegistererWith(prometheus.Labels{"verb": f.o.Verb, "task": task(f.o.Path)}, all)
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	count := func(name, help string) *Count { return &Count{gauge: gauge(name, help), to: f.registry} }
	f.running = gauge("synshard_running", "1 while the verb works; one that was killed leaves it so.")
	f.start = gauge("synshard_start_timestamp_seconds", "When the verb was called.")
	f.seconds = gauge("synshard_duration_seconds", "How long it has worked.")
	f.success = gauge(lastSuccess, "When a call last ended with exit code 0 or 3, which is done with some images refused.")
	f.code = gauge("synshard_exit_code", "How the verb ended.")
	f.registry.MustRegister(f.running, f.start, f.seconds)
	f.running.Set(1)
	f.start.Set(seconds(f.began))
	if before > 0 {
		f.success.Set(before)
		f.registry.MustRegister(f.success)
	}
	f.Images = count("synshard_images", "Images done: written, read, trained on, predicted or measured.")
	f.Rejected = count("synshard_rejected_images", "Images that could not be taken, with the reason told.")
	f.Bytes = count("synshard_bytes", "Bytes of images read or written.")
}

// task is a file's name without its ending: UTF-8, as labels are, whatever the name is.
func task(path string) string {
	return strings.ToValidUTF8(strings.TrimSuffix(filepath.Base(path), Ending), "\uFFFD")
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// keep writes now and then.
func (f *File) keep() {
	defer close(f.done)
	t := time.NewTicker(f.o.Every)
	defer t.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-t.C:
			f.tell(f.write())
		}
	}
}

// tell tells of what is wrong with the file, once.
func (f *File) tell(err error) {
	if err != nil && !f.bad {
		f.bad = true
		f.o.OnBad(err)
	}
}

// End writes the file for the last time: how the verb ended. What follows is nothing.
func (f *File) End(code int) {
	if f.stop == nil { // of the zero File
		return
	}
	f.once.Do(func() {
		close(f.stop)
		<-f.done
		f.running.Set(0)
		f.code.Set(float64(code))
		f.registry.MustRegister(f.code)
		if code == 0 || code == 3 {
			f.success.Set(seconds(time.Now()))
			if err := f.registry.Register(f.success); err != nil && !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
				panic(err)
			}
		}
		f.tell(f.write())
	})
}

// write writes all gauges.
func (f *File) write() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seconds.Set(time.Since(f.began).Seconds())
	families, err := f.gatherer.Gather()
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	err = durable.WriteFile(f.o.Path, func(w io.Writer) error {
		for _, family := range families {
			if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}
