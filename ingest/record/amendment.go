package record

import "slices"

// Amendment is how a whole dataset changes. A dataset to which boxes or classes
// are added is taken back to an unfinished one: every unit of the splits that
// change gets its record again, and then the manifest moves into the state's
// directory. From there on it goes the way of interrupted work, and no image is
// read that need not be.
type Amendment struct {
	Add   []string `json:"add,omitempty"`   // splits that the dataset lacks
	Grow  bool     `json:"grow,omitempty"`  // the training split gets classes that have no images in it
	Rebox []string `json:"rebox,omitempty"` // splits in which images have not the boxes given for them
}

// Empty says that nothing changes.
func (a *Amendment) Empty() bool { return len(a.Add) == 0 && !a.Grow && len(a.Rebox) == 0 }

// Reopened lists the splits of the dataset that change.
func (a *Amendment) Reopened() []string {
	out := slices.Clone(a.Rebox)
	if a.Grow && !slices.Contains(out, "train") {
		out = append(out, "train")
	}
	slices.Sort(out)
	return out
}
