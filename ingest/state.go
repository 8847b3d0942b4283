package ingest

import (
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/durable"
)

// state is what is known of an unfinished dataset: DIR/.ingest/ holds the
// options it is made with and a record for each finished group. It is removed
// when the dataset is whole.
type state struct{ dir string }

const stateName = ".ingest"

func stateIn(out string) *state { return &state{filepath.Join(out, stateName)} }

// openState begins or continues; an unfinished dataset made with other options
// or from other sources is an error that says what differs.
func openState(out string, fingerprint map[string]string, readOnly, adding bool) (*state, error) {
	s := stateIn(out)
	path := filepath.Join(s.dir, "options.json")
	b, err := os.ReadFile(path)
	if err == nil {
		var have map[string]string
		if err := json.Unmarshal(b, &have); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if diff := differences(have, fingerprint); diff != "" {
			return nil, fmt.Errorf("%s holds an unfinished dataset made otherwise (%s); give the same options, another directory, or remove it", out, diff)
		}
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) || readOnly {
		if readOnly && errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return s, err
	}
	if entries, err := os.ReadDir(out); err == nil && !adding {
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				return nil, fmt.Errorf("%s is neither empty nor a dataset (it holds %s); give another directory", out, e.Name())
			}
		}
	}
	if err := durable.MkdirAll(s.dir); err != nil {
		return nil, err
	}
	return s, durable.WriteFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(fingerprint) })
}

// differences says in what two fingerprints differ; "" if in nothing.
func differences(have, want map[string]string) string {
	var diff []string
	keys := maps.Clone(have)
	maps.Copy(keys, want)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		switch a, b := have[k], want[k]; {
		case a == b:
		case len(a)+len(b) > 200:
			diff = append(diff, k+" differ")
		default:
			diff = append(diff, fmt.Sprintf("%s was %q and is now %q", k, a, b))
		}
	}
	return strings.Join(diff, "; ")
}

func (s *state) record(g group) string {
	return filepath.Join(s.dir, g.split+"-"+url.PathEscape(g.name)+".done")
}

func (s *state) done(g group) bool {
	_, err := os.Stat(s.record(g))
	return err == nil
}

// splits lists the splits that have a record.
func (s *state) splits() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	var out []string
	for _, e := range entries {
		if split, _, ok := strings.Cut(e.Name(), "-"); ok && strings.HasSuffix(e.Name(), ".done") && !slices.Contains(out, split) {
			out = append(out, split)
		}
	}
	return out, err
}

// finish records a group whose shards are in place.
func (s *state) finish(g group, d done) error {
	return durable.WriteFile(s.record(g), func(w io.Writer) error { return gob.NewEncoder(w).Encode(d) })
}

func (s *state) read(g group) (done, error) { return s.readFile(s.record(g)) }

func (s *state) readFile(path string) (done, error) {
	var d done
	f, err := os.Open(path)
	if err != nil {
		return d, err
	}
	defer f.Close()
	if err := gob.NewDecoder(f).Decode(&d); err != nil {
		return d, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return d, nil
}

func (s *state) remove() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(s.dir))
}

// writeRejected writes the list, or removes an old one where there is nothing
// to list.
func writeRejected(out string, list []Rejection) error {
	path := filepath.Join(out, "rejected.ndjson")
	if len(list) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		for _, r := range list {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
}
