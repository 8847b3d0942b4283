package prediction

import (
	"bufio"
	"fmt"

	"github.com/synshard/synshard/internal/regular"
)

// ReadJobs reads the files of all jobs of one whole, in any order, as the one file
// that Merge would make of them. Jobs that do not make a whole are ErrJobs, a damaged
// one ErrFormat.
func ReadJobs(paths, classes []string) (*Set, error) {
	paths, err := inOrder(paths)
	if err != nil {
		return nil, err
	}
	whole := &Set{}
	for i, path := range paths {
		s, err := Read(path, classes)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			whole = s
			continue
		}
		k := max(whole.K, s.K)
		whole.widen(k)
		s.widen(k)
		for i, why := range s.Errors {
			whole.fail(whole.Len()+i, why)
		}
		whole.Paths = append(whole.Paths, s.Paths...)
		whole.Truth = append(whole.Truth, s.Truth...)
		whole.Failed = append(whole.Failed, s.Failed...)
		whole.Top = append(whole.Top, s.Top...)
		whole.Prob = append(whole.Prob, s.Prob...)
		whole.All = append(whole.All, s.All...)
	}
	return whole, nil
}

// inOrder gives the files of all jobs of one whole in the order of their rows.
func inOrder(paths []string) ([]string, error) {
	for _, path := range paths {
		if err := arrowAlone(path); err != nil {
			return nil, err
		}
	}
	jobs, err := openJobs(paths)
	var sorted []string
	for _, j := range jobs {
		j.file.Close()
		sorted = append(sorted, j.path)
	}
	return sorted, err
}

// widen has k predictions a row of a set whose rows have fewer because none was
// predicted: one of no rows, or of rows that all failed.
func (s *Set) widen(k int) {
	if s.K == k {
		return
	}
	s.Top, s.Prob = nil, nil
	s.width(k)
}

// arrowAlone wants a file to be in the format that jobs write to be joined.
func arrowAlone(path string) error {
	f, _, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	format, err := sniff(bufio.NewReaderSize(f, 1<<16))
	if err == nil && format != Arrow {
		err = fmt.Errorf("%w: it is %s; jobs that are taken together are Arrow files", ErrJobs, format)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
