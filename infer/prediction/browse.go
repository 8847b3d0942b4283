package prediction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	Apart   bool        // embeddings can be read one by one
	Whole   string      // what infer says the images were of which the file has all; "": nothing

	file    *os.File
	format  Format
	set     *Set // of text that was gone through; nil otherwise
	t       table
	columns []column
	starts  []int // row with which each group begins, and the number of all

	mu     sync.Mutex               // of t, but where that is Arrow, and of:
	recent *recent.Kept[*rowReader] // by group
}

// recentRows bounds the rows kept of groups; one group is kept whatever it has.
const recentRows = 1 << 17

// Browse opens a file as Read does, and reads what it says of itself. Its rows may be asked for
// once Scan has gone through them; of text their number, and of all K, Width and Apart, are not known before.
func Browse(path string, classes []string) (*Browser, error) {
	f, size, format, err := openAny(path)
	if err != nil {
		return nil, err
	}
	b := &Browser{Classes: classes, file: f, format: format, starts: []int{0}}
	if format.Text() {
		err = b.openText()
	} else {
		err = b.openColumns(size)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// Close closes the file. Nothing may be read after it.
func (b *Browser) Close() error { return b.file.Close() }

// describe takes what metadata say of the whole.
func (b *Browser) describe(md metadata, what string) error {
	s := Set{Classes: b.Classes}
	if err := s.describe(md, what); err != nil {
		return err
	}
	b.Classes, b.Model = s.Classes, md[KeyModel]
	if spec, err := model.ParseSpec(md[KeySpec]); err == nil {
		b.Spec = &spec
	}
	return nil
}

func (b *Browser) openText() error {
	beside, err := readSidecar(b.file.Name())
	if err != nil {
		return err
	}
	return b.describe(beside.Metadata, string(b.format)+" without its .meta.json")
}

func (b *Browser) openColumns(size int64) error {
	var err error
	if b.t, err = openTable(b.file, size, b.format); err != nil {
		return err
	}
	md := b.t.metadata()
	if err := b.describe(md, "it"); err != nil {
		return err
	}
	if md[KeyJob] == "" {
		b.Whole = md[KeyInput]
	}
	kept := 1
	for g := range b.t.groups() {
		b.starts = append(b.starts, b.starts[g]+b.t.rows(g))
		kept = max(kept, b.t.rows(g))
	}
	b.recent = recent.New[*rowReader](recentRows / kept)
	b.columns = b.t.columns()
	return nil
}

// Scan holds the file to its sums, and goes through all rows in order; a row is that of Row,
// good until each returns. It ends with an error of the file's, each's, or the context's.
func (b *Browser) Scan(ctx context.Context, each func(i int, r *Row) error) error {
	scan := b.scanColumns
	if b.format.Text() {
		scan = b.scanText
	}
	if err := scan(ctx, each); err != nil {
		return fmt.Errorf("%s: %w", b.file.Name(), cmp.Or(ctx.Err(), err))
	}
	return nil
}

func (b *Browser) scanText(ctx context.Context, each func(int, *Row) error) error {
	s, err := readTextFile(&whileWanted{ctx, b.file}, b.file.Name(), b.format, b.Classes)
	if err != nil {
		return err
	}
	s.All = nil
	b.set, b.K, b.starts = s, s.K, []int{0, s.Len()}
	for i := range s.Len() {
		row := b.held(i)
		if err := each(i, &row); err != nil {
			return err
		}
	}
	return nil
}

// whileWanted is a file that ends with its context.
type whileWanted struct {
	ctx context.Context
	in  io.Reader
}

func (w *whileWanted) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.in.Read(b)
}

func (b *Browser) scanColumns(ctx context.Context, each func(int, *Row) error) error {
	s, i, row := newFilling(b.Classes), 0, Row{}
	err := readTable(b.t, false, func(p predicted) error {
		if err := errors.Join(ctx.Err(), s.fit(i, p)); err != nil {
			return err
		}
		row = p.row(row.Top, row.Prob)
		row.Synset = b.synset(row.Label)
		i++
		return each(i-1, &row)
	})
	b.K = max(s.K, 1)
	if err == nil {
		err = b.lookAtEmbeddings()
	}
	return err
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
