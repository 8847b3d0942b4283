package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/wordnet"
)

// RepairOptions say how a dataset is repaired.
type RepairOptions struct {
	Workers int            // shards read at a time; 0: one a CPU
	WordNet *wordnet.Graph // for words and paths of a lost class list; may be nil
	// AcceptLoss makes a dataset of what is left where something is lost.
	AcceptLoss bool
	// OnBytes is told the bytes of shards that were read, from many goroutines.
	OnBytes func(n int64)
}

// Repaired is what came of a repair.
type Repaired struct {
	Wrote    []string  // files, by name
	Problems []Problem // damage to shards: nothing was written
	// Lost is what there was and is not there any more: shards, rows, splits,
	// classes, refused images, an ingest's unfinished work. Nothing was written,
	// unless that was accepted.
	Lost []Problem
	// Forgot says that the manifest no longer has what the dataset was made from and how, so
	// that the same ingest is refused: it was lost or damaged, or there is less than there was.
	Forgot bool
}

// ErrUnfinished says that an ingest into the directory was not finished.
var ErrUnfinished = errors.New("an ingest into it has not finished: the same `synshard ingest` continues it")

// Repair writes anew what can be known from the shards: indexes, lists, manifest and,
// where it is damaged, the class list. What was right comes out the same, byte
// for byte; a dataset of before gets its sums. Shards are read in full and never
// changed: if any of them is damaged, or has a schema that nothing vouches for and
// that is not what is written of its rows, or there is less than manifest, lists,
// indexes and class list say, nothing is written. A manifest that was lost, or loss
// that was accepted, loses what the ingest noted in it, so that a later ingest into
// the directory does not take it for whole. Another process at the dataset is
// durable.ErrLocked, a directory without shards shard.ErrNotDataset.
func Repair(ctx context.Context, dir files.Dir, o RepairOptions) (out Repaired, err error) {
	lock, err := dir.TryLock(shard.LockName)
	if err != nil {
		return out, err
	}
	defer func() { err = cmp.Or(err, lock.Unlock()) }()
	r := repair{dir: dir, o: o, splits: map[string][]shard.Row{}, shards: map[string][]shard.ShardInfo{}}
	if err := r.begin(); err != nil {
		return out, err
	}
	if err := r.scan(ctx); err != nil {
		return out, err
	}
	if len(r.bad.list) > 0 {
		slices.SortFunc(r.bad.list, compareProblems)
		return Repaired{Problems: r.bad.list}, nil
	}
	if err := r.losses(); err != nil {
		return out, err
	}
	if len(r.lost) > 0 && !o.AcceptLoss {
		return Repaired{Lost: r.lost}, nil
	}
	err = r.write()
	return Repaired{Wrote: r.wrote, Lost: r.lost, Forgot: r.forgot}, err
}

func compareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Image, b.Image), cmp.Compare(a.What, b.What))
}

type repair struct {
	dir        files.Dir
	o          RepairOptions
	old        shard.Manifest // that is sound; else empty, but for the splits that a damaged one names
	sound      bool           // old
	unfinished bool           // an ingest has left its state
	splits     map[string][]shard.Row
	shards     map[string][]shard.ShardInfo
	names      []string // of classes in the order of labels, as shards have them
	bad        problems
	lost       []Problem
	wrote      []string
	forgot     bool

	all      []string          // splits that there are or were
	classes  []shard.Class     // where they are to be written; nil: they stay
	rejected []shard.Rejection // that is left
}

// begin reads the manifest, and wants no ingest to be under way.
func (r *repair) begin() error {
	var err error
	if r.unfinished, err = exists(r.dir, unfinishedName); err != nil {
		return fmt.Errorf("repair %s: %w", r.dir, err)
	}
	if r.unfinished && !r.o.AcceptLoss {
		return fmt.Errorf("repair %s: %w; what it has not written would be lost", r.dir, ErrUnfinished)
	}
	r.old, err = shard.CheckManifest(r.dir)
	if r.unfinished && errors.Is(err, shard.ErrNotDataset) { // it is moved there while a dataset is added to
		r.old, err = shard.ReadManifest(files.Below(r.dir, unfinishedName))
	}
	switch {
	case err == nil:
		r.sound = true
	case errors.Is(err, shard.ErrCorrupt):
		r.old = shard.Manifest{Splits: r.old.Splits}
	case errors.Is(err, shard.ErrNotDataset), r.unfinished && errors.Is(err, fs.ErrNotExist):
		r.old = shard.Manifest{}
	default:
		return err
	}
	return nil
}

// scan reads every shard of every directory that holds some.
func (r *repair) scan(ctx context.Context) error {
	entries, err := r.dir.ReadDir(".")
	if err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	any := false
	for _, e := range entries {
		if !e.IsDir() || !shard.ValidSplit(e.Name()) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		files, err := listShards(r.dir, e.Name())
		if err != nil {
			return err
		}
		if _, listed := r.old.Splits[e.Name()]; len(files) == 0 && (!listed || !r.sound) {
			continue
		}
		if err = r.scanSplit(ctx, e.Name(), files); err != nil {
			return err
		}
		any = true
	}
	if !any {
		return fmt.Errorf("repair %s: no shards in it: %w", r.dir, shard.ErrNotDataset)
	}
	return nil
}

func (r *repair) scanSplit(ctx context.Context, split string, shards []string) error {
	listed, err := r.listed(split)
	if err != nil {
		return err
	}
	found := make([][]shard.Row, len(shards))
	infos := make([]shard.ShardInfo, len(shards))
	names := make([][]string, len(shards))
	doubts := make([]*doubt, len(shards))
	err = inorder.Each(ctx, VerifyOptions{Workers: r.o.Workers}.workers(), len(shards), func(_ context.Context, i int) (err error) {
		file := shards[i]
		found[i], names[i], err = r.scanShard(split, file)
		if err != nil || r.bad.has(file) {
			return err
		}
		if infos[i], err = shard.SumFile(r.dir, file); err != nil {
			return err
		}
		want, ok := listed[file]
		switch {
		case ok && infos[i] == want:
		case ok && r.sound:
			r.bad.add(file, "", "it does not have the crc32c of the list of shards")
		default:
			doubts[i] = &doubt{file: file, rows: found[i], names: names[i], listed: ok}
			doubts[i].rewritten, err = shard.Rewritten(r.dir, file)
		}
		return err
	})
	if err != nil {
		return err
	}
	r.splits[split], r.shards[split] = slices.Concat(found...), infos
	for i, n := range names {
		if len(r.names) == 0 || len(n) > 0 && doubts[i] == nil {
			r.names = n
		}
	}
	return r.resolve(split, slices.DeleteFunc(doubts, func(d *doubt) bool { return d == nil }))
}

// scanShard reads a shard in full.
func (r *repair) scanShard(split, file string) (rows []shard.Row, names []string, err error) {
	rows, meta, err := shard.ScanFile(r.dir, file)
	switch {
	case errors.Is(err, shard.ErrCorrupt):
		r.bad.add(file, "", "%s", reason(err, r.dir.Path(file)))
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	r.bad.checkPlace(file, split, meta)
	for k := range rows {
		r.bad.checkRow(file, meta, &rows[k])
		rows[k].File = file
		if r.o.OnBytes != nil {
			r.o.OnBytes(rows[k].Length)
		}
	}
	return rows, meta.ClassNames, nil
}

// write writes class list, indexes, lists and manifest, in this order.
func (r *repair) write() error {
	m := r.old
	m.Splits = map[string]shard.SplitInfo{}
	if err := r.dir.RemoveTemps(".", true); err != nil {
		return err
	}
	if r.classes != nil {
		sum, err := shard.WriteClasses(r.dir, r.classes)
		if err != nil {
			return err
		}
		m.ClassesSHA256 = sum
		r.wrote = append(r.wrote, shard.ClassesName)
	}
	for _, split := range slices.Sorted(maps.Keys(r.splits)) {
		info, err := r.writeSplit(split)
		if err != nil {
			return err
		}
		if old := r.old.Splits[split]; info.Rows != old.Rows || info.Shards != old.Shards {
			m.Options = nil // which tells how much there was
		}
		m.Splits[split] = info
	}
	if err := r.writeRejected(&m); err != nil {
		return err
	}
	if !r.sound && r.o.WordNet != nil {
		m.WordNetVersion = r.o.WordNet.Version()
	}
	if len(r.lost) > 0 {
		m.Options = nil
	}
	r.forgot = m.Options == nil && (!r.sound || r.old.Options != nil)
	if err := r.replaced(shard.ManifestName, func() error { return shard.WriteManifest(r.dir, m) }); err != nil {
		return err
	}
	return r.removeLost()
}

// removeLost removes what tells of splits that are lost, and of an ingest's
// unfinished work.
func (r *repair) removeLost() error {
	gone := []string{unfinishedName}
	for _, split := range r.all {
		if r.splits[split] == nil && r.shards[split] == nil {
			gone = append(gone, split+"/"+shard.IndexName, split+"/"+shard.ShardsName)
		}
	}
	for _, name := range gone {
		if err := r.dir.RemoveAll(name); err != nil {
			return err
		}
	}
	return r.dir.Sync(".")
}

// replaced has a file written, and notes its name where it came out another.
func (r *repair) replaced(name string, write func() error) error {
	before, _ := files.SHA256(r.dir, name) // "" where it is missing
	if err := write(); err != nil {
		return err
	}
	after, err := files.SHA256(r.dir, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if after != before {
		r.wrote = append(r.wrote, name)
	}
	return nil
}

func (r *repair) writeSplit(split string) (shard.SplitInfo, error) {
	rows, info := r.splits[split], r.old.Splits[split]
	if !r.sound {
		info = shard.SplitInfo{}
	}
	info.Rows, info.Bytes, info.Shards = int64(len(rows)), 0, len(r.shards[split])
	for i := range rows {
		info.Bytes += rows[i].Length
	}
	err := r.replaced(split+"/"+shard.IndexName, func() (err error) {
		info.IndexSHA256, err = shard.WriteIndex(r.dir, split, rows)
		return err
	})
	if err != nil {
		return info, err
	}
	return info, r.replaced(split+"/"+shard.ShardsName, func() (err error) {
		info.ShardsSHA256, err = shard.WriteShards(r.dir, split, r.shards[split])
		return err
	})
}

// writeRejected writes the list of what was refused anew where some of it is lost.
func (r *repair) writeRejected(m *shard.Manifest) error {
	m.Rejected = int64(len(r.rejected))
	return r.replaced(shard.RejectedName, func() (err error) {
		m.RejectedSHA256, err = shard.WriteRejected(r.dir, r.rejected)
		return err
	})
}

// findClasses decides on the class list: the file as it is, where it is sound or
// only the manifest is lost; or else a new one from the shards.
func (r *repair) findClasses() (have []shard.Class, err error) {
	if r.sound {
		if have, err = shard.ReadClasses(r.dir, r.old.ClassesSHA256); err == nil || !shard.Damage(err) {
			return have, err
		}
	} else {
		sum, err := files.SHA256(r.dir, shard.ClassesName)
		if err == nil {
			have, err = shard.ReadClasses(r.dir, sum)
		}
		switch {
		case err == nil && r.agree(have):
			r.old.ClassesSHA256 = sum
			return have, r.doubtClasses(have, sum)
		case err != nil && !shard.Damage(err):
			return nil, err
		}
	}
	if r.classes, err = r.classesFromNames(); err != nil || r.classes != nil {
		return r.classes, err
	}
	if r.classes, err = r.classesFromRows(); err != nil {
		return nil, fmt.Errorf("repair %s: %w", shard.ClassesName, err)
	}
	return r.classes, nil
}

// classesFromNames makes the list from the names that shards have of all classes;
// nil where they have none, or others than the rows.
func (r *repair) classesFromNames() ([]shard.Class, error) {
	var list []shard.Class
	for i, name := range r.names {
		list = append(list, shard.Class{Label: i, Synset: name})
	}
	if len(list) == 0 || !r.agree(list) {
		return nil, nil
	}
	for _, rows := range r.splits {
		for i := range rows {
			if row := &rows[i]; row.Label >= 0 {
				c := &list[row.Label]
				c.ILSVRC2012ID = max(c.ILSVRC2012ID, row.ILSVRC2012ID)
			}
		}
	}
	for i := range list {
		list[i].Describe(r.o.WordNet)
	}
	return list, nil
}

// agree says whether every labelled row has its label from this list.
func (r *repair) agree(list []shard.Class) bool {
	for _, rows := range r.splits {
		for i := range rows {
			l := rows[i].Label
			if l >= 0 && (l >= int64(len(list)) || list[l].Synset != rows[i].Synset) {
				return false
			}
		}
	}
	return true
}

// classesFromRows makes the list of the classes that have images, which must
// be all.
func (r *repair) classesFromRows() ([]shard.Class, error) {
	byLabel := map[int64]shard.Class{}
	for _, rows := range r.splits {
		for i := range rows {
			row := &rows[i]
			if row.Label < 0 {
				continue
			}
			c, known := byLabel[row.Label]
			if known && c.Synset != row.Synset {
				return nil, fmt.Errorf("label %d is %s and %s", row.Label, c.Synset, row.Synset)
			}
			byLabel[row.Label] = shard.Class{Label: int(row.Label), Synset: row.Synset, ILSVRC2012ID: max(c.ILSVRC2012ID, row.ILSVRC2012ID)}
		}
	}
	list := make([]shard.Class, len(byLabel))
	for i := range list {
		c, ok := byLabel[int64(i)]
		if !ok {
			return nil, fmt.Errorf("class %d has no image, so its synset is lost; ingest again", i)
		}
		list[i] = c
		list[i].Describe(r.o.WordNet)
	}
	return list, nil
}
