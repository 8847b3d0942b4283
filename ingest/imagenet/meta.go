package imagenet

import (
	"fmt"

	"github.com/synshard/synshard/internal/mat5"
)

// Synset is a row of meta.mat.
type Synset struct {
	ID          int    // ILSVRC2012_ID
	WNID        string // as "n01440764"
	Words       string // with commas between
	Gloss       string // WordNet's definition
	NumChildren int    // 0: a class; otherwise an inner node
	TrainImages int    // of this synset; -1 where the kit does not say
}

// readMeta reads meta.mat, whose one variable of interest is the struct array
// "synsets". An error is a mat5.ErrMalformed.
func readMeta(b []byte) ([]Synset, error) {
	vars, err := mat5.Read(b)
	if err != nil {
		return nil, err
	}
	s, ok := vars["synsets"]
	if !ok || s.Fields == nil {
		return nil, malformed("no struct array called synsets")
	}
	ids, wnids := s.Fields["ILSVRC2012_ID"], s.Fields["WNID"]
	if len(ids) == 0 || len(ids) != len(wnids) {
		return nil, malformed("synsets has %d ILSVRC2012_ID and %d WNID", len(ids), len(wnids))
	}
	get := func(field string, i int) mat5.Array {
		if f := s.Fields[field]; i < len(f) {
			return f[i]
		}
		return mat5.Array{}
	}
	var out []Synset
	for i := range ids {
		row := Synset{ID: int(ids[i].Number(-1)), WNID: wnids[i].Text, Words: get("words", i).Text, Gloss: get("gloss", i).Text,
			NumChildren: int(get("num_children", i).Number(0)), TrainImages: int(get("num_train_images", i).Number(-1))}
		if row.ID < 1 || row.WNID == "" {
			return nil, malformed("element %d has ILSVRC2012_ID %d and WNID %q", i, row.ID, row.WNID)
		}
		out = append(out, row)
	}
	return out, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", mat5.ErrMalformed, fmt.Sprintf(format, args...))
}
