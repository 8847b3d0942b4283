package ui

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table writes rows in columns. Cells go through Text.
type Table struct{ w *tabwriter.Writer }

// NewTable begins a table with a heading; without one, none is written.
func NewTable(w io.Writer, heading ...string) *Table {
	t := &Table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	if len(heading) > 0 {
		cells := make([]any, len(heading))
		for i, h := range heading {
			cells[i] = h
		}
		t.Row(cells...)
	}
	return t
}

// Row adds a row; a cell is written as fmt.Sprint does.
func (t *Table) Row(cells ...any) {
	for i, c := range cells {
		end := "\t"
		if i == len(cells)-1 {
			end = "\n"
		}
		fmt.Fprint(t.w, Text(fmt.Sprint(c)), end) // the writer below keeps its errors for Flush
	}
}

// Flush writes what is not yet written.
func (t *Table) Flush() error { return t.w.Flush() }
