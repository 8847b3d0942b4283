package ingest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/shard"
)

// finish writes index, classes, the list of refused images and, last, the
// manifest.
func (j *job) finish() (Summary, error) {
	m := shard.Manifest{Splits: map[string]shard.SplitInfo{}, Options: rawOptions(j.fingerprint())}
	var rejected []Rejection
	var err error
	if j.have != nil {
		m = *j.have
		options := optionsOf(&m)
		for split, source := range j.sources {
			options[sourceKey+split] = source
		}
		m.Options = rawOptions(options)
		if rejected, err = j.keptRejections(); err != nil {
			return Summary{}, err
		}
	} else {
		if j.o.WordNet != nil {
			m.WordNetVersion = j.o.WordNet.Version()
		}
		if m.ClassesSHA256, err = shard.WriteClasses(j.o.Out, j.classes); err != nil {
			return Summary{}, err
		}
	}
	options := optionsOf(&m)
	delete(options, "boxes") // the indexes say which there are
	m.Options = rawOptions(options)
	counts := map[string]int64{} // of training images by class, refused ones too
	for i := range rejected {
		if rejected[i].Split == "train" {
			counts[rejected[i].Synset]++
		}
	}
	for split, source := range j.sources {
		info := shard.SplitInfo{Source: source}
		if err := j.index(split, &info, func(d done) {
			rejected = append(rejected, d.Rejected...)
			if split == "train" {
				for i := range d.Rows {
					counts[d.Rows[i].Synset]++
				}
				for i := range d.Rejected {
					counts[d.Rejected[i].Synset]++
				}
			}
		}); err != nil {
			return Summary{}, err
		}
		m.Splits[split] = info
	}
	slices.SortFunc(rejected, func(a, b Rejection) int {
		return strings.Compare(a.Split+"\x00"+a.Synset+"\x00"+a.Path, b.Split+"\x00"+b.Synset+"\x00"+b.Path)
	})
	rejected = slices.Compact(rejected) // interrupted after they were listed
	m.Rejected = int64(len(rejected))
	if err := writeRejected(j.o.Out, rejected); err != nil {
		return Summary{}, err
	}
	if err := removeTemps(j.o.Out); err != nil {
		return Summary{}, err
	}
	if err := shard.WriteManifest(j.o.Out, m); err != nil {
		return Summary{}, err
	}
	sum := summarize(j.o.Out, m)
	sum.Classes, sum.Inner, sum.Notes = len(j.classes), j.inner(), j.notes(counts, m)
	return sum, j.state.remove()
}

// index writes the index of a split from the records of its groups. Where each
// group is a class of its own the rows of one are in memory at a time.
func (j *job) index(split string, info *shard.SplitInfo, f func(done)) error {
	var mine []group
	whole := split == "train"
	for _, g := range j.groups {
		if g.split == split {
			mine = append(mine, g)
			whole = whole && g.synset != ""
		}
	}
	slices.SortFunc(mine, func(a, b group) int { return cmp.Compare(a.name, b.name) })
	if err := durable.MkdirAll(filepath.Join(j.o.Out, split)); err != nil {
		return err
	}
	w, err := shard.CreateIndex(j.o.Out, split)
	if err != nil {
		return err
	}
	defer w.Abort()
	var rows []shard.Row
	flush := func() error {
		shard.SortRows(split, rows)
		for i := range rows {
			if err := w.Append(&rows[i]); err != nil {
				return err
			}
			info.Bytes += rows[i].Length
		}
		info.Rows += int64(len(rows))
		rows = rows[:0]
		return nil
	}
	for _, g := range mine {
		d, err := j.state.read(g)
		if err != nil {
			return err
		}
		f(d)
		rows = append(rows, d.Rows...)
		info.Shards += len(d.Files)
		if whole {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	info.IndexSHA256, err = w.Commit()
	return err
}

// keptRejections lists what was refused of the splits that are not this call's.
func (j *job) keptRejections() ([]Rejection, error) {
	path := filepath.Join(j.o.Out, "rejected.ndjson")
	b, err := os.ReadFile(path)
	if err != nil {
		if isNotExist(err) {
			err = nil
		}
		return nil, err
	}
	var out []Rejection
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var r Rejection
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if _, mine := j.sources[r.Split]; !mine || slices.Contains(j.reopened, r.Split) {
			out = append(out, r)
		}
	}
	return out, nil
}

// rawOptions and optionsOf turn options into the manifest's JSON and back.
func rawOptions(options map[string]string) json.RawMessage {
	b, err := json.Marshal(options)
	if err != nil {
		panic(err) // of a map of texts
	}
	return b
}

func optionsOf(m *shard.Manifest) map[string]string {
	options := map[string]string{}
	if json.Unmarshal(m.Options, &options) != nil {
		return map[string]string{}
	}
	return options
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Images of ILSVRC2012 by split.
var released = map[string]int64{"train": 1281167, "val": 50000, "test": 100000}

// notes names differences from the counts of the kit and, where the classes
// are a thousand, of the release.
func (j *job) notes(counts map[string]int64, m shard.Manifest) []string {
	if j.kit == nil {
		return nil
	}
	var out []string
	if _, ok := j.sources["train"]; ok {
		for _, s := range j.kit.Synsets {
			if n := counts[s.WNID]; s.NumChildren == 0 && s.TrainImages > 0 && n != int64(s.TrainImages) {
				out = append(out, fmt.Sprintf("%s has %d training images and the kit says %d", s.WNID, n, s.TrainImages))
			}
		}
	}
	var refused map[string]int64
	if len(j.kit.Classes()) == 1000 {
		if list, err := os.ReadFile(filepath.Join(j.o.Out, "rejected.ndjson")); err == nil {
			refused = map[string]int64{}
			for split := range released {
				refused[split] = int64(strings.Count(string(list), fmt.Sprintf("{\"split\":%q,", split)))
			}
		}
		for _, split := range slices.Sorted(maps.Keys(j.sources)) {
			if n := m.Splits[split].Rows + refused[split]; n != released[split] {
				out = append(out, fmt.Sprintf("%s has %d images and ILSVRC2012 has %d", split, n, released[split]))
			}
		}
	} else if n := m.Splits["val"].Rows; j.sources["val"] != "" && n != int64(len(j.kit.Truth)) {
		out = append(out, fmt.Sprintf("val has %d images and the ground truth %d", n, len(j.kit.Truth)))
	}
	return out
}
