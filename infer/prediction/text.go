package prediction

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/synshard/synshard/internal/regular"
)

// readText reads NDJSON, CSV or TSV, packed or not.
func readText(in io.Reader, format Format, md metadata, classes []string) (*Set, error) {
	s := newFilling(classes)
	if err := s.describe(md, string(format)+" without its .meta.json"); err != nil {
		return nil, err
	}
	plain, err := format.Unpack(in)
	if err != nil {
		return nil, formatf("%w", err)
	}
	defer plain.Close()
	var all io.Reader = plain
	if format.Packing() != "" {
		all = &bounded{plain, regular.Table}
	}
	r := bufio.NewReaderSize(all, 1<<16)
	if mark, err := r.Peek(3); err == nil && string(mark) == "\ufeff" {
		r.Discard(3)
	}
	if format.Plain() == NDJSON {
		err = readNDJSON(r, s)
	} else {
		err = readCSV(r, s, format)
	}
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // sums of what is packed stand at its end
		return nil, formatf("%w", err)
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // for the sum of all
		return nil, err
	}
	return s.Set, s.end()
}

// integer is a label as text has it: data frames with holes write 3.0.
func integer(v float64) (int64, error) {
	if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		return 0, fmt.Errorf("%v where a label is wanted", v)
	}
	return int64(v), nil
}

// readNDJSON reads an object a line. Keys that measuring has no use for may be
// there or not.
func readNDJSON(in io.Reader, s *filling) error {
	d := json.NewDecoder(in)
	for d.More() {
		var row struct {
			Path          *string   `json:"path"`
			Label         *float64  `json:"label"`
			Synset        any       `json:"synset"` // others may keep what they like here, and in the next two that are any
			PredLabel     []float64 `json:"pred_label"`
			PredSynset    any       `json:"pred_synset"`
			PredProb      []float32 `json:"pred_prob"`
			Probabilities []float32 `json:"probabilities"`
			Error         any       `json:"error"`
		}
		if err := d.Decode(&row); err != nil {
			return formatf("row %d: %w", s.Len(), err)
		}
		if row.Path == nil {
			return formatf("row %d has no path", s.Len())
		}
		r := predicted{path: *row.Path, label: -1, probs: row.PredProb, all: row.Probabilities}
		r.err, _ = row.Error.(string)
		r.synset, _ = row.Synset.(string)
		names, _ := row.PredSynset.([]any)
		for _, v := range names {
			name, _ := v.(string)
			r.names = append(r.names, name)
		}
		var err error
		if row.Label != nil {
			r.label, err = integer(*row.Label)
		}
		for _, v := range row.PredLabel {
			if err == nil {
				var n int64
				n, err = integer(v)
				r.labels = append(r.labels, n)
			}
		}
		if err != nil {
			return formatf("row %d: %w", s.Len(), err)
		}
		if err := s.add(r); err != nil {
			return err
		}
	}
	return nil
}

// csvPlaces is where a table's columns are.
type csvPlaces struct {
	path, label, err, synset  int // err and synset: -1 where there is none
	labels, names, probs, all []int
}

func placesOf(head []string) (csvPlaces, error) {
	c := csvPlaces{path: -1, label: -1, err: -1, synset: -1}
	for i, name := range head {
		switch {
		case name == "path":
			c.path = i
		case name == "label":
			c.label = i
		case name == "error":
			c.err = i
		case name == "synset":
			c.synset = i
		case strings.HasPrefix(name, "pred_synset_"):
			c.names = append(c.names, i)
		case strings.HasPrefix(name, "pred_label_"):
			c.labels = append(c.labels, i)
		case strings.HasPrefix(name, "pred_prob_"):
			c.probs = append(c.probs, i)
		case strings.HasPrefix(name, "probabilities_"):
			c.all = append(c.all, i)
		}
	}
	if c.path < 0 || c.label < 0 || len(c.labels) == 0 || len(c.labels) != len(c.probs) {
		return c, formatf("its head has no path, label, pred_label_1 and pred_prob_1")
	}
	return c, nil
}

// bounded ends with an error where more comes than fits: packed text can be of any size.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("more than %d GiB of text", regular.Table>>30)
	}
	return n, err
}

// readCSV reads what csvEncoder writes.
func readCSV(in io.Reader, s *filling, format Format) error {
	r := newCSVReader(in, format)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return formatf("%w", err)
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
			err = at.row(line, s)
		}
		if errors.Is(err, ErrFormat) { // it says which row
			return err
		}
		if err != nil {
			return formatf("row %d: %w", s.Len(), err)
		}
	}
}

func (c *csvPlaces) row(line []string, s *filling) error {
	r := predicted{path: strings.Clone(line[c.path]), label: -1}
	var err error
	if text := line[c.label]; text != "" {
		if r.label, err = parseLabel(text); err != nil {
			return err
		}
	}
	if c.synset >= 0 {
		r.synset = line[c.synset]
	}
	if line[c.labels[0]] == "" {
		if c.err >= 0 {
			r.err = strings.Clone(line[c.err])
		}
		return s.add(r)
	}
	for _, i := range c.labels {
		n, err := parseLabel(line[i])
		if err != nil {
			return err
		}
		r.labels = append(r.labels, n)
	}
	r.names = make([]string, 0, len(c.names))
	for _, i := range c.names {
		r.names = append(r.names, line[i])
	}
	if r.probs, err = floats(line, c.probs); err != nil {
		return err
	}
	if len(c.all) > 0 {
		if r.all, err = floats(line, c.all); err != nil {
			return err
		}
	}
	return s.add(r)
}

func parseLabel(text string) (int64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, err
	}
	return integer(v)
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
