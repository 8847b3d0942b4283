package prediction

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// ErrParts marks files that are not all the parts of one whole.
var ErrParts = errors.New("not the parts of one whole")

// Merged is what Merge did.
type Merged struct {
	Rows    int  `json:"rows"`
	Failed  int  `json:"failed"`            // rows with an error
	Already bool `json:"already,omitempty"` // the whole output was there
}

// part is what a file says of its place in a whole.
type part struct {
	path             string
	i, n             int
	whole            string
	failed, rows, at int // at: rows of a record batch
	schema           *arrow.Schema
}

// Merge writes the parts of one whole, Arrow files that Run made with Parts
// set, to one file in a format. They may come in any order; the result has the
// bytes of a run that was never parted. A whole that is there already is left
// alone.
func Merge(paths []string, out, format string) (Merged, error) {
	parts, err := readParts(paths)
	if err != nil {
		return Merged{}, err
	}
	var sum Merged
	for _, p := range parts {
		sum.Rows, sum.Failed = sum.Rows+p.rows, sum.Failed+p.failed
	}
	if _, err := os.Stat(out); err == nil {
		said, err := ReadMetadata(out, format)
		if err != nil {
			return sum, fmt.Errorf("%s is there and is no file of predictions (%w); give another name, or remove it", out, err)
		}
		if said(KeyFingerprint) != parts[0].whole {
			return sum, fmt.Errorf("%s: %w; give another name, or remove it", out, ErrOther)
		}
		sum.Already = true
		return sum, nil
	}
	// Keys in the order a run that was never parted has them.
	schema := With(parts[0].schema, map[string]string{KeyWhole: "", KeyPart: "", KeyFailed: ""})
	schema = rename(schema, KeyFingerprint, parts[0].whole)
	schema = With(schema, map[string]string{KeyFailed: strconv.Itoa(sum.Failed)})
	return sum, WriteFile(out, format, schema, func(write func(arrow.Record) error) error {
		r := Rebatch{Schema: schema, Size: parts[0].at, Emit: write}
		defer r.Drop()
		for _, p := range parts {
			if err := ReadFile(p.path, nil, r.Add); err != nil {
				return fmt.Errorf("%s: %w", p.path, err)
			}
		}
		return r.Flush()
	})
}

// rename changes the value of a key where it stands.
func rename(s *arrow.Schema, key, value string) *arrow.Schema {
	md := s.Metadata()
	values := slices.Clone(md.Values())
	if i := md.FindKey(key); i >= 0 {
		values[i] = value
	}
	changed := arrow.NewMetadata(md.Keys(), values)
	return arrow.NewSchema(s.Fields(), &changed)
}

func readParts(paths []string) ([]part, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("%w: none are given", ErrParts)
	}
	var parts []part
	for _, path := range paths {
		p, err := readPart(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.i, b.i) })
	first := parts[0]
	for k, p := range parts {
		switch {
		case p.whole != first.whole || p.n != first.n || !p.schema.Equal(first.schema):
			return nil, fmt.Errorf("%w: %s and %s are of different models, inputs or options", ErrParts, first.path, p.path)
		case k > 0 && p.i == parts[k-1].i:
			return nil, fmt.Errorf("%w: %s and %s are both part %d/%d", ErrParts, parts[k-1].path, p.path, p.i, p.n)
		}
	}
	for k := range first.n {
		if k >= len(parts) || parts[k].i != k {
			return nil, fmt.Errorf("%w: part %d/%d is missing", ErrParts, k, first.n)
		}
	}
	return parts, nil
}

func readPart(path string) (part, error) {
	p := part{path: path}
	err := ReadFile(path, func(s *arrow.Schema) error {
		md := s.Metadata()
		place, ok := md.GetValue(KeyPart)
		if !ok {
			return fmt.Errorf("%w: it is no part (--part i/n)", ErrParts)
		}
		var err error
		if _, err = fmt.Sscanf(place, "%d/%d", &p.i, &p.n); err != nil || p.i < 0 || p.i >= p.n {
			return fmt.Errorf("%w: part %q", ErrFormat, place)
		}
		p.whole, _ = md.GetValue(KeyWhole)
		failed, _ := md.GetValue(KeyFailed)
		rows, _ := md.GetValue(KeyChunk)
		var err1, err2 error
		p.failed, err1 = strconv.Atoi(failed)
		p.at, err2 = strconv.Atoi(rows)
		if err := errors.Join(err1, err2); err != nil || p.at < 1 {
			return fmt.Errorf("%w: metadata: %w", ErrFormat, err)
		}
		p.schema = s
		return nil
	}, func(rec arrow.Record) error {
		p.rows += int(rec.NumRows())
		return nil
	})
	return p, err
}

// rebatch makes records of size rows from records of any.
type Rebatch struct {
	Schema *arrow.Schema
	Size   int
	Emit   func(arrow.Record) error
	held   []arrow.Record
	rows   int
}

func (r *Rebatch) Add(rec arrow.Record) error {
	for at := int64(0); at < rec.NumRows(); {
		n := min(rec.NumRows()-at, int64(r.Size-r.rows))
		r.held = append(r.held, rec.NewSlice(at, at+n))
		r.rows += int(n)
		at += n
		if r.rows == r.Size {
			if err := r.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes what is held as one record.
func (r *Rebatch) Flush() error {
	if r.rows == 0 {
		return nil
	}
	columns := make([]arrow.Array, len(r.Schema.Fields()))
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i := range columns {
		pieces := make([]arrow.Array, len(r.held))
		for j, rec := range r.held {
			pieces[j] = rec.Column(i)
		}
		var err error
		if columns[i], err = array.Concatenate(pieces, memory.DefaultAllocator); err != nil {
			return err
		}
	}
	rec := array.NewRecord(r.Schema, columns, int64(r.rows))
	defer rec.Release()
	r.Drop()
	return r.Emit(rec)
}

func (r *Rebatch) Drop() {
	for _, rec := range r.held {
		rec.Release()
	}
	r.held, r.rows = nil, 0
}
