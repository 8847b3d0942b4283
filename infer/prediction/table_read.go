package prediction

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// readTable goes through a table once: it holds every column that has a sum in the
// metadata to it, and gives the rows to keep, which may be nil, in order and one at a time. strict wants
// the columns to be exactly those that have sums.
func readTable(t table, strict bool, keep func(predicted) error) error {
	md := t.metadata()
	if err := md.check(); err != nil {
		return err
	}
	r := tableReader{t: t, columns: t.columns(), sums: map[string]*columnSum{}}
	for k := range md {
		if name, ok := strings.CutPrefix(k, keyColumnSum); ok {
			r.sums[name] = newColumnSum()
		}
	}
	if err := compareColumns(r.columns, r.sums, strict); err != nil {
		return err
	}
	for i := range r.rows {
		var err error
		if r.rows[i], err = newRowReader(r.columns, keep); err != nil {
			return err
		}
	}
	read := r.inTurn
	if _, ok := t.(arrowTable); ok {
		read = r.sideBySide
	}
	if err := read(); err != nil {
		return err
	}
	for _, c := range r.columns {
		if sum := r.sums[c.name]; sum != nil && sum.hex() != md[keyColumnSum+c.name] {
			return formatf("column %s is not what its sum says: the file is damaged, or was changed after it was written (what was changed on purpose must lose the metadata %s*)", c.name, keyPrefix)
		}
	}
	return nil
}

// tableReader goes through the groups of a table.
type tableReader struct {
	t       table
	columns []column
	sums    map[string]*columnSum // by column
	rows    [2]*rowReader         // of a group, and of the next
}

// column gives a column of a group to its sum, and to who wants its rows.
func (r *tableReader) column(g int, c column, rows *rowReader) error {
	to := both{r.sums[c.name], rows.sink(c.name)}
	if to.sum == nil && to.kept == nil {
		return nil
	}
	return r.t.each(g, c, to)
}

// inTurn reads one column after the other, as tables that are for one goroutine want it.
func (r *tableReader) inTurn() error {
	rows := r.rows[0]
	for g := range r.t.groups() {
		rows.reset()
		for _, c := range r.columns {
			if err := r.column(g, c, rows); err != nil {
				return err
			}
		}
		if err := rows.give(r.t.rows(g)); err != nil {
			return err
		}
	}
	return nil
}

// sideBySide reads the columns of a group at the same time, while the rows of the group
// before are given. Of several errors the first in the file's order is told.
func (r *tableReader) sideBySide() error {
	groups := r.t.groups()
	for g := range groups + 1 {
		var work sync.WaitGroup
		errs := make([]error, 1+len(r.columns))
		if g > 0 {
			work.Go(func() { errs[0] = r.rows[(g-1)%2].give(r.t.rows(g - 1)) })
		}
		if g < groups {
			rows := r.rows[g%2]
			rows.reset()
			for k, c := range r.columns {
				work.Go(func() { errs[1+k] = r.column(g, c, rows) })
			}
		}
		work.Wait()
		if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
			return errs[i]
		}
	}
	return nil
}

// compareColumns holds the columns to those that have sums. Other programs
// leave columns out, or add some; where both were done, one may be the other,
// its name damaged.
func compareColumns(columns []column, sums map[string]*columnSum, strict bool) error {
	missing := maps.Clone(sums)
	var added []string
	for _, c := range columns {
		if sums[c.name] == nil {
			added = append(added, c.name)
		}
		delete(missing, c.name)
	}
	if len(sums) == 0 || len(missing)+len(added) == 0 || !strict && (len(missing) == 0 || len(added) == 0) {
		return nil
	}
	return formatf("it lacks the columns %q that have sums, and has %q without", slices.Sorted(maps.Keys(missing)), added)
}

// both gives values to a sum and to what keeps them, each of which may be nil.
type both struct {
	sum  *columnSum
	kept sink
}

func (b both) strings(row int, values [][]byte) error {
	return tell(b, func(s sink) error { return s.strings(row, values) })
}

func (b both) ints(row int, values []int64) error {
	return tell(b, func(s sink) error { return s.ints(row, values) })
}

func (b both) floats(row int, values []float64) error {
	return tell(b, func(s sink) error { return s.floats(row, values) })
}

func tell(b both, f func(sink) error) error {
	if b.sum != nil {
		if err := f(b.sum); err != nil {
			return err
		}
	}
	if b.kept != nil {
		return f(b.kept)
	}
	return nil
}

// held is the values of a column of one group: row i has those from ends[i-1]
// to ends[i].
type held struct {
	name  string
	kind  kind
	bytes []byte  // of texts, one behind the other
	nums  []int64 // of texts: where in bytes they end
	reals []float32
	ends  []int
	texts string // bytes, when all are there
}

func (h *held) strings(_ int, values [][]byte) error {
	if h.kind != kindText {
		return h.refuse("text")
	}
	for _, v := range values {
		h.bytes = append(h.bytes, v...)
		h.nums = append(h.nums, int64(len(h.bytes)))
	}
	h.ends = append(h.ends, len(h.nums))
	return nil
}

func (h *held) ints(_ int, values []int64) error {
	if h.kind != kindInt {
		return h.refuse("integers")
	}
	h.nums = append(h.nums, values...)
	h.ends = append(h.ends, len(h.nums))
	return nil
}

func (h *held) floats(_ int, values []float64) error {
	if h.kind != kindFloat {
		return h.refuse("numbers")
	}
	for _, v := range values {
		h.reals = append(h.reals, float32(v))
	}
	h.ends = append(h.ends, len(h.reals))
	return nil
}

// text is the k-th of all texts.
func (h *held) text(k int) string {
	from := int64(0)
	if k > 0 {
		from = h.nums[k-1]
	}
	return h.texts[from:h.nums[k]]
}

func (h *held) refuse(what string) error { return formatf("column %s holds %s", h.name, what) }

// span is where row i's values are.
func (h *held) span(i int) (from, to int) {
	if i > 0 {
		from = h.ends[i-1]
	}
	return from, h.ends[i]
}

// rowReader puts rows together out of the columns that measuring needs.
type rowReader struct {
	keep    func(predicted) error
	columns map[string]*held
	names   []string // of the row that is given
}

// newRowReader wants the columns that a row needs, if rows are wanted.
func newRowReader(have []column, keep func(predicted) error) (*rowReader, error) {
	r := &rowReader{keep: keep, columns: map[string]*held{}}
	if keep == nil {
		return r, nil
	}
	for name, k := range map[string]kind{"path": kindText, "label": kindInt, "pred_label": kindInt, "pred_prob": kindFloat, "probabilities": kindFloat} {
		n := 0
		for _, c := range have {
			if c.name == name {
				n++
			}
		}
		if n == 1 {
			r.columns[name] = &held{name: name, kind: k}
		} else if name != "probabilities" {
			return nil, formatf("it has %d columns %s that could hold predictions, not one", n, name)
		}
	}
	for _, name := range []string{"error", "synset", "pred_synset"} { // what others keep there is theirs
		is := func(c column) bool { return c.name == name }
		if i := slices.IndexFunc(have, is); i >= 0 && have[i].kind == kindText && !slices.ContainsFunc(have[i+1:], is) {
			r.columns[name] = &held{name: name, kind: kindText}
		}
	}
	return r, nil
}

// sink is what takes a column's values; nil: nobody.
func (r *rowReader) sink(name string) sink {
	if h := r.columns[name]; h != nil {
		return h
	}
	return nil
}

func (r *rowReader) reset() {
	for _, h := range r.columns {
		h.bytes, h.nums, h.reals, h.ends, h.texts = h.bytes[:0], h.nums[:0], h.reals[:0], h.ends[:0], ""
	}
}

// give gives the rows of the group that was read.
func (r *rowReader) give(rows int) error {
	if r.keep == nil {
		return nil
	}
	if err := r.check(rows); err != nil {
		return err
	}
	for i := range rows {
		if err := r.keep(r.row(i)); err != nil {
			return fmt.Errorf("row group of %d rows: %w", rows, err)
		}
	}
	return nil
}

// check wants every column to have so many rows, and ends them.
func (r *rowReader) check(rows int) error {
	for name, h := range r.columns {
		if len(h.ends) != rows {
			return formatf("column %s has %d of %d rows", name, len(h.ends), rows)
		}
		h.texts = string(h.bytes)
	}
	return nil
}

// row puts row i of the group together.
func (r *rowReader) row(i int) predicted {
	row := predicted{label: -1}
	if from, to := r.columns["path"].span(i); from < to {
		row.path = r.columns["path"].text(from)
	}
	if from, to := r.columns["label"].span(i); from < to {
		row.label = r.columns["label"].nums[from]
	}
	from, to := r.columns["pred_label"].span(i)
	row.labels = r.columns["pred_label"].nums[from:to]
	from, to = r.columns["pred_prob"].span(i)
	row.probs = r.columns["pred_prob"].reals[from:to]
	if all := r.columns["probabilities"]; all != nil {
		if from, to := all.span(i); from < to {
			row.all = all.reals[from:to]
		}
	}
	if why := r.columns["error"]; why != nil {
		if from, to := why.span(i); from < to {
			row.err = why.text(from)
		}
	}
	if truth := r.columns["synset"]; truth != nil {
		if from, to := truth.span(i); from < to {
			row.synset = truth.text(from)
		}
	}
	if names := r.columns["pred_synset"]; names != nil {
		r.names = r.names[:0]
		for from, to := names.span(i); from < to; from++ {
			r.names = append(r.names, names.text(from))
		}
		row.names = r.names
	}
	return row
}
