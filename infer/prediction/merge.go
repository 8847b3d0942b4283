package prediction

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// Merged is what Merge did.
type Merged struct {
	Rows    int  `json:"images"`            // of the whole
	Failed  int  `json:"rejected"`          // rows with an error
	Already bool `json:"already,omitempty"` // the whole output was there
}

// MergeOptions say what is made of jobs.
type MergeOptions struct {
	Path   string // of the file that is made
	Format Format // its format
	// Overwrite replaces other predictions that the path holds, which are ErrOther
	// otherwise.
	Overwrite bool
}

// Merge writes the jobs of one whole, Arrow files that infer made with a Job,
// to one file. They may come in any order; the result has the
// bytes of a run that was never parted. A whole that is there already is left
// alone; a damaged one is made anew. Jobs that are missing, twice there, or of
// different predictions are ErrJobs; a damaged one is ErrFormat.
func Merge(paths []string, o MergeOptions) (Merged, error) {
	var sum Merged
	if err := CheckName(o.Path); err != nil {
		return sum, err
	}
	jobs, err := openJobs(paths)
	defer func() {
		for _, j := range jobs {
			j.file.Close()
		}
	}()
	if err != nil {
		return sum, err
	}
	md := maps.Clone(jobs[0].file.md) // the header of the whole
	maps.DeleteFunc(md, func(k, _ string) bool {
		return k == KeyJob || k == KeyFailed || k == keySum || len(k) > len(keyColumnSum) && k[:len(keyColumnSum)] == keyColumnSum
	})
	batchRows, err := md.number(keyBatchRows)
	if err != nil {
		return sum, fmt.Errorf("%s: %w", jobs[0].path, err)
	}
	s, failed, err := inspect(o.Path, o.Format, md)
	switch {
	case s == occupied && !o.Overwrite:
		return sum, err
	case s == done:
		for _, j := range jobs {
			sum.Rows += int(j.file.Rows())
		}
		sum.Failed, sum.Already = failed, true
		return sum, touch(o.Path)
	}
	if err := durable.RemoveTempsOf(o.Path); err != nil {
		return sum, err
	}
	names := make([]string, len(jobs))
	for i, j := range jobs {
		names[i] = j.path
	}
	sum.Rows, sum.Failed, err = join(o.Path, o.Format, jobs[0].file.fields, md, batchRows, names)
	return sum, err
}

// jobFile is a file that a job wrote.
type jobFile struct {
	path string
	job  Job
	file *arrowFile
}

// openJobs opens the files of all jobs of one whole, in order.
func openJobs(paths []string) (jobs []jobFile, err error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("%w: none are given", ErrJobs)
	}
	for _, path := range paths {
		if err := arrowAlone(path); err != nil {
			return jobs, err
		}
		f, err := openArrowFile(path)
		if err != nil {
			return jobs, fmt.Errorf("%s: %w", path, err)
		}
		jobs = append(jobs, jobFile{path: path, file: f})
		j := &jobs[len(jobs)-1]
		if j.job, err = f.md.job(); err != nil {
			return jobs, fmt.Errorf("%s: %w", path, err)
		}
		if j.job.all() {
			return jobs, fmt.Errorf("%s: %w: it is of no job (--job i/n)", path, ErrJobs)
		}
	}
	slices.SortStableFunc(jobs, func(a, b jobFile) int { return cmp.Compare(a.job.Index, b.job.Index) })
	first := jobs[0]
	for k, j := range jobs {
		a, b := maps.Clone(first.file.md), maps.Clone(j.file.md)
		delete(a, KeyJob)
		delete(b, KeyJob)
		switch {
		case a[KeyFingerprint] != b[KeyFingerprint]:
			return jobs, fmt.Errorf("%w: %s and %s are of different predictions: %s", ErrJobs, first.path, j.path, differences(b, a))
		case j.job.Count != first.job.Count:
			return jobs, fmt.Errorf("%w: %s is job %v and %s is job %v", ErrJobs, first.path, first.job, j.path, j.job)
		case !sameFields(j.file.fields, first.file.fields) || a[keyBatchRows] != b[keyBatchRows]:
			return jobs, fmt.Errorf("%w: %s and %s have different columns", ErrJobs, first.path, j.path)
		case k > 0 && j.job == jobs[k-1].job:
			return jobs, fmt.Errorf("%w: %s and %s are both job %v", ErrJobs, jobs[k-1].path, j.path, j.job)
		}
	}
	for k := range first.job.Count {
		if k >= len(jobs) || jobs[k].job.Index != k {
			return jobs, fmt.Errorf("%w: job %d/%d is missing", ErrJobs, k, first.job.Count)
		}
	}
	return jobs, nil
}

// arrowFile is an Arrow file of ours.
type arrowFile struct {
	*arrowipc.File
	md     metadata
	fields []arrow.Field
	f      *os.File
}

// openArrowFile opens a file that Output wrote, whose metadata must be sound.
func openArrowFile(path string) (*arrowFile, error) {
	f, info, err := regular.Open(path)
	if errors.Is(err, regular.ErrUnfit) {
		err = formatf("%w", err)
	}
	if err != nil {
		return nil, err
	}
	a, err := arrowipc.Open(f, info.Size())
	if err != nil {
		f.Close()
		return nil, damaged(err)
	}
	out := &arrowFile{File: a, md: a.Schema().Metadata().ToMap(), fields: a.Schema().Fields(), f: f}
	if err = out.md.check(); err == nil && out.md[keyVersion] == "" {
		err = formatf("it is not one of this synshard's (no %s in its metadata)", keyVersion)
	}
	if err == nil && (len(out.fields) <= colError || out.fields[colError].Name != "error") {
		err = formatf("its columns are none of predictions")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return out, nil
}

func (f *arrowFile) Close() error { return f.f.Close() }

// verify reads all of it, adds it to sums, which may be nil, and holds it to its own.
func (f *arrowFile) verify(more *recordSums) (rows, failed int, err error) {
	own := newRecordSums(f.fields)
	err = f.each(func(rec arrow.Record) error {
		rows += int(rec.NumRows())
		failed += int(rec.NumRows()) - rec.Column(colError).NullN()
		if more != nil {
			if err := more.add(rec); err != nil {
				return err
			}
		}
		return own.add(rec)
	})
	if err != nil {
		return 0, 0, err
	}
	for k, sum := range own.metadata() {
		if f.md[k] != sum {
			return 0, 0, formatf("column %s is not what its sum says: the file is damaged", k[len(keyColumnSum):])
		}
	}
	return rows, failed, nil
}

// each gives its records, good until f returns.
func (f *arrowFile) each(use func(arrow.Record) error) error {
	var buf []byte
	for i := range f.Batches() {
		rec, err := f.RecordIn(&buf, i, nil)
		if err != nil {
			return damaged(err)
		}
		if err := use(rec); err != nil {
			return err
		}
	}
	return nil
}

func sameFields(a, b []arrow.Field) bool {
	return slices.EqualFunc(a, b, func(a, b arrow.Field) bool { return a.Equal(b) })
}

// join writes the rows of Arrow files, in order, as one file in records of so many
// rows: once through them for the sums, which are written first, and
// once to write. So a damaged file is found before anything is written.
func join(path string, format Format, fields []arrow.Field, md metadata, batchRows int, files []string) (rows, failed int, err error) {
	if batchRows < 1 {
		return 0, 0, formatf("%s of %d", keyBatchRows, batchRows)
	}
	sums := newRecordSums(fields)
	for _, name := range files {
		err := withArrowFile(name, fields, func(f *arrowFile) error {
			n, bad, err := f.verify(sums)
			rows, failed = rows+n, failed+bad
			return err
		})
		if err != nil {
			return 0, 0, err
		}
	}
	md = md.sealed(merged(metadata{KeyFailed: strconv.Itoa(failed)}, sums.metadata()))
	schema := schemaOf(fields, md)
	err = writeFile(path, format, schema, func(write func(arrow.Record) error) error {
		r := rebatch{schema: schema, size: batchRows, write: write}
		for _, name := range files {
			if err := withArrowFile(name, fields, func(f *arrowFile) error { return r.take(f) }); err != nil {
				return err
			}
		}
		return r.flush()
	})
	return rows, failed, err
}

func withArrowFile(name string, fields []arrow.Field, use func(*arrowFile) error) error {
	f, err := openArrowFile(name)
	if err == nil {
		defer f.Close()
		if !sameFields(f.fields, fields) {
			err = formatf("it has other columns")
		} else {
			err = use(f)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// merged is metadata of both.
func merged(a, b metadata) metadata {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// rebatch makes records of size rows from records of any.
type rebatch struct {
	schema *arrow.Schema
	size   int
	write  func(arrow.Record) error
	held   []arrow.Record
	rows   int
}

// take takes the records of a file.
func (r *rebatch) take(f *arrowFile) error {
	for i := range f.Batches() {
		rec, err := f.Record(i, nil) // in memory of its own: parts of it are held
		if err != nil {
			return damaged(err)
		}
		if err := r.add(rec); err != nil {
			return err
		}
	}
	return nil
}

func (r *rebatch) add(rec arrow.Record) error {
	for at := int64(0); at < rec.NumRows(); {
		n := min(rec.NumRows()-at, int64(r.size-r.rows))
		r.held = append(r.held, rec.NewSlice(at, at+n))
		r.rows += int(n)
		at += n
		if r.rows == r.size {
			if err := r.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes what is held as one record.
func (r *rebatch) flush() error {
	if r.rows == 0 {
		return nil
	}
	columns := make([]arrow.Array, len(r.schema.Fields()))
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
	rec := array.NewRecord(r.schema, columns, int64(r.rows))
	r.held, r.rows = nil, 0
	return r.write(rec)
}
