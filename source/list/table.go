package list

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/source/entry"
)

// table is a list that is being read.
type table struct {
	isImage func(field string) bool // says what may be the name of an image
	paths   []string
	lines   []int32 // of each path
	columns []*column
}

// column is a column beside that of paths.
type column struct {
	*entry.ColumnOf
	other   bool // it is called neither after classes nor after splits
	endless bool // it has more values than classes are many, and none is kept
}

// mostValues bounds what is kept of a column whose name says nothing: no column of classes has as many.
const mostValues = 1 << 16

func (t *table) newColumn(name string, other bool) *column {
	c := &column{ColumnOf: entry.NewColumn(strings.TrimSpace(name), nil), other: other}
	t.columns = append(t.columns, c)
	return c
}

func (c *column) add(text string) {
	if c.endless {
		return
	}
	if c.Add(entry.ParseLabel(text)); c.other && len(c.Values) > mostValues {
		c.ColumnOf, c.endless = entry.NewColumn(c.Name, nil), true
	}
}

// fields reads a line's fields; an end of the list is io.EOF.
type fields func() (record []string, line int, err error)

// sampled is how many records tell which column is that of paths.
const sampled = 64

// record is the fields of one line.
type record struct {
	fields []string
	line   int
}

// text reads fields that are separated by sep: see separator.
func (t *table) text(ctx context.Context, in *bufio.Reader, sep rune) error {
	next := lines(in, sep == ' ')
	if sep != 0 && sep != ' ' {
		next = separated(in, sep)
	}
	var sample []record
	for len(sample) < sampled {
		f, line, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if len(sample) > 0 && len(f) != len(sample[0].fields) {
			return wrongWidth(line, f, sample)
		}
		sample = append(sample, record{f, line})
	}
	if len(sample) == 0 {
		return nil
	}
	head, err := t.heading(sample)
	if err != nil {
		return fmt.Errorf("line %d: %w", sample[0].line, err)
	}
	rows := sample
	if head.heading {
		rows = sample[1:]
	}
	for _, r := range rows {
		if err := t.row(r.fields, r.line, head); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		f, line, err := next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case len(f) != len(sample[0].fields):
			return wrongWidth(line, f, sample)
		}
		if err := t.row(f, line, head); err != nil {
			return err
		}
	}
}

func wrongWidth(line int, f []string, sample []record) error {
	return fmt.Errorf("line %d has %d fields and the first one %d", line, len(f), len(sample[0].fields))
}

func (t *table) row(f []string, line int, head heading) error {
	if f[head.path] == "" {
		return fmt.Errorf("line %d has no path", line)
	}
	t.paths, t.lines = append(t.paths, f[head.path]), append(t.lines, int32(line))
	for i, at := range head.columns {
		t.columns[i].add(f[at])
	}
	return nil
}

// separated reads the fields of CSV or TSV.
func separated(in *bufio.Reader, sep rune) fields {
	r := csv.NewReader(in)
	r.Comma, r.FieldsPerRecord = sep, -1
	r.TrimLeadingSpace = sep != '\t' // which would be white space itself
	return func() ([]string, int, error) {
		record, err := r.Read()
		if err != nil {
			return nil, 0, err
		}
		line, _ := r.FieldPos(0)
		return record, line, nil
	}
}

// heading says what the columns of a list are.
type heading struct {
	heading bool // the first record is one, and no row
	path    int
	columns []int // of table.columns: their places
}

// heading finds out which column is that of paths: one that a heading calls so, or one
// in which every record but a heading has an image's name.
func (t *table) heading(sample []record) (h heading, err error) {
	first := sample[0].fields
	h.path = -1
	for i, name := range first {
		if r := entry.Rank(name, entry.PathColumns); r >= 0 && (h.path < 0 || r < entry.Rank(first[h.path], entry.PathColumns)) {
			h.path, h.heading = i, true
		}
	}
	if h.heading && len(sample) > 1 && !t.names(sample[1:], h.path) { // "image_id, file": the names may stand in another
		if at := t.column(sample[1:]); at >= 0 {
			h.path = at
		}
	}
	switch {
	case h.heading:
	case t.column(sample) >= 0:
		h.path = t.column(sample)
	case len(sample) > 1 && (len(first) > 1 || headingOnly(first[0])) && t.column(sample[1:]) >= 0 && !strings.ContainsAny(first[t.column(sample[1:])], "0123456789/."):
		h.path, h.heading = t.column(sample[1:]), true // and no file is called so
	case len(first) > 1 && slices.ContainsFunc(first, headingOnly):
		return h, fmt.Errorf("the first line, %q, is not about an image, and as a heading it has no column of paths (path, filename, image ...); %w", strings.Join(first, ","), ErrBareNames)
	case len(first) > 2:
		return h, fmt.Errorf("%d fields, and no heading says which is the path (path, filename, image ...)", len(first))
	case len(first) == 2 && t.someNames(sample):
		return h, fmt.Errorf("the first line, %q, is not about an image, and as a heading it has no column of paths (path, filename, image ...)", strings.Join(first, ","))
	default:
		h.path = 0
	}
	if !h.heading {
		return h, t.unnamed(&h, sample)
	}
	if name := twice(first, h.path); name != "" {
		return h, fmt.Errorf("two columns are called %s, and which is meant is not known: take one out, or call it otherwise", name)
	}
	for i, name := range first {
		if i == h.path || strings.TrimSpace(name) == "" { // a data frame's index
			continue
		}
		other := !entry.MaySplit(name) && entry.Rank(name, entry.LabelColumns) < 0
		if other && len(first) == 2 && !entry.Measure(name) {
			other = false // what stands alone beside the paths
		}
		t.newColumn(name, other)
		h.columns = append(h.columns, i)
	}
	return h, nil
}

// twice is what two columns are called of which one is to say the path or the split; "": none is.
func twice(names []string, path int) string {
	for i, name := range names {
		same := func(other string) bool { return entry.ColumnName(other) == entry.ColumnName(name) }
		if (i == path || entry.MaySplit(name)) && (slices.ContainsFunc(names[:i], same) || slices.ContainsFunc(names[i+1:], same)) {
			return name
		}
	}
	return ""
}

// unnamed makes the columns of a list without a heading: the label beside the path; of
// three columns with the path behind them the second, as MXNet's lists have an index, a label and
// a path. Others have numbers for names.
func (t *table) unnamed(h *heading, sample []record) error {
	n := len(sample[0].fields)
	index := n > 2 && h.path == n-1 && counted(sample)
	for i := range n {
		switch {
		case i == h.path, i == 0 && index:
			continue
		case n == 2, n == 3 && index:
			t.newColumn("label", false)
		default:
			t.newColumn(strconv.Itoa(i+1), true)
		}
		h.columns = append(h.columns, i)
	}
	return nil
}

// counted says whether the first fields are different whole numbers.
func counted(sample []record) bool {
	seen := map[string]bool{}
	for _, r := range sample {
		if _, err := strconv.ParseUint(r.fields[0], 10, 64); err != nil || seen[r.fields[0]] {
			return false
		}
		seen[r.fields[0]] = true
	}
	return true
}

// column is the first in which all records have an image's name; -1: none.
func (t *table) column(records []record) int {
	for i := range records[0].fields {
		if t.names(records, i) {
			return i
		}
	}
	return -1
}

func (t *table) names(records []record, column int) bool {
	return !slices.ContainsFunc(records, func(r record) bool { return !t.isImage(r.fields[column]) })
}

// someNames says whether any record has an image's name.
func (t *table) someNames(records []record) bool {
	return slices.ContainsFunc(records, func(r record) bool { return slices.ContainsFunc(r.fields, t.isImage) })
}

// headingOnly says whether a field is what a column of other than paths is called: a
// file would hardly be.
func headingOnly(field string) bool {
	switch entry.ColumnName(field) {
	case "id", "imageid", "index", "breed", "species", "label", "class":
		return true
	}
	return false
}

// lines gives a line's one field, or the two of a path and what is behind the
// last space. Empty lines are passed over.
func lines(in *bufio.Reader, spaces bool) fields {
	n := 0
	return func() ([]string, int, error) {
		for {
			b, err := in.ReadBytes('\n')
			if len(b) == 0 {
				return nil, n, err
			}
			n++
			line := strings.TrimRight(string(b), "\r\n")
			if strings.TrimSpace(line) == "" {
				continue
			}
			if !spaces {
				return []string{line}, n, nil
			}
			line = strings.TrimSpace(line)
			i := strings.LastIndexAny(line, " \t")
			if i < 0 {
				return []string{line}, n, nil
			}
			return []string{strings.TrimSpace(line[:i]), line[i+1:]}, n, nil
		}
	}
}
