package trial

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// Key is what a choice holds for.
type Key struct {
	Model     string            `json:"model"`     // the network, by the content of every file of it
	Size      int               `json:"size"`      // of its images, pixels
	Precision string            `json:"precision"` // of the arithmetic, as asked for; "": the model's
	Outputs   string            `json:"outputs"`   // what is wanted beside probabilities
	Batch     int               `json:"batch"`     // that was asked for; 0: free
	CPUs      int               `json:"cpus"`      // that the network may use
	Device    string            `json:"device"`    // cpu, or which GPU, and how it is used
	Processor string            `json:"processor"` // its name, and a sum of what it can do
	Libraries map[string]string `json:"libraries"` // engines that can be chosen, and which library each is
}

// Memory is the directory in which choices are remembered, a file for each key. Many processes
// may use it.
type Memory string

// memoryVersion is that of the file, and of what a trial is: a choice of another is none.
const memoryVersion = 1

// remembered is the file.
type remembered struct {
	Version int    `json:"version"`
	Key     Key    `json:"key"`
	Result  Result `json:"result"`
}

// path is that of the file of a key.
func (m Memory) path(k Key) (string, error) {
	text, err := json.Marshal(k) // maps in the order of their keys
	return filepath.Join(string(m), fmt.Sprintf("%.16x.json", sha256.Sum256(text))), err
}

// Recall gives what is remembered for a key; ok says whether something is. A file that is not to be
// believed is an error: what it would be is tried anew.
func (m Memory) Recall(k Key) (r Result, ok bool, err error) {
	path, err := m.path(k)
	if err != nil {
		return r, false, err
	}
	text, err := regular.ReadFile(path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	if err == nil {
		r, err = parse(text, k)
	}
	if err != nil {
		return Result{}, false, fmt.Errorf("%s: %w", path, err)
	}
	return r, true, nil
}

// Remember keeps a result for a key, in place of what there is.
func (m Memory) Remember(k Key, r Result) error {
	path, err := m.path(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(m), 0o777); err != nil {
		return err
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(remembered{memoryVersion, k, r})
	})
}

// parse reads a file of a key.
func parse(text []byte, k Key) (Result, error) {
	var f remembered
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Result{}, fmt.Errorf("a remembered trial: %w", err)
	}
	if d.More() {
		return Result{}, errors.New("a remembered trial: something stands behind it")
	}
	if f.Version != memoryVersion || !f.Key.same(k) {
		return Result{}, errors.New("a trial of something else")
	}
	c := f.Result.Chosen
	_, known := k.Libraries[c.Engine]
	if !known || c.LeftOut != "" || c.Threads != 0 && !inRange(c.Threads) || !inRange(c.Runs) || !inRange(c.Batch) || k.Batch > 0 && c.Batch != k.Batch ||
		!(c.PerSecond > 0) || math.IsInf(c.PerSecond, 0) {
		return Result{}, errors.New("a remembered trial that chose what cannot be chosen")
	}
	return f.Result, nil
}

func (k Key) same(o Key) bool {
	libraries := maps.Equal(k.Libraries, o.Libraries)
	k.Libraries, o.Libraries = nil, nil
	a, err1 := json.Marshal(k)
	b, err2 := json.Marshal(o)
	return libraries && err1 == nil && err2 == nil && bytes.Equal(a, b)
}

// inRange says whether a number can be one of threads, runs or images.
func inRange(n int) bool { return n >= 1 && n <= 1<<16 }
