package record

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source/layout"
)

// Fingerprint is what decides the content of a dataset. Its JSON is stable: in
// .ingest/plan while the dataset is made, and the manifest's "options" from
// then on.
type Fingerprint struct {
	ShardBytes int64  `json:"shard_bytes"`       // of images, where a shard is cut
	Check      string `json:"check"`             // as ingest.Check names it
	OnBad      string `json:"on_bad"`            // as ingest.Policy names it
	Resize     int    `json:"resize,omitempty"`  // pixels of the shorter side; 0: originals
	Quality    int    `json:"quality,omitempty"` // of JPEGs, where there is a resize

	// Classes are all classes in label order.
	Classes []string `json:"classes"`
	// Splits are the sources of each split: one, and one more each time that
	// classes were added.
	Splits map[string][]SplitPrint `json:"splits"`
	// Boxes is a sum of the boxes given. A whole dataset's indexes say which
	// there are.
	Boxes string `json:"boxes,omitempty"`
	// Exported is a sum of what exports among the sources say of classes.
	Exported string `json:"exported,omitempty"`

	// Skipped and FileBytes are not compared with another call's: what the
	// sources held that is not in the dataset, and the bytes of each split's
	// shards.
	Skipped   []layout.Skipped `json:"skipped,omitempty"`
	FileBytes map[string]int64 `json:"file_bytes,omitempty"`
}

// SplitPrint is what is known of the images of a split before they are read.
type SplitPrint struct {
	Source string `json:"source"`          // for people: base names and sizes
	Images int64  `json:"images"`          // -1: not known before they are read
	Truth  string `json:"truth,omitempty"` // of the development kit's labels and numbers
	// Entries is a sum of every entry's name, class and size in bytes; Times of the
	// times of change, of entries and containers, and of the sizes of containers that are
	// not listed. "" is a pipe, of which nothing is known.
	Entries string `json:"entries"`
	Times   string `json:"times"`
	// ValFraction and Seed say by what val was drawn from the training images; zero: it was
	// not. They are not compared: what they drew is in Entries.
	ValFraction float64 `json:"val_fraction,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
}

// Encode gives the stable JSON.
func (f Fingerprint) Encode() []byte {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // of texts, numbers and maps of texts alone
	}
	return b
}

// Of reads the fingerprint of a manifest; ok is false where it has
// none that can be compared: another program, or an earlier version, made it.
func Of(m *shard.Manifest) (f Fingerprint, ok bool) {
	d := json.NewDecoder(bytes.NewReader(m.Options))
	d.DisallowUnknownFields()
	return f, len(m.Options) > 0 && d.Decode(&f) == nil
}

// DifferentOptions says in what the options of two fingerprints differ, apart
// from sources and classes.
func DifferentOptions(was, now Fingerprint) []string {
	var out []string
	say := func(name string, a, b any) {
		if a != b {
			out = append(out, fmt.Sprintf("%s was %v and is now %v", name, a, b))
		}
	}
	say("shard-bytes", was.ShardBytes, now.ShardBytes)
	say("check-images", was.Check, now.Check)
	say("on-bad", was.OnBad, now.OnBad)
	say("shrink", was.Resize, now.Resize)
	say("quality", was.Quality, now.Quality)
	return out
}

// DifferentClasses says how a list of classes differs from another; "" if it does not.
func DifferentClasses(was, now []string) string {
	if slices.Equal(was, now) {
		return ""
	}
	have := map[string]bool{}
	for _, c := range was {
		have[c] = true
	}
	var more []string
	for _, c := range now {
		if !have[c] {
			more = append(more, c)
		}
		delete(have, c)
	}
	less := slices.Sorted(maps.Keys(have))
	switch {
	case len(more) > 0 && len(less) > 0:
		return fmt.Sprintf("classes: %s new, %s gone", Some(more), Some(less))
	case len(more) > 0:
		return fmt.Sprintf("classes: %s new", Some(more))
	case len(less) > 0:
		return fmt.Sprintf("classes: %s gone", Some(less))
	}
	return "the order of the classes is another one"
}

// DifferentSplits says in what the sources of the splits of unfinished work
// differ. Times alone do not count: each unit is compared by them.
func DifferentSplits(was, now map[string][]SplitPrint) []string {
	var out []string
	keys := maps.Clone(was)
	maps.Copy(keys, now)
	for _, split := range slices.Sorted(maps.Keys(keys)) {
		a, b := was[split], now[split]
		switch {
		case len(a) == 0:
			out = append(out, split+" is new")
		case len(b) == 0:
			out = append(out, split+" is missing now")
		case a[0].Entries != b[0].Entries:
			out = append(out, fmt.Sprintf("%s: names, classes or sizes of its images differ (source was %s and is now %s)", split, a[0].Source, b[0].Source))
		case a[0].Truth != b[0].Truth:
			out = append(out, split+": "+DifferentTruth(a[0].Truth, b[0].Truth))
		}
	}
	return out
}

// DifferentTruth says how SplitPrint.Truth differs where it does.
func DifferentTruth(was, now string) string {
	switch {
	case was == "":
		return "there was no development kit, and now there is one"
	case now == "":
		return "there was a development kit, and now there is none"
	}
	return "the labels or numbers of the development kit differ"
}

// Some lists the first names of many, for people.
func Some(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// Hex is the sum in hexadecimal digits.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }
