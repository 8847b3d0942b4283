// Package prediction is the file of predictions: what infer writes, and what
// eval, merge and others read. FORMAT.md says what is in it, byte for byte where that
// matters; testdata/v1 holds files that every later version reads.
//
// A file is written whole or not at all. Until it is whole its rows lie in
// Chunks, and what several jobs wrote is joined by Merge. Every file carries
// sums of its columns, so that damage is found and not measured.
package prediction

import (
	"errors"
	"fmt"
	"slices"
)

var (
	// ErrFormat marks a file that is not one of predictions, or not a sound one.
	ErrFormat = errors.New("not a sound file of predictions")
	// ErrOther marks an output that holds other predictions than those asked for.
	ErrOther = errors.New("holds other predictions")
	// ErrJobs marks files that are not all the jobs of one whole.
	ErrJobs = errors.New("not the jobs of one whole")
)

func formatf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
}

// Row is the predictions of one image.
type Row struct {
	Path   string // of the image, as its source names it
	Synset string // the truth's name; "" where it is not known
	Label  int64  // the truth's place among the model's classes; -1: not known, or none of them

	Top  []int     // classes, most probable first; nil where the image failed
	Prob []float32 // of each of Top

	// Of every class [classes], and the embedding [width], where the file has such
	// columns. Probabilities are needed for derived columns, too.
	Probabilities, Logits, Embedding []float32

	Error string // why the image failed; "" where it did not
}

// Columns say what a file has beside path, label, synset and error.
type Columns struct {
	TopK                  int       // classes in pred_label, pred_synset and pred_prob
	Probabilities, Logits bool      // a list of every class's
	Embedding             string    // "" for none, fp32 or fp16
	Width                 int       // numbers of the embedding
	Derived               []Derived // columns that are worked out of all probabilities, such as a superclass's
}

// Derived is a further column, computed from a row's probabilities. It is null
// where the image failed.
type Derived struct {
	Name string // of the column
	Key  string // says how it is computed: it is part of what identifies the predictions
	// Strings or Floats gives the value; the other is nil. Floats are Width in
	// number, a list, or one number where Width is 0.
	Strings func(probabilities []float32) string
	Floats  func(probabilities []float32) []float32
	Width   int
	Notes   map[string]string // the field's metadata
}

// Check holds columns to each other.
func (c *Columns) Check() error {
	if c.TopK < 1 {
		return fmt.Errorf("predictions: top %d", c.TopK)
	}
	if !slices.Contains([]string{"", "fp32", "fp16"}, c.Embedding) {
		return fmt.Errorf("predictions: embedding as %q: want fp32 or fp16", c.Embedding)
	}
	if c.Embedding != "" && c.Width < 1 {
		return errors.New("predictions: the model gives no embedding")
	}
	for _, d := range c.Derived {
		if d.Name == "" || d.Key == "" || (d.Strings == nil) == (d.Floats == nil) {
			return fmt.Errorf("predictions: derived column %q: without a name, a key or a function", d.Name)
		}
	}
	return nil
}

// Job is a share of the rows: Index, from 0, of Count. Count 0 is all of them.
type Job struct{ Index, Count int }

// all says whether the job is the whole.
func (j Job) all() bool { return j.Count <= 1 }

// String is "i/n".
func (j Job) String() string { return fmt.Sprintf("%d/%d", j.Index, j.Count) }

// Check refuses a job that is none.
func (j Job) Check() error {
	if j.Count < 0 || j.Index < 0 || j.Index >= max(j.Count, 1) {
		return fmt.Errorf("job %v: want i/n with 0 <= i < n", j)
	}
	return nil
}

// Range cuts n rows: the job's are [from, to). Jobs begin where a batch of so many
// rows begins, so that together they hold what one run gives.
func (j Job) Range(n, batch int) (from, to int) {
	if j.all() {
		return 0, n
	}
	// n may be many millions: no overflow in 64 bits for any number of jobs that makes sense.
	from, to = n*j.Index/j.Count/batch*batch, n*(j.Index+1)/j.Count/batch*batch
	if j.Index == j.Count-1 {
		to = n
	}
	return from, to
}
