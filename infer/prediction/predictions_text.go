package prediction

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readNDJSON reads an object a line. Keys that measuring has no use for may be
// there or not.
func readNDJSON(in io.Reader, p *Predictions) error {
	d := json.NewDecoder(bufio.NewReaderSize(in, 1<<16))
	for d.More() {
		var row struct {
			Path          string    `json:"path"`
			Label         *int64    `json:"label"`
			PredLabel     []int64   `json:"pred_label"`
			PredProb      []float32 `json:"pred_prob"`
			Probabilities []float32 `json:"probabilities"`
		}
		if err := d.Decode(&row); err != nil {
			return fmt.Errorf("%w: row %d: %w", ErrFormat, p.Len(), err)
		}
		r := predicted{path: row.Path, label: -1, labels: row.PredLabel, probs: row.PredProb, all: row.Probabilities}
		if row.Label != nil {
			r.label = *row.Label
		}
		if err := p.addText(r); err != nil {
			return err
		}
	}
	return nil
}

// addText adds a row that may have the probabilities of all classes: none, or
// every row that did not fail.
func (p *Predictions) addText(r predicted) error {
	before := p.Len()
	if err := p.add(r); err != nil {
		return err
	}
	c := len(p.Classes)
	failed := len(r.labels) == 0
	switch {
	case r.all != nil:
		if p.All == nil { // those before failed
			p.All = make([]float32, before*c)
		}
		if len(p.All) != before*c {
			return fmt.Errorf("%w: row %d has all probabilities, and others have not", ErrFormat, before)
		}
		p.All = append(p.All, r.all...)
	case p.All != nil && failed:
		p.All = append(p.All, make([]float32, c)...)
	case p.All != nil:
		return fmt.Errorf("%w: row %d has no probabilities of all classes, and others have", ErrFormat, before)
	}
	return nil
}

// csvPlaces is where a table's columns are.
type csvPlaces struct {
	path, label        int
	labels, probs, all []int
}

func placesOf(head []string) (csvPlaces, error) {
	c := csvPlaces{path: -1, label: -1}
	for i, name := range head {
		switch {
		case name == "path":
			c.path = i
		case name == "label":
			c.label = i
		case strings.HasPrefix(name, "pred_label_"):
			c.labels = append(c.labels, i)
		case strings.HasPrefix(name, "pred_prob_"):
			c.probs = append(c.probs, i)
		case strings.HasPrefix(name, "probabilities_"):
			c.all = append(c.all, i)
		}
	}
	if c.path < 0 || c.label < 0 || len(c.labels) == 0 || len(c.labels) != len(c.probs) {
		return c, fmt.Errorf("%w: its head has no path, label, pred_label_1 and pred_prob_1", ErrFormat)
	}
	return c, nil
}

// readCSV reads what csvEncoder writes.
func readCSV(in io.Reader, p *Predictions) error {
	r := csv.NewReader(bufio.NewReaderSize(in, 1<<16))
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	at, err := placesOf(head)
	if err != nil {
		return err
	}
	for {
		line, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = at.row(line, p)
		}
		if err != nil {
			return fmt.Errorf("%w: row %d: %w", ErrFormat, p.Len(), err)
		}
	}
}

func (c *csvPlaces) row(line []string, p *Predictions) (err error) {
	r := predicted{path: strings.Clone(line[c.path]), label: -1}
	if text := line[c.label]; text != "" {
		if r.label, err = strconv.ParseInt(text, 10, 64); err != nil {
			return err
		}
	}
	if line[c.labels[0]] == "" {
		return p.addText(r)
	}
	for _, i := range c.labels {
		n, err := strconv.ParseInt(line[i], 10, 64)
		if err != nil {
			return err
		}
		r.labels = append(r.labels, n)
	}
	if r.probs, err = floats(line, c.probs); err != nil {
		return err
	}
	if len(c.all) > 0 {
		if r.all, err = floats(line, c.all); err != nil {
			return err
		}
	}
	return p.addText(r)
}

func floats(line []string, at []int) ([]float32, error) {
	out := make([]float32, len(at))
	for i, j := range at {
		v, err := strconv.ParseFloat(line[j], 32)
		if err != nil {
			return nil, err
		}
		out[i] = float32(v)
	}
	return out, nil
}
