package record

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source/layout"
	"github.com/synshard/synshard/storage/files"
)

// Array is what the jobs that make a dataset together have in common: all that
// decides it. Jobs whose Arrays are equal in every byte are of one whole. A job
// writes it, in JSON behind a line with its SHA-256, as .ingest/array-HEX.json,
// where HEX begins that sum.
type Array struct {
	Jobs          int         `json:"jobs"`
	Fingerprint   Fingerprint `json:"fingerprint"`               // of the dataset when it is whole
	WordNet       string      `json:"wordnet_version,omitempty"` // the version that gave words and glosses; "": none
	ClassesSHA256 string      `json:"classes_sha256"`            // of classes.arrow, which each job writes
	Units         int         `json:"units"`                     // that are known before they are read
	UnitsSHA256   string      `json:"units_sha256"`              // of their names and inputs, in order
}

// Job is what one job of an array did. It is written when all its units are
// recorded, as .ingest/job-00003-of-00008.done: the line jobMagic, the SHA-256 of
// all that follows, and a Job in encoding/gob.
type Job struct {
	Index, Jobs int              // job Index, from 0, of Jobs
	Array       Digest           // of the Array
	Done        []Done           // its units
	Told        Told             // the same for every job
	Met         []layout.Skipped // what was left out of containers that this job alone read
}

// Done is a unit that a job finished.
type Done struct {
	Unit
	Inputs Digest // see Summer
	Record Digest // of its record
	Listed bool   // it was known before it was read
}

// Told is what is said of a dataset when it is whole, beside what its bytes tell.
type Told struct {
	Skipped  []layout.Skipped // known before images are read
	Notes    []string         // what is worth knowing, a line each
	Inner    int              // classes that are ancestors of others
	Boxed    int              // images for which boxes were given
	Promised *Promised        // what the development kit says, to compare with at the end
}

// Promised is how many images the development kit says there are; nil: there was none.
type Promised struct {
	Train   []Count // by class
	Classes int     // all that the kit names
	Truth   int     // validation images
}

// Count is of a class's images.
type Count struct {
	Class  string // synset or name
	Images int    // how many it has
}

const (
	jobMagic = "synshard job 1\n"
	jobEnd   = ".done"
	jobLock  = ".lock"
)

// JobName is a job's, as its files have it, without their end.
func JobName(i, n int) string { return fmt.Sprintf("job-%05d-of-%05d", i, n) }

// jobOf reads the name of a job's file.
func jobOf(name string) (i, n int, end string, ok bool) {
	stem, end := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
	if _, err := fmt.Sscanf(stem, "job-%05d-of-%05d", &i, &n); err != nil || JobName(i, n) != stem || end != jobEnd && end != jobLock {
		return 0, 0, "", false
	}
	return i, n, end, true
}

// SumUnits gives Array.UnitsSHA256.
func SumUnits(units []Done) string {
	s := NewSummer()
	for _, u := range slices.SortedFunc(slices.Values(units), func(a, b Done) int { return CompareUnits(a.Unit, b.Unit) }) {
		s.Text(u.Split)
		s.Text(u.Class)
		s.Number(int64(u.Piece))
		s.Text(string(u.Inputs[:]))
	}
	return s.Sum().Hex()
}

// LockJob has a job to itself: durable.ErrLocked where another process works on
// it. The state's directory must exist.
func (s *State) LockJob(i, n int) (files.Lock, error) {
	return s.Out.TryLock(StateName + "/" + JobName(i, n) + jobLock)
}

// OtherArrays lists the sizes, but n, of the arrays that began jobs here.
func (s *State) OtherArrays(n int) ([]int, error) {
	jobs, err := s.jobs("")
	var out []int
	for _, j := range jobs {
		if j[1] != n && !slices.Contains(out, j[1]) {
			out = append(out, j[1])
		}
	}
	return out, err
}

// jobs lists the jobs, each as i and n, that have a file of this end, any end with "".
func (s *State) jobs(wanted string) ([][2]int, error) {
	entries, err := s.Out.ReadDir(StateName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out [][2]int
	for _, e := range entries {
		if i, n, end, ok := jobOf(e.Name()); ok && (wanted == "" || end == wanted) {
			out = append(out, [2]int{i, n})
		}
	}
	return out, err
}

// BeginJob takes back that a job is done.
func (s *State) BeginJob(i, n int) error {
	err := s.Out.Remove(StateName + "/" + JobName(i, n) + jobEnd)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return cmp.Or(err, s.Out.Sync(StateName))
}

// FinishJob records a job whose units are all recorded.
func (s *State) FinishJob(j *Job, a *Array) error {
	text, sum, err := a.encode()
	if err != nil {
		return err
	}
	j.Array = sum
	if err := s.writeSummed(arrayName(sum), text); err != nil {
		return err
	}
	return writeGob(s.Out, StateName+"/"+JobName(j.Index, j.Jobs)+jobEnd, jobMagic, j)
}

func (a *Array) encode() (text []byte, sum Digest, err error) {
	text, err = json.Marshal(a)
	return text, sha256.Sum256(text), err
}

func arrayName(sum Digest) string { return fmt.Sprintf("array-%x.json", sum[:8]) }

// Sum is the SHA-256 of an Array.
func (a *Array) Sum() (Digest, error) {
	_, sum, err := a.encode()
	return sum, err
}

// Jobs gives what the jobs that are done did, in their order, of any array. A
// file that is not what was written is shard.ErrCorrupt.
func (s *State) Jobs() ([]*Job, error) {
	names, err := s.jobs(jobEnd)
	if err != nil {
		return nil, err
	}
	var out []*Job
	for _, at := range names {
		j, err := s.Job(at[0], at[1])
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, nil
}

// Job gives what a job did; fs.ErrNotExist where it is not done.
func (s *State) Job(i, n int) (*Job, error) {
	name := StateName + "/" + JobName(i, n) + jobEnd
	b, err := files.Read(s.Out, name, regular.Document)
	if err != nil {
		return nil, err
	}
	j := &Job{}
	if _, ok := decodeGob(b, jobMagic, j); !ok || j.Index != i || j.Jobs != n {
		return nil, fmt.Errorf("%s: it is not what job %d of %d wrote: %w", s.Out.Path(name), i, n, shard.ErrCorrupt)
	}
	return j, nil
}

// Array gives the Array of a job.
func (s *State) Array(j *Job) (*Array, error) {
	a := &Array{}
	if err := s.readSummed(arrayName(j.Array), a); err != nil {
		return nil, fmt.Errorf("what job %d of %d is of: %w", j.Index, j.Jobs, err)
	}
	if sum, err := a.Sum(); err != nil || sum != j.Array {
		return nil, fmt.Errorf("what job %d of %d is of: %w", j.Index, j.Jobs, cmp.Or(err, shard.ErrCorrupt))
	}
	return a, nil
}

// DifferentArrays says in what an Array differs from another.
func DifferentArrays(was, now *Array) []string {
	a, b := was.Fingerprint, now.Fingerprint
	out := append(DifferentOptions(a, b), DifferentSplits(a.Splits, b.Splits)...)
	if d := DifferentClasses(a.Classes, b.Classes); d != "" {
		out = append(out, d)
	}
	say := func(differ bool, what string) {
		if differ {
			out = append(out, what)
		}
	}
	say(was.Jobs != now.Jobs, fmt.Sprintf("it is of %d jobs and not of %d", now.Jobs, was.Jobs))
	say(a.Boxes != b.Boxes, "the boxes differ")
	say(a.Exported != b.Exported, "the class list of an export differs")
	say(was.WordNet != now.WordNet, fmt.Sprintf("WordNet was %q and is %q", was.WordNet, now.WordNet))
	if len(out) == 0 {
		say(was.UnitsSHA256 != now.UnitsSHA256, "the sources have other times of change: what was touched between the jobs is read again by running them again")
		say(was.ClassesSHA256 != now.ClassesSHA256, "words, glosses or numbers of the classes differ")
	}
	say(len(out) == 0, "it was made otherwise")
	return out
}
