// Package mlflow tells an MLflow tracking server what a training run's log says. The log
// is the queue: what the server has not yet is read from there when it answers, so that a
// server that is away neither stops nor slows a run, and loses nothing.
package mlflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/train/runlog"
)

// Options say whom to tell of which run.
type Options struct {
	URI                       string          // of the server, as CheckURI takes it
	Token, Username, Password string          // credentials; "": none
	Experiment                string          // made where there is none
	Dir                       string          // the run's directory
	Name                      string          // the run's, for people
	Params, Tags              [][2]string     // names and values: of the recipe, of what the run is made from
	Already                   bool            // the run had come to its end before this call
	Stride                    int64           // every so many steps are told; 0 means each
	OnTrouble                 func(err error) // the server does not answer, or refuses: told once until it answers again

	every    time.Duration // between two looks at the log; 0: 5 s
	patience time.Duration // Close's; 0: Patience
}

// Patience bounds what Close waits for the server, an upload in motion apart.
const Patience = 30 * time.Second

// The metrics that say how far the server is.
const (
	stepKey = "epoch"
	evalKey = "val/top1"
)

const (
	everyLook  = 5 * time.Second
	mostWait   = 5 * time.Minute // between two tries at a server that is away
	batchMost  = 1000            // metrics of a request, the server's limit
	stepsMost  = 10_000          // Stride's
	artifactIn = "mlflow-artifacts"
)

// StrideFor is how many steps one that is told stands for in a run of so many, so that a
// curve has at most 10,000 points.
func StrideFor(steps int64) int64 { return max(1, (steps+stepsMost-1)/stepsMost) }

// Exporter follows a run's log. Its work is done in a goroutine of its own.
type Exporter struct {
	o      Options
	client *client
	lines  *runlog.Follower
	queue  []runlog.Record // read, and not yet told
	id     string          // the server's run; "": not connected
	at     position
	bad    atomic.Bool // the last try failed
	sent   bool        // metrics, by this call

	end    chan struct{}
	ended  chan struct{}
	cancel context.CancelFunc
}

// Start begins to tell of a run whose log is there. Nothing waits for the server.
func Start(o Options) (*Exporter, error) {
	o.every = cmp.Or(o.every, everyLook)
	o.patience = cmp.Or(o.patience, Patience)
	o.Stride = max(o.Stride, 1)
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	follower, err := runlog.Follow(filepath.Join(o.Dir, runlog.Name))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Exporter{o: o, client: c, lines: follower, end: make(chan struct{}), ended: make(chan struct{}), cancel: cancel}
	go e.keep(ctx)
	return e, nil
}

// keep tells what the log has, now and then; a server that is away is asked ever more
// seldom.
func (e *Exporter) keep(ctx context.Context) {
	defer close(e.ended)
	wait := time.Duration(0)
	for {
		select {
		case <-e.end:
			return
		case <-time.After(wait):
		}
		if err := e.tell(ctx); err != nil {
			e.trouble(ctx, err)
			wait = min(max(2*wait, e.o.every), mostWait)
			continue
		}
		e.bad.Store(false)
		wait = e.o.every
	}
}

// trouble tells of an error, the first of a row.
func (e *Exporter) trouble(ctx context.Context, err error) {
	e.id = "" // how far the server came is asked anew
	if ctx.Err() == nil && !e.bad.Swap(true) {
		e.o.OnTrouble(err)
	}
}

// tell tells all that the log has now.
func (e *Exporter) tell(ctx context.Context) error {
	if e.id == "" {
		if err := e.connect(ctx); err != nil {
			return err
		}
		if e.over() {
			return e.drain(ctx)
		}
		if err := e.describe(ctx); err != nil {
			return err
		}
	}
	return e.drain(ctx)
}

// over says whether the server knows of the end of a run that came to it before.
func (e *Exporter) over() bool { return e.o.Already && e.at.status == string(Finished) }

// drain sends the log's lines that are there, in requests as large as the server takes.
func (e *Exporter) drain(ctx context.Context) error {
	for {
		more, err := e.read()
		if err != nil {
			return err
		}
		var batch []metric
		for _, rec := range e.queue {
			batch = append(batch, e.metrics(rec)...)
		}
		if len(batch) > 0 {
			if err := e.log(ctx, map[string]any{"metrics": batch}); err != nil {
				return err
			}
			e.sent = true
			for _, m := range batch {
				switch m.Key {
				case stepKey:
					e.at.step = max(e.at.step, m.Step)
				case evalKey:
					e.at.validated = max(e.at.validated, m.Step)
				}
			}
		}
		e.queue = e.queue[:0]
		if !more {
			return nil
		}
	}
}

// read fills the queue, and says whether it is full.
func (e *Exporter) read() (full bool, err error) {
	const each = 10 // metrics of a line, at most
	for len(e.queue) < batchMost/each {
		rec, there, err := e.lines.Next()
		if err != nil || !there {
			return false, err
		}
		if rec.Kind == "step" && rec.Step%e.o.Stride == 0 || rec.Kind == "eval" && rec.Raw != nil {
			e.queue = append(e.queue, rec)
		}
	}
	return true, nil
}

// metrics are what a line tells that the server has not.
func (e *Exporter) metrics(rec runlog.Record) (out []metric) {
	add := func(key string, value float64) {
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			out = append(out, metric{key, value, rec.Time.UnixMilli(), rec.Step})
		}
	}
	switch {
	case rec.Kind == "step" && rec.Step > e.at.step:
		add(stepKey, rec.Epoch)
		for key, v := range map[string]*float64{"train/loss": rec.Loss, "train/main_loss": rec.MainLoss, "train/cross_entropy": rec.CrossEntropy} {
			if v != nil {
				add(key, *v)
			}
		}
		add("train/top1", rec.Top1)
		add("train/learning_rate", rec.LR)
		add("speed/images_per_s", rec.PerSecond)
	case rec.Kind == "eval" && rec.Step > e.at.validated && rec.Finite():
		rec := rec.Counted()
		for group, s := range map[string]*runlog.Score{"val": rec.Raw, "val_ema": rec.EMA} {
			if s != nil {
				add(group+"/top1", s.Top1)
				add(group+"/top5", s.Top5)
				add(group+"/loss", float64(s.Loss))
			}
		}
	}
	return out
}

// Outcome is how a call of a run ended.
type Outcome string

// The outcomes, as the server calls them.
const (
	Finished Outcome = "FINISHED" // the run is done
	Stopped  Outcome = "KILLED"   // stopped, and can go on
	Failed   Outcome = "FAILED"
)

// Close tells the rest, how the run ended, and the files that a person wants beside the
// curves. A server that is away is not waited for, and one that hangs for Patience in all,
// in which no file's upload counts while its bytes are taken: the error says that it has not
// all, and a call of the same run tells it. ctx may bound the time further.
func (e *Exporter) Close(ctx context.Context, how Outcome) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var hung atomic.Bool
	patience := time.AfterFunc(e.o.patience, func() { hung.Store(true); cancel() })
	defer patience.Stop()
	close(e.end)
	if e.bad.Load() { // what is asked right now is not waited for
		e.cancel()
	}
	select {
	case <-e.ended:
	case <-ctx.Done():
		e.cancel()
		<-e.ended
	}
	defer e.cancel()
	defer func() { e.lines.Close() }()
	err := e.tell(ctx)
	if err == nil && e.over() && !e.sent {
		return nil
	}
	if err == nil {
		err = e.files(ctx, how, func() { patience.Reset(e.o.patience) })
	}
	if err == nil {
		err = e.setStatus(ctx, string(how))
	}
	if err != nil && hung.Load() {
		err = fmt.Errorf("mlflow: %s: it takes nothing for %v", e.client.base.Host, e.o.patience)
	}
	if err != nil {
		return fmt.Errorf("%w; the server has not all of the run, and the same command sends what it lacks", err)
	}
	return nil
}

// errElsewhere says that a server does not take artifacts by its REST API.
var errElsewhere = errors.New("mlflow: the server takes no artifacts itself (mlflow server --serve-artifacts): they stay in the run's directory")

// files sends recipe and curves, and of a finished run its weights. moved is called as
// bytes of them are taken.
func (e *Exporter) files(ctx context.Context, how Outcome, moved func()) error {
	names := []string{"config.yaml", "curves.png"}
	if how == Finished {
		names = append(names, "model.onnx", "model.safetensors")
	}
	at, err := url.Parse(e.at.artifacts)
	if err != nil || at.Scheme != artifactIn {
		e.o.OnTrouble(errElsewhere)
		return nil
	}
	below := strings.TrimPrefix(at.Path, "/api/2.0/mlflow-artifacts/artifacts")
	for _, name := range names {
		f, info, err := regular.Open(filepath.Join(e.o.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("mlflow: %w", err)
		}
		err = e.client.upload(ctx, strings.TrimPrefix(below+"/"+name, "/"), moving{f, moved}, info.Size())
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// moving calls moved with each read.
type moving struct {
	io.Reader
	moved func()
}

// Read implements io.Reader.
func (m moving) Read(b []byte) (int, error) {
	m.moved()
	return m.Reader.Read(b)
}
