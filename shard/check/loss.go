package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// lose notes that something is not there any more.
func (r *repair) lose(file, format string, args ...any) {
	r.lost = append(r.lost, Problem{File: file, What: fmt.Sprintf(format, args...)})
}

// losses looks for what manifest, lists, indexes, class list and an unfinished
// ingest say there is, and the shards do not have.
func (r *repair) losses() error {
	if r.unfinished {
		r.lose(unfinishedName, "an ingest has not finished; what it has not written is lost")
	}
	var err error
	if r.all, err = r.everySplit(); err != nil {
		return err
	}
	told := true // of every split it is known what was in it
	for _, split := range r.all {
		rows, err := r.rowsBefore(split)
		if err != nil {
			return err
		}
		told = r.lostShards(split, rows) && told
	}
	have, err := r.findClasses()
	if err != nil {
		return err
	}
	if err := r.lostClasses(have, told); err != nil {
		return err
	}
	if err := r.lostRejected(); err != nil {
		return err
	}
	slices.SortFunc(r.lost, compareProblems)
	return nil
}

// everySplit names the splits that there are or were.
func (r *repair) everySplit() ([]string, error) {
	all := map[string]bool{}
	for name := range r.old.Splits {
		all[name] = true
	}
	for name := range r.splits {
		all[name] = true
	}
	entries, err := r.dir.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("repair: %w", err)
	}
	for _, e := range entries {
		for _, name := range []string{shard.IndexName, shard.ShardsName} {
			there, err := exists(r.dir, e.Name()+"/"+name)
			if err != nil {
				return nil, fmt.Errorf("repair: %w", err)
			}
			if there && shard.ValidSplit(e.Name()) {
				all[e.Name()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// listed gives the list of a split's shards by their names, where there is one to
// rely on: that of the manifest or, where this is lost, any.
func (r *repair) listed(split string) (map[string]shard.ShardInfo, error) {
	sum := r.old.Splits[split].ShardsSHA256
	if !r.sound {
		sum = ""
	} else if sum == "" {
		return nil, nil
	}
	list, err := shard.ReadShards(r.dir, split, sum)
	if shard.Damage(err) {
		return nil, nil
	}
	out := map[string]shard.ShardInfo{}
	for _, s := range list {
		out[s.File] = s
	}
	return out, err
}

// rowsBefore tells how many rows each shard of a split had, by its list or its
// index; nil where neither is to be relied on.
func (r *repair) rowsBefore(split string) (map[string]int64, error) {
	list, err := r.listed(split)
	if err != nil {
		return nil, err
	}
	if list != nil {
		rows := map[string]int64{}
		for file, s := range list {
			rows[file] = s.Rows
		}
		return rows, nil
	}
	index, err := r.indexBefore(split)
	if err != nil || index == nil {
		return nil, err
	}
	rows := map[string]int64{}
	for i := range index.Len() {
		rows[index.Files()[index.FileOf(i)]]++
	}
	return rows, nil
}

// indexBefore is the index of a split where there is one to rely on: that of the
// manifest or, where this is lost, any; else nil.
func (r *repair) indexBefore(split string) (*shard.Split, error) {
	m := shard.Manifest{Splits: map[string]shard.SplitInfo{split: r.old.Splits[split]}}
	if !r.sound {
		sum, err := files.SHA256(r.dir, split+"/"+shard.IndexName)
		if shard.Damage(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		m.Splits[split] = shard.SplitInfo{IndexSHA256: sum, Rows: -1}
	}
	d := shard.OpenWith(r.dir, m, nil)
	defer d.Close()
	s, err := d.Split(split)
	if errors.Is(err, shard.ErrCorrupt) || errors.Is(err, shard.ErrNoSplit) {
		return nil, nil
	}
	return s, err
}

// lostShards notes the shards and rows of a split that are gone, given how many
// rows each shard had, and says whether all that is gone is known by name.
func (r *repair) lostShards(split string, before map[string]int64) bool {
	now := map[string]int64{}
	for _, s := range r.shards[split] {
		now[s.File] = s.Rows
	}
	var shards, rows int64 // that are gone by name
	for _, file := range slices.Sorted(maps.Keys(before)) {
		n, there := now[file]
		switch {
		case !there:
			r.lose(file, "it is missing, with %d images", before[file])
			shards, rows = shards+1, rows+before[file]
		case n < before[file]:
			r.lose(file, "%d images, where there were %d", n, before[file])
			rows += before[file] - n
		}
	}
	info, named := r.old.Splits[split]
	haveRows, haveShards := int64(len(r.splits[split])), int64(len(now))
	switch {
	case named && !r.sound && haveShards == 0 && shards == 0:
		r.lose(split, "the split is missing, which the damaged %s names", shard.ManifestName)
	case r.sound && (haveRows+rows < info.Rows || haveShards+shards < int64(info.Shards)):
		r.lose(split, "%d images in %d shards, where there were %d in %d", haveRows, haveShards, info.Rows, info.Shards)
		return false
	}
	return r.sound || before != nil
}

// lostClasses notes the classes that have no image any more. Where nothing tells
// what there was, each that has none may have lost them. A class list that is made
// anew and comes out another than it was is a loss too.
func (r *repair) lostClasses(have []shard.Class, told bool) error {
	if r.classes != nil && r.old.ClassesSHA256 != "" {
		sum, err := sumClasses(r.classes)
		if err != nil {
			return err
		}
		if sum != r.old.ClassesSHA256 {
			r.lose(shard.ClassesName, "made anew it is another: words, glosses, paths or ILSVRC2012_IDs of classes, or classes without an image, are missing")
		}
	}
	filled := map[string]bool{}
	for _, rows := range r.splits {
		for i := range rows {
			filled[rows[i].Synset] = true
		}
	}
	gone := map[string]bool{} // directories of lost shards
	for _, p := range r.lost {
		gone[path.Base(path.Dir(p.File))] = true
	}
	for _, c := range have {
		dir := path.Base(path.Dir(shard.ShardName("train", c.Synset, 0)))
		switch {
		case filled[c.Synset]:
		case gone[dir]:
			r.lose(shard.ClassesName, "class %s (label %d) has no image any more", c.Synset, c.Label)
		case !told || r.unfinished:
			r.lose(shard.ClassesName, "class %s (label %d) has no image, and nothing tells whether it had any", c.Synset, c.Label)
		}
	}
	return nil
}

// sumClasses is the SHA-256 of a class list as it would be written, in hex.
func sumClasses(list []shard.Class) (string, error) {
	dir, err := os.MkdirTemp("", "synshard-classes-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	return shard.WriteClasses(files.Local(dir), list)
}

// lostRejected finds what is left of the list of what was refused.
func (r *repair) lostRejected() (err error) {
	r.rejected, err = shard.ReadRejected(r.dir, r.old.RejectedSHA256)
	if errors.Is(err, shard.ErrCorrupt) {
		r.rejected, err = salvage(r.dir)
		r.lose(shard.RejectedName, "it is not what was written, and cannot be made anew")
	}
	if err != nil {
		return err
	}
	if n := int64(len(r.rejected)); r.sound && n < r.old.Rejected {
		r.lose(shard.RejectedName, "%d lines, where there were %d", n, r.old.Rejected)
	}
	for i := range r.rejected {
		j := &r.rejected[i]
		if j.File == "" {
			continue
		}
		what, err := differsKept(r.dir, j, false)
		if err != nil {
			return err
		}
		if what != "" {
			r.lose(j.File, "a refused image that was kept: %s", what)
			j.File = "" // the line stays
		}
	}
	return nil
}

// salvage reads the lines of a list of what was refused that can be read.
func salvage(dir files.Dir) ([]shard.Rejection, error) {
	b, err := files.Read(dir, shard.RejectedName, regular.Table)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []shard.Rejection
	for line := range bytes.Lines(b) {
		var r shard.Rejection
		if json.Unmarshal(line, &r) == nil && (r.File == "" || filepath.IsLocal(filepath.FromSlash(r.File))) {
			list = append(list, r)
		}
	}
	return list, err
}
