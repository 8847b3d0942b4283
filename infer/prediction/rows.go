package prediction

import "fmt"

// Rows is the rows of predictions for who goes through all of them, more than once if need
// be: those of Arrow and Parquet stay in their files, of which one group is in memory at a
// time; those of text, and of what was read from a pipe, are held.
type Rows struct {
	Classes []string // the model's, in label order

	paths []string // of Arrow or Parquet; nil: held has the rows
	held  *Set
}

// OpenRows opens a file of predictions as Read does, or the files of all jobs of one whole as
// ReadJobs does.
func OpenRows(paths, classes []string) (*Rows, error) {
	if len(paths) > 1 {
		var err error
		if paths, err = inOrder(paths); err != nil {
			return nil, err
		}
	}
	s := &Rows{paths: paths}
	f, size, format, err := openAny(paths[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if format.Text() {
		held, err := Read(paths[0], classes)
		if err != nil {
			return nil, err
		}
		return held.Rows(), nil
	}
	of := Set{Classes: classes}
	t, err := openTable(f, size, format)
	if err == nil {
		err = of.describe(t.metadata(), "it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", paths[0], err)
	}
	s.Classes = of.Classes
	return s, nil
}

// Rows is the rows that are held.
func (s *Set) Rows() *Rows { return &Rows{Classes: s.Classes, held: s} }

// Each calls f with every row in order, its number from 0 and what measuring needs of it: Path,
// Label, Top, Prob, Error and, where there are such, Probabilities. A row is good until f
// returns. Files are held to their sums as they are read, so that what was made of the rows of
// a damaged one is known to be wrong when Each has returned an error, not before. That is
// ErrFormat, or what f returned.
func (s *Rows) Each(f func(i int, r *Row) error) error {
	if s.held != nil {
		return s.held.each(f)
	}
	first := 0
	for _, path := range s.paths {
		n, err := eachOf(path, s.Classes, func(i int, r *Row) error { return f(first+i, r) })
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		first += n
	}
	return nil
}

// eachOf calls f with every row of a file of Arrow or Parquet, and counts them.
func eachOf(path string, classes []string, f func(i int, r *Row) error) (rows int, err error) {
	file, size, format, err := openAny(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	t, err := openTable(file, size, format)
	if err != nil {
		return 0, err
	}
	s := newFilling(classes)
	if err := s.describe(t.metadata(), "it"); err != nil {
		return 0, err
	}
	err = readTable(t, false, func(p predicted) error {
		if err := s.fit(rows, p); err != nil {
			return err
		}
		r := p.row(nil, nil)
		r.Probabilities = p.all
		rows++
		return f(rows-1, &r)
	})
	return rows, err
}

// each calls f with every row that is held.
func (s *Set) each(f func(i int, r *Row) error) error {
	for i := range s.Len() {
		r := Row{Path: s.Paths[i], Label: int64(s.Truth[i]), Error: s.Errors[i]}
		if !s.Failed[i] {
			for j := i * s.K; j < (i+1)*s.K; j++ {
				r.Top, r.Prob = append(r.Top, int(s.Top[j])), append(r.Prob, s.Prob[j])
			}
			if c := len(s.Classes); s.All != nil {
				r.Probabilities = s.All[i*c : (i+1)*c]
			}
		}
		if err := f(i, &r); err != nil {
			return err
		}
	}
	return nil
}
