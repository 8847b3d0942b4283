package shard

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage/files"
)

// Dataset is an open dataset. It may be used from many goroutines.
type Dataset struct {
	Dir      string   // as it was given
	Manifest Manifest // dataset.json, as it was read

	classes []Class
	mu      sync.Mutex
	splits  map[string]*Split
	dir     files.Dir // what is not remote
	files   openShards
	remote  Remote // nil: it is in Dir
}

// Open opens the dataset in a directory, and reads its manifest and class list.
// Errors are those of ReadManifest and ReadClasses.
func Open(dir string) (*Dataset, error) { return OpenDir(files.Local(dir)) }

// OpenDir is Open of a directory that may be elsewhere: an image takes a request.
func OpenDir(dir files.Dir) (*Dataset, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	classes, err := ReadClasses(dir, m.ClassesSHA256)
	if err != nil {
		return nil, err
	}
	return OpenWith(dir, m, classes), nil
}

// OpenWith opens the dataset in a directory by a manifest and a class list that
// the caller has read, or has none of: who checks a dataset opens it although
// they are damaged. A split of which the manifest says -1 rows has as many as its
// index.
func OpenWith(dir files.Dir, m Manifest, classes []Class) *Dataset {
	return &Dataset{Dir: dir.String(), Manifest: m, classes: classes, splits: map[string]*Split{}, dir: dir, files: newOpenShards(dir, regular.AtMost(mostFiles, 2))}
}

// Close closes the files that are open. Nothing may be read after it.
func (d *Dataset) Close() error {
	d.files.Close()
	return nil
}

// Classes lists the classes in label order. The list is the dataset's and not to
// be changed.
func (d *Dataset) Classes() []Class { return d.classes }

// Splits lists the names of the splits, ascending.
func (d *Dataset) Splits() []string { return slices.Sorted(maps.Keys(d.Manifest.Splits)) }

// SplitsInOrder lists them as people go through them: train, val and test first, then the
// others, ascending.
func (d *Dataset) SplitsInOrder() []string {
	names := d.Splits()
	usual := []string{"train", "val", "test"}
	slices.SortStableFunc(names, func(a, b string) int {
		x, y := slices.Index(usual, a), slices.Index(usual, b)
		return cmp.Compare(uint(x), uint(y)) // -1 is the largest
	})
	return names
}

// Split opens a split: its index is read, once. One that the dataset has not is
// ErrNoSplit, an index that is not the manifest's ErrCorrupt.
func (d *Dataset) Split(name string) (*Split, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.splits[name]; ok {
		return s, nil
	}
	info, dir, index, err := d.indexOf(name)
	if err != nil {
		return nil, err
	}
	rows, err := readIndex(dir, index, info)
	if err != nil {
		return nil, err
	}
	s := &Split{Name: name, Info: info, d: d, index: rows}
	d.splits[name] = s
	return s, nil
}

func (d *Dataset) noSplit(name string) error {
	return fmt.Errorf("%s has no split %q; it has %s: %w", d.Dir, name, strings.Join(d.Splits(), ", "), ErrNoSplit)
}

// Split is the rows of one split, in the order of its index: by synset and
// path for train, by path for the others. It may be used from many goroutines.
type Split struct {
	Name  string    // train, val or test
	Info  SplitInfo // as the manifest has it
	d     *Dataset
	index *index
}

// Len is the number of rows.
func (s *Split) Len() int { return s.index.len() }

// Row gives row i, 0 <= i < Len.
func (s *Split) Row(i int) Row { return s.index.row(i) }

// Label is the label of row i, or -1.
func (s *Split) Label(i int) int64 { return s.index.label(i) }

// Synset is the class of row i, or "".
func (s *Split) Synset(i int) string { return s.index.synsets[s.index.synsetOf[i]] }

// SHA256 is the 32 bytes of the SHA-256 of row i's image. They are the index's
// own and not to be changed.
func (s *Split) SHA256(i int) []byte { return s.index.sha(i) }

// Files lists the shards in which rows lie, relative to the dataset's
// directory, in the order in which the index names them first.
func (s *Split) Files() []string { return s.index.files }

// FileOf is the place among Files of the shard that holds row i.
func (s *Split) FileOf(i int) int { return int(s.index.fileOf[i]) }

// Read gives the bytes of row i, in buf where they fit and else in a larger
// buffer, checked against the row's CRC-32C. An error that is ErrCorrupt names
// the file and the image. Read may be called from many goroutines, each with
// a buffer of its own.
func (s *Split) Read(i int, buf []byte) ([]byte, error) {
	b, k := s.index.at(i)
	return s.d.read(&Row{Path: b.path.Value(k), File: s.index.files[s.index.fileOf[i]], Offset: b.offset.Value(k), Length: b.length.Value(k), CRC32C: b.crc.Value(k)}, buf)
}

// read gives the bytes of an image by its place, as Split.Read does.
func (d *Dataset) read(r *Row, buf []byte) ([]byte, error) {
	at, n := r.Offset, r.Length
	fail := func(what error) error {
		return fmt.Errorf("%s: image %s (%d bytes at %d): %w", r.File, r.Path, n, at, what)
	}
	sound := func(buf []byte) bool { return crc32.Checksum(buf, castagnoli) == r.CRC32C }
	if d.remote != nil {
		if int64(cap(buf)) < n {
			buf = make([]byte, n+n/4)
		}
		buf = buf[:n]
		if err := d.readRemote(r.File, buf, at, sound); err != nil {
			return nil, fail(err)
		}
		if !sound(buf) {
			return nil, fail(corruptf("it does not have its crc32c"))
		}
		return buf, nil
	}
	f, err := d.files.get(r.File)
	if err != nil {
		return nil, fail(err)
	}
	defer f.Release()
	if int64(cap(buf)) < n {
		if n > 1<<20 && at+n > f.Open.Size() { // before memory is taken for it
			return nil, fail(corruptf("it goes past the end"))
		}
		buf = make([]byte, n+n/4)
	}
	buf = buf[:n]
	if _, err := f.Open.ReadAt(buf, at); err == io.EOF {
		return nil, fail(corruptf("it goes past the end"))
	} else if err != nil {
		return nil, fail(err)
	}
	if !sound(buf) {
		return nil, fail(corruptf("it does not have its crc32c"))
	}
	return buf, nil
}
