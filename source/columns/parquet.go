package columns

import (
	"fmt"

	"github.com/synshard/synshard/internal/parquet"

	"github.com/synshard/synshard/source/entry"
)

// parquetFile is a Parquet file as a rowFile.
type parquetFile struct {
	*parquet.File
	file entry.File
	all  []leaf
}

func openParquet(a entry.File) (rowFile, error) {
	r, err := parquet.Open(a, a.Size())
	if err != nil {
		return nil, err
	}
	p := &parquetFile{File: r, file: a}
	for i, c := range r.Columns() {
		l := leaf{path: c.Path, place: []int{i}}
		switch {
		case c.List:
		case c.Kind == parquet.Bytes:
			l.kind = leafBytes
		case c.Kind == parquet.Int, c.Kind == parquet.Float:
			l.kind = leafNumber
		}
		p.all = append(p.all, l)
	}
	return p, nil
}

func (p *parquetFile) leaves() []leaf { return p.all }

func (p *parquetFile) groups() []int64 {
	out := make([]int64, p.Groups())
	for g := range out {
		out[g] = p.GroupRows(g)
	}
	return out
}

func (p *parquetFile) metadata(key string) string {
	v, _ := p.Metadata(key)
	return v
}

func (p *parquetFile) texts(group int, l *leaf, f func([]byte, bool) error) error {
	return p.Strings(group, p.Columns()[l.place[0]], func(_ int, values [][]byte) error {
		if len(values) == 0 {
			return f(nil, false)
		}
		return f(values[0], true)
	})
}

func (p *parquetFile) numbers(group int, l *leaf, f func(int64, bool) error) error {
	return p.Ints(group, p.Columns()[l.place[0]], func(_ int, values []int64) error {
		if len(values) == 0 {
			return f(0, false)
		}
		return f(values[0], true)
	})
}

// again opens the file anew: a column is read by one at a time.
func (p *parquetFile) again() (rowFile, error) {
	r, err := parquet.Open(p.file, p.file.Size())
	if err != nil {
		return nil, fmt.Errorf("it was read before: %w", err)
	}
	return &parquetFile{File: r, file: p.file, all: p.all}, nil
}
