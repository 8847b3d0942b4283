package check

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/wordnet"
)

// RepairOptions say how a dataset is repaired.
type RepairOptions struct {
	Workers int            // 0: one a CPU
	WordNet *wordnet.Graph // for words and paths of a lost class list; may be nil
	// OnBytes is told the bytes of shards that were read, from many goroutines.
	OnBytes func(n int64)
}

// Repair writes anew what can be known from the shards: indexes, manifest and,
// where it is damaged, the class list. What was right comes out the same, byte
// for byte. Shards are read in full and never changed: if any of them is
// damaged nothing is written and the problems are returned. The files that were
// written are returned by name. A manifest that was lost loses what the ingest
// noted in it, so that a later ingest into the directory starts anew.
func Repair(ctx context.Context, dir string, o RepairOptions) (wrote []string, bad []Problem, err error) {
	lock, err := durable.TryLock(filepath.Join(dir, shard.LockName))
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = cmp.Or(err, lock.Unlock()) }()
	r := repair{dir: dir, o: o, splits: map[string][]shard.Row{}}
	if err := r.scan(ctx); err != nil {
		return nil, nil, err
	}
	if len(r.bad.list) > 0 {
		slices.SortFunc(r.bad.list, func(a, b Problem) int { return cmp.Compare(a.File, b.File) })
		return nil, r.bad.list, nil
	}
	err = r.write()
	return r.wrote, nil, err
}

type repair struct {
	dir    string
	o      RepairOptions
	old    shard.Manifest // what can still be read
	splits map[string][]shard.Row
	shards map[string]int
	bad    problems
	wrote  []string
}

// scan reads every shard of every directory that holds some.
func (r *repair) scan(ctx context.Context) error {
	var err error
	r.old, err = shard.ReadManifest(r.dir)
	if err != nil && !errors.Is(err, shard.ErrCorrupt) && !errors.Is(err, shard.ErrNotDataset) {
		return err
	}
	if err != nil {
		r.old = shard.Manifest{}
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	r.shards = map[string]int{}
	for _, e := range entries {
		if !e.IsDir() || !shard.ValidSplit(e.Name()) || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		files, err := listShards(r.dir, e.Name())
		if err != nil {
			return err
		}
		if _, listed := r.old.Splits[e.Name()]; len(files) == 0 && !listed {
			continue
		}
		r.shards[e.Name()] = len(files)
		if r.splits[e.Name()], err = r.scanSplit(ctx, e.Name(), files); err != nil {
			return err
		}
	}
	if len(r.shards) == 0 {
		return fmt.Errorf("repair %s: no shards in it: %w", r.dir, shard.ErrNotDataset)
	}
	return nil
}

func (r *repair) scanSplit(ctx context.Context, split string, files []string) ([]shard.Row, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(VerifyOptions{Workers: r.o.Workers}.workers())
	found := make([][]shard.Row, len(files))
	for i, file := range files {
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			path := filepath.Join(r.dir, filepath.FromSlash(file))
			rows, meta, err := shard.ScanFile(path)
			switch {
			case errors.Is(err, shard.ErrCorrupt):
				r.bad.add(file, "", "%s", reason(err, path))
				return nil
			case err != nil:
				return err
			}
			r.bad.checkPlace(file, split, meta)
			for k := range rows {
				r.bad.checkRow(file, meta, &rows[k])
				rows[k].File = file
				if r.o.OnBytes != nil {
					r.o.OnBytes(rows[k].Length)
				}
			}
			found[i] = rows
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// write writes class list, indexes and manifest, in this order.
func (r *repair) write() error {
	m := r.old
	m.Splits = map[string]shard.SplitInfo{}
	if _, err := shard.ReadClasses(r.dir, r.old.ClassesSHA256); err != nil {
		if err := r.classes(&m); err != nil {
			return err
		}
	}
	for _, split := range slices.Sorted(maps.Keys(r.splits)) {
		rows := r.splits[split]
		info := r.old.Splits[split]
		info.Rows, info.Bytes, info.Shards = int64(len(rows)), 0, r.shards[split]
		for i := range rows {
			info.Bytes += rows[i].Length
		}
		before, _ := regular.SHA256(filepath.Join(r.dir, split, shard.IndexName)) // "" where it is missing
		sum, err := shard.WriteIndex(r.dir, split, rows)
		if err != nil {
			return err
		}
		if sum != before {
			r.wrote = append(r.wrote, split+"/"+shard.IndexName)
		}
		info.IndexSHA256 = sum
		m.Splits[split] = info
	}
	if r.old.FormatVersion == 0 {
		n, err := countLines(filepath.Join(r.dir, "rejected.ndjson"))
		if err != nil {
			return err
		}
		m.Rejected = n
		if r.o.WordNet != nil {
			m.WordNetVersion = r.o.WordNet.Version()
		}
	}
	path := filepath.Join(r.dir, shard.ManifestName)
	before, _ := regular.SHA256(path)
	if err := shard.WriteManifest(r.dir, m); err != nil {
		return err
	}
	if after, err := regular.SHA256(path); err != nil || after != before {
		r.wrote = append(r.wrote, shard.ManifestName)
		return err
	}
	return nil
}

// classes finds the class list that m should name: the file as it is, where
// only the manifest is lost, or else a new one from the rows.
func (r *repair) classes(m *shard.Manifest) error {
	path := filepath.Join(r.dir, shard.ClassesName)
	if sum, err := regular.SHA256(path); err == nil && r.old.ClassesSHA256 == "" {
		if list, err := shard.ReadClasses(r.dir, sum); err == nil && r.agree(list) {
			m.ClassesSHA256 = sum
			return nil
		}
	}
	list, err := r.classesFromRows()
	if err != nil {
		return fmt.Errorf("repair %s: %w", shard.ClassesName, err)
	}
	if m.ClassesSHA256, err = shard.WriteClasses(r.dir, list); err != nil {
		return err
	}
	r.wrote = append(r.wrote, shard.ClassesName)
	return nil
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

func countLines(path string) (n int64, err error) {
	f, _, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		n++
	}
	return n, s.Err()
}
