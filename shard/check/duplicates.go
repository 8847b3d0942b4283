package check

import (
	"bytes"
	"encoding/hex"
	"slices"

	"github.com/synshard/synshard/shard"
)

// Copy is one of several images with the same bytes.
type Copy struct {
	Split  string `json:"split"`            // where it lies
	Path   string `json:"path"`             // as shard.Row.Path
	Label  int64  `json:"label"`            // -1: none
	Synset string `json:"synset,omitempty"` // "": none
}

// Duplicates is a set of images with the same bytes.
type Duplicates struct {
	SHA256 string `json:"sha256"` // in hex
	// LabelsDiffer says that not all have the same label; images without one
	// do not count. SplitsDiffer says that they lie in several splits.
	LabelsDiffer bool   `json:"labels_differ"`
	SplitsDiffer bool   `json:"splits_differ"`
	Copies       []Copy `json:"copies"` // by split, in the order of FindDuplicates, then in index order
}

// FindDuplicates lists the images of a dataset that occur more than once within and
// across its splits, in order of their first copy, by Dataset.SplitsInOrder. It goes by the sha256 column.
func FindDuplicates(set *shard.Dataset) ([]Duplicates, error) {
	var splits []*shard.Split
	for _, name := range set.SplitsInOrder() {
		s, err := set.Split(name)
		if err != nil {
			return nil, err
		}
		splits = append(splits, s)
	}
	return duplicates(splits), nil
}

// duplicates lists them by split, as given.
func duplicates(splits []*shard.Split) []Duplicates {
	type place struct {
		split int
		row   int32
	}
	var all []place
	for k, s := range splits {
		for i := range s.Len() {
			all = append(all, place{k, int32(i)})
		}
	}
	sha := func(p place) []byte { return splits[p.split].SHA256(int(p.row)) }
	slices.SortStableFunc(all, func(a, b place) int { return bytes.Compare(sha(a), sha(b)) })
	var groups [][]place
	for from, to := 0, 0; from < len(all); from = to {
		for to = from + 1; to < len(all) && bytes.Equal(sha(all[from]), sha(all[to])); to++ {
		}
		if to-from > 1 {
			groups = append(groups, all[from:to])
		}
	}
	slices.SortFunc(groups, func(a, b []place) int {
		if a[0].split != b[0].split {
			return a[0].split - b[0].split
		}
		return int(a[0].row - b[0].row)
	})
	out := make([]Duplicates, 0, len(groups))
	for _, g := range groups {
		d := Duplicates{SHA256: hex.EncodeToString(sha(g[0]))}
		label := int64(-1)
		for _, p := range g {
			r := splits[p.split].Row(int(p.row))
			d.Copies = append(d.Copies, Copy{splits[p.split].Name, r.Path, r.Label, r.Synset})
			d.SplitsDiffer = d.SplitsDiffer || p.split != g[0].split
			if r.Label >= 0 {
				d.LabelsDiffer = d.LabelsDiffer || label >= 0 && label != r.Label
				label = r.Label
			}
		}
		out = append(out, d)
	}
	return out
}
