package check

import (
	"maps"
	"slices"

	"github.com/synshard/synshard/shard"
)

// doubt is a shard whose sum is in no list: its images have sums of their own, but
// its schema, and what its rows say beside the images, have none.
type doubt struct {
	file      string
	rows      []shard.Row
	names     []string // of classes
	listed    bool     // with another sum, in a list that nothing vouches for
	rewritten bool     // it is what is written of its own rows
}

// resolve holds the shards of a split that no list vouches for to all else that is
// known: what is written of such rows, the index, and the other shards.
func (r *repair) resolve(split string, doubts []*doubt) error {
	if len(doubts) == 0 {
		return nil
	}
	index, err := r.indexBefore(split)
	if err != nil {
		return err
	}
	var indexed map[string]map[int64]shard.Row
	if index != nil {
		indexed = map[string]map[int64]shard.Row{}
		for i := range index.Len() {
			row := index.Row(i)
			if indexed[row.File] == nil {
				indexed[row.File] = map[int64]shard.Row{}
			}
			indexed[row.File][row.Offset] = row
		}
	}
	for _, d := range doubts {
		switch {
		case !d.rewritten:
			r.lose(d.file, "its schema, or what lies between its columns, is not what is written of its rows, and no list of shards has its sum")
		case indexed != nil && !d.agrees(indexed[d.file]):
			r.lose(d.file, "its rows are not those of the index, and no list of shards has its sum")
		case indexed == nil && d.listed:
			r.lose(d.file, "it does not have the crc32c of the list of shards, and no index tells which of them is right")
		case len(d.names) > 0 && len(r.names) > 0 && !slices.Equal(d.names, r.names):
			r.lose(d.file, "its names of classes are not those of other shards, and no list of shards has its sum")
		}
	}
	return nil
}

// agrees says whether the index has a shard's rows, by where their images begin, as the
// shard does.
func (d *doubt) agrees(indexed map[int64]shard.Row) bool {
	have := map[int64]shard.Row{}
	for _, row := range d.rows {
		have[row.Offset] = row
	}
	return maps.EqualFunc(have, indexed, func(a, b shard.Row) bool { return sameRow(&a, &b) })
}

// doubtClasses holds a class list whose sum is lost with the manifest to all else that
// is known: what is written of such classes, the rows, and WordNet.
func (r *repair) doubtClasses(list []shard.Class, sum string) error {
	written, err := sumClasses(list)
	if err != nil {
		return err
	}
	if written != sum {
		r.lose(shard.ClassesName, "it is not what is written of its classes, and nothing else vouches for it")
		return nil
	}
	ids := map[string]int32{}
	for _, rows := range r.splits {
		for i := range rows {
			ids[rows[i].Synset] = max(ids[rows[i].Synset], rows[i].ILSVRC2012ID)
		}
	}
	fromWordNet := slices.ContainsFunc(list, func(c shard.Class) bool { return len(c.Path) > 0 && r.asWordNet(c) })
	for _, c := range list {
		if fromWordNet && !r.asWordNet(c) {
			r.lose(shard.ClassesName, "what it says of class %s is not what WordNet says, as of others, and nothing else vouches for it", c.Synset)
		}
		if id := ids[c.Synset]; id > 0 && id != c.ILSVRC2012ID {
			r.lose(shard.ClassesName, "it has ILSVRC2012_ID %d for class %s, and the images have %d", c.ILSVRC2012ID, c.Synset, id)
		}
	}
	return nil
}

// asWordNet says whether a class says what WordNet does, if that knows it.
func (r *repair) asWordNet(c shard.Class) bool {
	known := c
	known.Describe(r.o.WordNet)
	return slices.Equal(c.Words, known.Words) && c.Gloss == known.Gloss && slices.Equal(c.Path, known.Path)
}
