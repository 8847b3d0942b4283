package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// result gives stdout a verb's result: v as JSON with --json, else what text
// writes.
func (a *app) result(v any, text func(w io.Writer)) error {
	w := bufio.NewWriter(a.stdout)
	if a.jsonOut {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	} else {
		text(w)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
