package mlflow

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/train/runlog"
)

// StateName is the file in a run's directory that says which run of a server it is.
const StateName = "mlflow.json"

// idTag is the tag by which a run is found whose making was not answered.
const idTag = "synshard.run"

// state is what is kept of the server's run.
type state struct {
	ID     string `json:"id"`     // ours, the tag's value
	Server string `json:"server"` // of which Run is
	Run    string `json:"run_id"` // "": not made yet
}

func readState(dir, server string) (state, error) {
	var s state
	text, err := regular.ReadFile(filepath.Join(dir, StateName), regular.Document)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("mlflow: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(text, &s); err != nil {
			return s, fmt.Errorf("mlflow: %s: %w", filepath.Join(dir, StateName), err)
		}
	}
	if s.ID == "" {
		var b [16]byte
		if _, err := rand.Read(b[:]); err != nil {
			return s, fmt.Errorf("mlflow: %w", err)
		}
		s.ID = hex.EncodeToString(b[:])
	}
	if s.Server != server {
		s.Server, s.Run = server, ""
	}
	return s, nil
}

func (s state) write(dir string) error {
	return durable.WriteFile(filepath.Join(dir, StateName), func(w io.Writer) error { return json.NewEncoder(w).Encode(s) })
}

// position is what of a run the server has.
type position struct {
	run             string // the server's name of it
	step, validated int64
	params          map[string]string
	status          string
	artifacts       string // where it keeps them
}

// connect finds the run, or makes it, and says that it runs.
func (e *Exporter) connect(ctx context.Context) error {
	s, err := readState(e.o.Dir, e.client.base.String())
	if err != nil {
		return err
	}
	if err := s.write(e.o.Dir); err != nil { // before anything is made by it
		return err
	}
	found, err := e.find(ctx, s)
	if err != nil {
		return err
	}
	if s.Run != found.Info.ID {
		s.Run = found.Info.ID
		if err := s.write(e.o.Dir); err != nil {
			return err
		}
	}
	at := found.position()
	if e.at.lacks(at) {
		if err := e.again(); err != nil {
			return err
		}
	}
	e.id, e.at = s.Run, at
	return nil
}

// position is what the server says that it has.
func (r run) position() position {
	at := position{run: r.Info.ID, status: r.Info.Status, artifacts: r.Info.Artifacts, params: map[string]string{}}
	for _, p := range r.Data.Params {
		at.params[p.Key] = p.Value
	}
	for _, m := range r.Data.Metrics {
		switch m.Key {
		case stepKey:
			at.step = m.Step
		case evalKey:
			at.validated = m.Step
		}
	}
	return at
}

// lacks says whether the server has lost of what it had: its run is gone, or went back.
func (p position) lacks(now position) bool {
	return p.run != "" && (p.run != now.run || now.step < p.step || now.validated < p.validated)
}

// again reads the log from its beginning.
func (e *Exporter) again() error {
	lines, err := runlog.Follow(filepath.Join(e.o.Dir, runlog.Name))
	if err != nil {
		return fmt.Errorf("mlflow: %w", err)
	}
	e.lines.Close()
	e.lines, e.queue = lines, nil
	return nil
}

// find gives the server's run, which it makes where there is none.
func (e *Exporter) find(ctx context.Context, s state) (found run, err error) {
	if s.Run != "" {
		var out struct{ Run run }
		err := e.client.call(ctx, http.MethodGet, "runs/get", url.Values{"run_id": {s.Run}}, &out)
		if err == nil && out.Run.Info.Stage != "deleted" {
			return out.Run, nil
		}
		if err != nil && !is(err, "RESOURCE_DOES_NOT_EXIST") {
			return run{}, err
		}
	}
	experiment, err := e.experiment(ctx)
	if err != nil {
		return run{}, err
	}
	var there struct{ Runs []run }
	err = e.client.call(ctx, http.MethodPost, "runs/search", map[string]any{
		"experiment_ids": []string{experiment}, "filter": fmt.Sprintf("tags.`%s` = '%s'", idTag, s.ID), "max_results": 1}, &there)
	if err != nil {
		return run{}, err
	}
	if len(there.Runs) > 0 {
		return there.Runs[0], nil
	}
	var made struct{ Run run }
	err = e.client.call(ctx, http.MethodPost, "runs/create", map[string]any{
		"experiment_id": experiment, "run_name": e.o.Name, "start_time": time.Now().UnixMilli(),
		"tags": []pair{{idTag, s.ID}, {"mlflow.source.name", "synshard train"}, {"mlflow.source.type", "LOCAL"}}}, &made)
	return made.Run, err
}

// experiment gives the number of the experiment, which it makes where there is none.
func (e *Exporter) experiment(ctx context.Context) (string, error) {
	var found struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		}
	}
	get := func() error {
		return e.client.call(ctx, http.MethodGet, "experiments/get-by-name", url.Values{"experiment_name": {e.o.Experiment}}, &found)
	}
	err := get()
	if err == nil || !is(err, "RESOURCE_DOES_NOT_EXIST") {
		return found.Experiment.ID, err
	}
	var made struct {
		ID string `json:"experiment_id"`
	}
	err = e.client.call(ctx, http.MethodPost, "experiments/create", map[string]any{"name": e.o.Experiment}, &made)
	if is(err, "RESOURCE_ALREADY_EXISTS") { // by another run, in this moment
		err = get()
		return found.Experiment.ID, err
	}
	return made.ID, err
}

// describe says what the run is made from: what of the recipe the server has not, and
// tags, among them what of the recipe has changed since, for parameters cannot. A run that
// goes on is running again.
func (e *Exporter) describe(ctx context.Context) error {
	var params, tags []pair
	for _, p := range e.o.Params {
		switch before, there := e.at.params[p[0]]; {
		case !there && p[1] != "":
			params = append(params, pair{p[0], p[1]})
		case there && before != p[1]:
			tags = append(tags, pair{"changed." + p[0], p[1]})
		}
	}
	for _, t := range e.o.Tags {
		if t[1] != "" {
			tags = append(tags, pair{t[0], t[1]})
		}
	}
	for batch := range slices.Chunk(params, 100) {
		if err := e.log(ctx, map[string]any{"params": batch}); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(tags, 100) {
		if err := e.log(ctx, map[string]any{"tags": batch}); err != nil {
			return err
		}
	}
	return e.setStatus(ctx, "RUNNING")
}

func (e *Exporter) log(ctx context.Context, what map[string]any) error {
	what["run_id"] = e.id
	return e.client.call(ctx, http.MethodPost, "runs/log-batch", what, nil)
}

func (e *Exporter) setStatus(ctx context.Context, status string) error {
	what := map[string]any{"run_id": e.id, "status": status}
	if status != "RUNNING" {
		what["end_time"] = time.Now().UnixMilli()
	}
	return e.client.call(ctx, http.MethodPost, "runs/update", what, nil)
}
