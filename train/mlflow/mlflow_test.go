package mlflow

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/train/runlog"
)

// server is as much of a tracking server as is spoken to, and refuses what it does: more
// than a request may hold, parameters that change, credentials that are not right.
type server struct {
	t  *testing.T
	mu sync.Mutex

	away      bool // answers nothing but 503
	loseOnce  bool // does what the next log-batch says, and answers 500
	forgets   bool // and has then lost all metrics of its run
	token     string
	artifacts string // scheme of where they lie

	experiments map[string]string
	runs        []*fakeRun
	files       map[string]string
	requests    int
}

type fakeRun struct {
	id, name, status, experiment string
	params, tags                 map[string]string
	metrics                      []metric
}

func newServer(t *testing.T) (*server, string) {
	s := &server{t: t, experiments: map[string]string{}, files: map[string]string{}, artifacts: "mlflow-artifacts"}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL
}

type request struct {
	Name         string   `json:"name"`
	ExperimentID string   `json:"experiment_id"`
	RunName      string   `json:"run_name"`
	RunID        string   `json:"run_id"`
	Status       string   `json:"status"`
	Filter       string   `json:"filter"`
	IDs          []string `json:"experiment_ids"`
	Tags, Params []pair
	Metrics      []struct {
		Key             string
		Value           float64
		Step, Timestamp int64
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	refuse := func(status int, code string) { answer(status, map[string]string{"error_code": code, "message": "no"}) }
	switch {
	case s.away:
		http.Error(w, "<html>away</html>", http.StatusServiceUnavailable)
		return
	case s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token:
		refuse(http.StatusUnauthorized, "UNAUTHENTICATED")
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/api/2.0/mlflow-artifacts/artifacts/"); ok && r.Method == http.MethodPut {
		b, _ := io.ReadAll(r.Body)
		s.files[name] = string(b)
		answer(http.StatusOK, map[string]any{})
		return
	}
	var in request
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			s.t.Errorf("%s: %v", r.URL.Path, err)
		}
	}
	switch name := strings.TrimPrefix(r.URL.Path, "/api/2.0/mlflow/"); name {
	case "experiments/get-by-name":
		id, ok := s.experiments[r.URL.Query().Get("experiment_name")]
		if !ok {
			refuse(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST")
			return
		}
		answer(http.StatusOK, map[string]any{"experiment": map[string]any{"experiment_id": id}})
	case "experiments/create":
		s.experiments[in.Name] = fmt.Sprint(len(s.experiments) + 1)
		answer(http.StatusOK, map[string]any{"experiment_id": s.experiments[in.Name]})
	case "runs/create":
		run := &fakeRun{id: fmt.Sprintf("r%d", len(s.runs)), name: in.RunName, status: "RUNNING", experiment: in.ExperimentID, params: map[string]string{}, tags: map[string]string{}}
		for _, t := range in.Tags {
			run.tags[t.Key] = t.Value
		}
		s.runs = append(s.runs, run)
		answer(http.StatusOK, map[string]any{"run": s.shown(run)})
	case "runs/search":
		var found []any
		for _, run := range s.runs {
			if in.Filter == fmt.Sprintf("tags.`synshard.run` = '%s'", run.tags[idTag]) && slices.Contains(in.IDs, run.experiment) {
				found = append(found, s.shown(run))
			}
		}
		answer(http.StatusOK, map[string]any{"runs": found})
	default:
		s.ofRun(name, r, in, answer, refuse)
	}
}

func (s *server) ofRun(name string, r *http.Request, in request, answer func(int, any), refuse func(int, string)) {
	id := in.RunID + r.URL.Query().Get("run_id")
	at := slices.IndexFunc(s.runs, func(r *fakeRun) bool { return r.id == id })
	if at < 0 {
		refuse(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST")
		return
	}
	run := s.runs[at]
	switch name {
	case "runs/get":
		answer(http.StatusOK, map[string]any{"run": s.shown(run)})
	case "runs/update":
		run.status = in.Status
		answer(http.StatusOK, map[string]any{})
	case "runs/log-batch":
		if len(in.Metrics) > 1000 || len(in.Params) > 100 || len(in.Tags) > 100 {
			refuse(http.StatusBadRequest, "INVALID_PARAMETER_VALUE")
			return
		}
		for _, p := range in.Params {
			if old, there := run.params[p.Key]; there && old != p.Value {
				refuse(http.StatusBadRequest, "INVALID_PARAMETER_VALUE")
				return
			}
			run.params[p.Key] = p.Value
		}
		for _, t := range in.Tags {
			run.tags[t.Key] = t.Value
		}
		for _, m := range in.Metrics {
			run.metrics = append(run.metrics, metric{m.Key, m.Value, m.Timestamp, m.Step})
		}
		if s.loseOnce {
			s.loseOnce = false
			if s.forgets {
				run.metrics = nil
			}
			refuse(http.StatusInternalServerError, "INTERNAL_ERROR")
			return
		}
		answer(http.StatusOK, map[string]any{})
	default:
		s.t.Errorf("an unknown call: %s", name)
		refuse(http.StatusNotFound, "ENDPOINT_NOT_FOUND")
	}
}

// shown is a run as the API gives it: of each metric the last step's value, steps as text.
func (s *server) shown(r *fakeRun) any {
	last := map[string]metric{}
	for _, m := range r.metrics {
		if m.Step >= last[m.Key].Step {
			last[m.Key] = m
		}
	}
	var metrics, params []any
	for _, m := range last {
		metrics = append(metrics, map[string]any{"key": m.Key, "value": m.Value, "step": fmt.Sprint(m.Step), "timestamp": fmt.Sprint(m.Timestamp)})
	}
	for k, v := range r.params {
		params = append(params, pair{k, v})
	}
	return map[string]any{"info": map[string]any{"run_id": r.id, "status": r.status, "artifact_uri": s.artifacts + ":/" + r.experiment + "/" + r.id + "/artifacts", "lifecycle_stage": "active"},
		"data": map[string]any{"metrics": metrics, "params": params}}
}

// steps are the steps of a metric that a run has, in the order in which they came.
func (s *server) steps(i int, key string) (out []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.runs[i].metrics {
		if m.Key == key {
			out = append(out, m.Step)
		}
	}
	return out
}

func (s *server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// write appends steps to a run's log, and a validation after the last.
func write(t *testing.T, dir string, from, to int64) {
	t.Helper()
	log, err := runlog.Append(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for i := from; i <= to; i++ {
		if err := log.Write(runlog.Step{Kind: "step", Time: time.Unix(i, 0), Step: i, Epoch: float64(i) / 10, Loss: 3, CrossEntropy: 2.5, LR: 0.1, PerSecond: 9}); err != nil {
			t.Fatal(err)
		}
	}
	score := runlog.Score{N: 10, Top1: 0.5, Top5: 0.9, Loss: 1}
	if err := log.Write(runlog.Evaluation{Kind: "eval", Time: time.Unix(to, 0), Step: to, Epoch: int(to / 10), Raw: score}); err != nil {
		t.Fatal(err)
	}
}

func count(from, to int64) (out []int64) {
	for i := from; i <= to; i++ {
		out = append(out, i)
	}
	return out
}

func options(t *testing.T, dir, url string) Options {
	return Options{URI: url, Experiment: "e", Dir: dir, Name: "runs/a", Params: [][2]string{{"batch", "8"}, {"empty", ""}}, Tags: [][2]string{{"dataset", "abc"}},
		OnTrouble: func(err error) { t.Errorf("trouble: %v", err) }, every: time.Millisecond}
}

func start(t *testing.T, o Options) *Exporter {
	t.Helper()
	e, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 10000 {
		if holds() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("it never was so: %s", what)
}

// A run that is followed, stopped, continued and finished is one run of the server, with
// each step once.
func TestRun(t *testing.T) {
	s, url := newServer(t)
	dir := t.TempDir()
	write(t, dir, 1, 350) // more than a request holds
	for _, name := range []string{"config.yaml", "curves.png", "model.onnx"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	e := start(t, options(t, dir, url))
	until(t, "350 steps are told", func() bool {
		s.mu.Lock()
		n := len(s.runs)
		s.mu.Unlock()
		return n > 0 && len(s.steps(0, "epoch")) == 350
	})
	write(t, dir, 351, 360)
	if err := e.Close(context.Background(), Stopped); err != nil {
		t.Fatal(err)
	}
	first := *s.runs[0]
	if d := cmp.Diff([]any{"runs/a", "KILLED", map[string]string{"batch": "8"}, "abc", map[string]string{"1/r0/artifacts/config.yaml": "config.yaml", "1/r0/artifacts/curves.png": "curves.png"}},
		[]any{first.name, first.status, first.params, first.tags["dataset"], s.files}); d != "" {
		t.Errorf("a stopped run (-want +got):\n%s", d)
	}

	// It goes on: a parameter is no longer what it was, which a server does not take, and steps are told that are there.
	o := options(t, dir, url)
	o.Params = [][2]string{{"batch", "9"}, {"epochs", "3"}}
	e = start(t, o)
	write(t, dir, 361, 370)
	if err := e.Close(context.Background(), Finished); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(count(1, 370), s.steps(0, "train/cross_entropy")); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]any{1, []int64{350, 360, 370}, "FINISHED", "model.onnx"}, []any{len(s.runs), s.steps(0, "val/loss"), s.runs[0].status, s.files["1/r0/artifacts/model.onnx"]}); d != "" {
		t.Errorf("a finished run (-want +got):\n%s", d)
	}

	if d := cmp.Diff([]any{map[string]string{"batch": "8", "epochs": "3"}, "9"}, []any{s.runs[0].params, s.runs[0].tags["changed.batch"]}); d != "" {
		t.Errorf("parameters (-want +got):\n%s", d)
	}

	// Told again it is nothing new.
	o.Already = true
	s.set(func() { clear(s.files) })
	if err := start(t, o).Close(context.Background(), Finished); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]any{0, 370, "FINISHED"}, []any{len(s.files), len(s.steps(0, "epoch")), s.runs[0].status}); d != "" {
		t.Errorf("a run that was finished before (-want +got):\n%s", d)
	}
}

// A server that is away is told of once, and of the rest when it is back.
func TestServerIsAway(t *testing.T) {
	s, url := newServer(t)
	dir := t.TempDir()
	write(t, dir, 1, 10)
	s.away = true
	o := options(t, dir, url)
	var mu sync.Mutex
	var told []string
	o.OnTrouble = func(err error) { mu.Lock(); defer mu.Unlock(); told = append(told, err.Error()) }
	e := start(t, o)
	until(t, "it is asked more than once", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.requests > 3 })
	s.set(func() { s.away = false })
	until(t, "what was written meanwhile is told", func() bool {
		s.mu.Lock()
		n := len(s.runs)
		s.mu.Unlock()
		return n > 0 && len(s.steps(0, "val/top1")) == 1
	})
	s.set(func() { s.loseOnce = true }) // what it did and did not say is not done twice
	write(t, dir, 11, 20)
	until(t, "the rest is told", func() bool { return len(s.steps(0, "val/top1")) == 2 })
	until(t, "it is told of", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == 2 })
	s.set(func() { s.away = true })
	err := e.Close(context.Background(), Finished)
	if err == nil || !strings.Contains(err.Error(), "status 503") || !strings.Contains(err.Error(), "the same command sends what it lacks") {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff([]string{"mlflow: experiments/get-by-name: status 503", "mlflow: runs/log-batch: status 500 INTERNAL_ERROR: no"}, told); d != "" {
		t.Errorf("told (-want +got):\n%s", d)
	}
	s.set(func() { s.away = false })
	o.Already = true
	if err := start(t, o).Close(context.Background(), Finished); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]any{count(1, 20), "FINISHED", 1}, []any{s.steps(0, "epoch"), s.runs[0].status, len(s.runs)}); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A run whose making was not answered is found by its tag.
func TestRunIsFound(t *testing.T) {
	s, url := newServer(t)
	dir := t.TempDir()
	write(t, dir, 1, 3)
	if err := start(t, options(t, dir, url)).Close(context.Background(), Stopped); err != nil {
		t.Fatal(err)
	}
	state, err := readState(dir, url)
	if err != nil {
		t.Fatal(err)
	}
	state.Run = ""
	if err := state.write(dir); err != nil {
		t.Fatal(err)
	}
	if err := start(t, options(t, dir, url)).Close(context.Background(), Finished); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]any{1, count(1, 3)}, []any{len(s.runs), s.steps(0, "epoch")}); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A run whose server loses it, or goes back in time, is told again from its beginning.
func TestServerLosesRun(t *testing.T) {
	s, url := newServer(t)
	dir := t.TempDir()
	write(t, dir, 1, 10)
	o := options(t, dir, url)
	o.OnTrouble = func(error) {}
	e := start(t, o)
	told := func(run int, n int64) func() bool {
		return func() bool {
			s.mu.Lock()
			there := len(s.runs) > run
			s.mu.Unlock()
			return there && slices.Contains(s.steps(run, "val/top1"), n)
		}
	}
	until(t, "ten steps are told", told(0, 10))
	s.set(func() { s.runs[0].id, s.runs[0].tags[idTag] = "gone", "" })
	write(t, dir, 11, 20)
	until(t, "twenty are told of another run", told(1, 20))
	if d := cmp.Diff(count(1, 20), s.steps(1, "epoch")); d != "" {
		t.Errorf("the run in its place (-want +got):\n%s", d)
	}
	s.set(func() { s.runs[1].metrics, s.loseOnce, s.forgets = nil, true, true })
	write(t, dir, 21, 30)
	until(t, "an answer is lost", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return !s.loseOnce })
	write(t, dir, 31, 40)
	if err := e.Close(context.Background(), Finished); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(count(1, 40), s.steps(1, "epoch")); d != "" {
		t.Errorf("a run that went back (-want +got):\n%s", d)
	}
}

// A server that hangs holds a finished run no longer than Patience, be it in an answer or
// in an upload that it does not take; one that takes it slowly has more.
func TestServerHangs(t *testing.T) {
	for name, hangs := range map[string]string{"an answer": "runs/log-batch", "an upload": "model.onnx"} {
		t.Run(name, func(t *testing.T) {
			s, _ := newServer(t)
			over := make(chan struct{})
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, hangs) {
					<-over
					return
				}
				s.ServeHTTP(w, r)
			}))
			defer h.Close()
			defer close(over)
			dir := t.TempDir()
			write(t, dir, 1, 3)
			if err := os.WriteFile(filepath.Join(dir, "model.onnx"), make([]byte, 64<<20), 0o666); err != nil {
				t.Fatal(err)
			}
			o := options(t, dir, h.URL)
			o.OnTrouble, o.patience = func(error) {}, 300*time.Millisecond
			e := start(t, o)
			began := time.Now()
			err := e.Close(context.Background(), Finished)
			if err == nil || !strings.Contains(err.Error(), "it takes nothing for 300ms; the server has not all") {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// Long runs are told every so many steps; credentials go along; artifacts elsewhere stay.
func TestOptions(t *testing.T) {
	s, url := newServer(t)
	s.token, s.artifacts = "secret", "s3"
	dir := t.TempDir()
	write(t, dir, 1, 10)
	o := options(t, dir, url)
	var told []error
	o.Token, o.Stride, o.OnTrouble = "secret", StrideFor(35_000), func(err error) { told = append(told, err) }
	if err := start(t, o).Close(context.Background(), Finished); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]any{[]int64{4, 8}, []int64{10}, 1}, []any{s.steps(0, "epoch"), s.steps(0, "val/top5"), len(told)}); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, bad := range []string{"file:///tmp/x", "sqlite:///x.db", "databricks", "http://", "http://u:p@host", "http://host/?a"} {
		if _, err := CheckURI(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
