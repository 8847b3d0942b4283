package prediction

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/synshard/synshard/internal/recent"
	"github.com/synshard/synshard/model"
)

// Browser gives the rows of a file of predictions one by one. Those of Arrow and Parquet
// stay in the file; text is held in memory. It may be used from many goroutines.
type Browser struct {
	Model   string      // the network's identity; "": the file does not say
	Spec    *model.Spec // how images were made ready; nil: the file does not say
	Classes []string    // the model's, in label order
	K       int         // predictions kept of each row
	Width   int         // numbers of the embeddings; 0: the file has none that can be had
	Whole   string      // what infer says the images were of which the file has all; "": nothing

	set     *Set // of text; nil otherwise
	file    *os.File
	t       table
	columns []column
	starts  []int // row with which each group begins, and the number of all

	mu     sync.Mutex               // of t, but where that is Arrow, and of:
	recent *recent.Kept[*rowReader] // by group
}

// recentRows bounds the rows kept of groups; one group is kept whatever it has.
const recentRows = 1 << 17

// Browse opens a file as Read does, holds it to its sums, and goes through all rows in order
// with what begin gives, which knows what the file says of itself and how many rows it has; a
// row is that of Row, good until each returns.
func Browse(path string, classes []string, begin func(*Browser) (each func(i int, r *Row))) (*Browser, error) {
	f, size, format, err := openAny(path)
	if err != nil {
		return nil, err
	}
	b := &Browser{Classes: classes, file: f}
	if format.Text() {
		err = b.readText(path, format, begin)
	} else {
		err = b.readTable(size, format, begin)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// Close closes the file. Nothing may be read after it.
func (b *Browser) Close() error { return b.file.Close() }

func (b *Browser) readText(path string, format Format, begin func(*Browser) func(int, *Row)) error {
	s, err := readTextFile(b.file, path, format, b.Classes)
	if err != nil {
		return err
	}
	beside, err := readSidecar(path)
	if err != nil {
		return err
	}
	b.madeBy(beside.Metadata)
	b.set, b.Classes, b.K = s, s.Classes, s.K
	b.starts = []int{0, s.Len()}
	s.All = nil
	each := begin(b)
	for i := range s.Len() {
		row, err := b.Row(i)
		if err != nil {
			return err
		}
		each(i, &row)
	}
	return nil
}

func (b *Browser) readTable(size int64, format Format, begin func(*Browser) func(int, *Row)) error {
	var err error
	if b.t, err = openTable(b.file, size, format); err != nil {
		return err
	}
	s := &Set{Classes: b.Classes}
	if err := s.describe(b.t.metadata(), "it"); err != nil {
		return err
	}
	b.starts = []int{0}
	kept, groups := 1, b.t.groups()
	for g := range groups {
		b.starts = append(b.starts, b.starts[g]+b.t.rows(g))
		kept = max(kept, b.t.rows(g))
	}
	b.recent = recent.New[*rowReader](recentRows / kept)
	b.columns = b.t.columns()
	b.Classes = s.Classes
	md := b.t.metadata()
	b.madeBy(md)
	if md[KeyJob] == "" {
		b.Whole = md[KeyInput]
	}
	each, i, row := begin(b), 0, Row{}
	err = readTable(b.t, false, func(p predicted) error {
		if err := s.fit(i, p); err != nil {
			return err
		}
		row = p.row(row.Top, row.Prob)
		row.Synset = b.synset(row.Label)
		each(i, &row)
		i++
		return nil
	})
	b.K = max(s.K, 1)
	if err == nil && groups > 0 {
		b.Width, err = b.width()
	}
	return err
}

// madeBy takes the network and its Spec out of metadata that were checked.
func (b *Browser) madeBy(md metadata) {
	b.Model = md[KeyModel]
	if spec, err := model.ParseSpec(md[KeySpec]); err == nil {
		b.Spec = &spec
	}
}

// width finds out how wide embeddings are, by the first that is there.
func (b *Browser) width() (n int, err error) {
	for g := range b.t.groups() {
		err := b.Embeddings(g, func(_ int, v []float32) error { n = max(n, len(v)); return nil })
		if err != nil || n > 0 {
			return n, err
		}
	}
	return 0, nil
}

// row is what is measured of a row; Top and Prob are in the memory given, which may be nil.
func (p *predicted) row(top []int, prob []float32) Row {
	r := Row{Path: p.path, Label: p.label, Error: p.err}
	if len(p.labels) > 0 {
		r.Top, r.Prob = top[:0], append(prob[:0], p.probs...)
		for _, c := range p.labels {
			r.Top = append(r.Top, int(c))
		}
	}
	return r
}

// Len is the number of rows.
func (b *Browser) Len() int { return b.starts[len(b.starts)-1] }

// Row gives row i, 0 <= i < Len: its name, label, predictions and error.
func (b *Browser) Row(i int) (Row, error) {
	rows, err := b.Rows([]int{i})
	if err != nil {
		return Row{}, err
	}
	return rows[0], nil
}

// Rows gives the rows of some numbers, in the order of these. Each group is read once.
func (b *Browser) Rows(numbers []int) ([]Row, error) {
	out := make([]Row, len(numbers))
	if b.set != nil {
		for k, i := range numbers {
			out[k] = b.held(i)
		}
		return out, nil
	}
	order := make([]int, len(numbers))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Compare(numbers[x], numbers[y]) })
	for len(order) > 0 {
		g := b.GroupOf(numbers[order[0]])
		n := slices.IndexFunc(order, func(k int) bool { return numbers[k] >= b.starts[g+1] })
		if n < 0 {
			n = len(order)
		}
		if err := b.ofGroup(g, numbers, order[:n], out); err != nil {
			return nil, fmt.Errorf("%s: row %d: %w", b.file.Name(), numbers[order[0]], err)
		}
		order = order[n:]
	}
	return out, nil
}

// held is row i of text.
func (b *Browser) held(i int) Row {
	r := Row{Path: b.set.Paths[i], Label: int64(b.set.Truth[i]), Error: b.set.Errors[i]}
	for j := i * b.K; j < (i+1)*b.K && !b.set.Failed[i]; j++ {
		r.Top, r.Prob = append(r.Top, int(b.set.Top[j])), append(r.Prob, b.set.Prob[j])
	}
	r.Synset = b.synset(r.Label)
	return r
}

// ofGroup puts those rows of numbers that order says, all of one group, into out: of Arrow
// they are read alone, elsewhere with their group.
func (b *Browser) ofGroup(g int, numbers, order []int, out []Row) error {
	places := make([]int, len(order))
	for k, at := range order {
		places[k] = numbers[at] - b.starts[g]
	}
	put := func(k int, p predicted) {
		r := p.row(nil, nil)
		r.Synset = b.synset(r.Label)
		out[order[k]] = r
	}
	if a, ok := b.t.(arrowTable); ok {
		rows, err := b.rows(func(c column, to sink) error { return a.some(g, places, c, to) }, len(places))
		if err != nil {
			return err
		}
		for k := range places {
			put(k, rows.row(k))
		}
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	rows, err := b.recent.Get(g, func(to **rowReader) (err error) {
		*to, err = b.rows(func(c column, to sink) error { return b.t.each(g, c, to) }, b.t.rows(g))
		return err
	})
	if err != nil {
		return err
	}
	for k, at := range places {
		put(k, (*rows).row(at))
	}
	return nil
}

func (b *Browser) synset(label int64) string {
	if label < 0 {
		return ""
	}
	return b.Classes[label]
}

// rows puts so many rows together of what each gives of the columns.
func (b *Browser) rows(each func(c column, to sink) error, n int) (*rowReader, error) {
	rows, err := newRowReader(b.columns, func(predicted) error { return nil })
	if err != nil {
		return nil, err
	}
	delete(rows.columns, "probabilities")
	for _, c := range b.columns {
		if to := rows.sink(c.name); to != nil {
			if err := each(c, to); err != nil {
				return nil, err
			}
		}
	}
	return rows, rows.check(n)
}

// Groups is in how many runs of rows the file is read.
func (b *Browser) Groups() int { return len(b.starts) - 1 }

// GroupOf is the group in which row i is.
func (b *Browser) GroupOf(i int) int {
	g, _ := slices.BinarySearch(b.starts, i+1)
	return g - 1
}

// Embeddings gives the embeddings of a group with their rows; rows without one, as those
// that failed, are left out. They are good until each returns.
func (b *Browser) Embeddings(g int, each func(i int, v []float32) error) error {
	if b.set != nil {
		return nil
	}
	at := slices.IndexFunc(b.columns, func(c column) bool { return c.name == "embedding" && c.kind == kindFloat })
	if at < 0 {
		return nil
	}
	if _, concurrent := b.t.(arrowTable); !concurrent {
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	row, v := b.starts[g], []float32(nil)
	return b.t.each(g, b.columns[at], floatsFunc(func(values []float64) error {
		row++
		if len(values) == 0 {
			return nil
		}
		v = v[:0]
		for _, x := range values {
			v = append(v, float32(x))
		}
		return each(row-1, v)
	}))
}

// floatsFunc is a sink of lists of numbers, row by row.
type floatsFunc func(values []float64) error

func (f floatsFunc) floats(_ int, values []float64) error { return f(values) }
func (f floatsFunc) strings(int, [][]byte) error {
	return formatf("column embedding holds text")
}
func (f floatsFunc) ints(int, []int64) error { return formatf("column embedding holds integers") }
