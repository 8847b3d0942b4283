// Package labelfile reads the files that say the labels of images which lie elsewhere:
// Kaggle's solution, tiny-imagenet's annotations, what WebDataset has beside an image,
// and which files Hugging Face's dataset card puts into which split.
package labelfile

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"

	"github.com/synshard/synshard/source/classlist"
)

// Annotations reads tiny-imagenet's val_annotations.txt: name, synset and four numbers
// between tabs. It gives the synset of each name.
func Annotations(b []byte) (map[string]string, error) {
	out := map[string]string{}
	for i, line := range strings.Split(text(b), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 2 || !classlist.IsSynset(fields[1]) {
			return nil, fmt.Errorf("line %d: want a name and a synset and not %.60q", i+1, line)
		}
		if err := Put(out, fields[0], fields[1]); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return out, nil
}

// Put notes the class of a name; one that has another is an error.
func Put(classes map[string]string, name, class string) error {
	if have, ok := classes[name]; ok && have != class {
		return fmt.Errorf("%s is of %s, and before of %s", name, class, have)
	}
	classes[name] = class
	return nil
}

// text is a file's text with plain ends of lines and no byte order mark.
func text(b []byte) string {
	return strings.ReplaceAll(strings.TrimPrefix(string(b), "\ufeff"), "\r\n", "\n")
}

// Solution reads Kaggle's LOC_val_solution.csv: an image's name without its extension, then
// "n01440764 xmin ymin xmax ymax" for each box, of which the first synset is the image's.
// Further columns do not matter. It gives the synset of each name.
func Solution(b []byte) (map[string]string, error) {
	r := csv.NewReader(strings.NewReader(text(b)))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	out := map[string]string{}
	name, boxes := 0, 1 // the columns
	for first := true; ; first = false {
		row, err := r.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if first && heading(row, &name, &boxes) {
			continue
		}
		line, _ := r.FieldPos(0)
		if len(row) <= max(name, boxes) {
			return nil, fmt.Errorf("line %d: %d fields, want %d", line, len(row), max(name, boxes)+1)
		}
		synset, _, _ := strings.Cut(strings.TrimSpace(row[boxes]), " ")
		id := strings.TrimSpace(row[name])
		if !classlist.IsSynset(synset) || id == "" {
			return nil, fmt.Errorf("line %d: want a name, and a synset and not %.60q", line, row[boxes])
		}
		if err := Put(out, strings.Clone(id), strings.Clone(synset)); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// heading says whether a row is the heading, and finds the columns in it.
func heading(row []string, name, boxes *int) bool {
	found := false
	for c, h := range row {
		switch strings.TrimSpace(h) {
		case "ImageId":
			*name, found = c, true
		case "PredictionString":
			*boxes, found = c, true
		}
	}
	return found
}
