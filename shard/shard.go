// Package shard is a dataset on disk: Arrow IPC files that hold the images,
// an index with a row for each, a list of classes and a manifest. FORMAT.md
// beside this file is the format; this package writes it, opens it, selects
// from it and reads single images. Package check looks whether all of it is whole.
//
// An image is read with one positioned read and checked against its CRC-32C;
// Arrow's own reader is never used, because a flipped byte can end it. Files
// are read by internal/arrowipc, which gives ErrCorrupt whatever they hold.
package shard

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/internal/utf8name"
)

// formatVersion is the version of the format this package writes, and the
// newest it reads.
const formatVersion = 1

// Names of the files of a dataset.
const (
	ManifestName = "dataset.json"
	ClassesName  = "classes.arrow"
	IndexName    = "index.arrow"
	// LockName is the file that whoever writes into the directory holds locked.
	LockName = ".lock"
	// ExportName is the directory, in that of an export, in which the class list of
	// the dataset is kept: see ReadExportClasses.
	ExportName = ".synshard-export"
)

var (
	// ErrNotDataset marks a directory without a manifest.
	ErrNotDataset = errors.New("not a synshard dataset (no dataset.json)")
	// ErrCorrupt marks bytes that are not what was written.
	ErrCorrupt = arrowipc.ErrCorrupt
	// ErrVersion marks a dataset newer than this package.
	ErrVersion = errors.New("written by a newer synshard")
	// ErrNoSplit marks a split a dataset does not have.
	ErrNoSplit = errors.New("no such split")
)

// Damage says whether an error of reading a dataset, or what is kept while one is made, is of a file that is
// gone or is not what was written. One that cannot be read at the moment, of a store that is away, may be whole.
func Damage(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrUnfit)
}

// corruptf makes an error that is ErrCorrupt.
func corruptf(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrCorrupt)...)
}

// ownFile makes an error of opening a file of the dataset into damage where
// something else stands in its place.
func ownFile(err error) error {
	if errors.Is(err, regular.ErrUnfit) {
		return corruptf("%w", err)
	}
	return err
}

// Class is a row of the class list.
type Class struct {
	Label        int      // position in the class list
	Synset       string   // "n01440764", or a name, escaped as a Row's, where classes are no synsets
	ILSVRC2012ID int32    // the devkit's number, 1 to 1000; 0 = none
	Words        []string // lemmas of the synset
	Gloss        string   // WordNet's; "" where it is not known
	Path         []string // synsets from the root of WordNet to this one
}

// Object is a thing marked in an image: a synset and its box in pixels of the
// original, as the annotations have it.
type Object struct {
	Synset                 string // of the thing, not of the image
	XMin, YMin, XMax, YMax int32  // pixels from the left and from the top
}

// Row is what is known of an image. Its text is UTF-8: a name of other bytes
// is escaped, see FORMAT.md and internal/utf8name.
type Row struct {
	Path          string   // name in the source, escaped, such as "n01440764_10026.JPEG"
	Label         int64    // class, -1 = none
	Synset        string   // "" = none
	ILSVRC2012ID  int32    // 0 = none
	Width, Height int32    // pixels
	Format, Mode  string   // found in the bytes: "JPEG", "PNG"; "RGB", "L", "CMYK"
	SHA256        [32]byte // of the bytes
	Objects       []Object // boxes marked in it; nil: none

	File   string // shard, relative to the dataset's directory, with slashes
	Offset int64  // of the image's first byte in File
	Length int64  // bytes
	CRC32C uint32 // of the bytes (Castagnoli)
}

// ensureText makes all text of a row UTF-8.
func (r *Row) ensureText() {
	r.Path, r.Synset = utf8name.Ensure(r.Path), utf8name.Ensure(r.Synset)
	r.Format, r.Mode = utf8name.Ensure(r.Format), utf8name.Ensure(r.Mode)
	for i, o := range r.Objects {
		if !utf8.ValidString(o.Synset) {
			r.Objects = slices.Clone(r.Objects) // the caller's stays as it is
			r.Objects[i].Synset = utf8name.Escape(o.Synset)
		}
	}
}

// CheckText says whether all text of a row is UTF-8, as the format wants it.
func (r *Row) CheckText() error {
	c := *r
	if c.ensureText(); c.Path == r.Path && c.Synset == r.Synset && c.Format == r.Format && c.Mode == r.Mode && slices.Equal(c.Objects, r.Objects) {
		return nil
	}
	return fmt.Errorf("image %q has a name that is not UTF-8", r.Path)
}

// Image is an image to be stored.
type Image struct {
	Row
	Bytes []byte // as they came: JPEG, PNG, ...
}

// FileMeta is what a shard says of itself in its schema's metadata.
type FileMeta struct {
	Split  string // of every row
	Synset string // the synset of every row; "" where rows differ
	Words  string // of that synset, with commas between
	// ClassNames are the names of labels 0, 1, ... for Hugging Face's
	// ClassLabel; empty where images have no labels.
	ClassNames []string
	Extra      map[string]string // more, by keys that are not the format's
}

// ShardName gives the name of a shard relative to the dataset's directory, with
// slashes: "train/synset=n01440764/part-00000.arrow", or "val/part-00000.arrow"
// where synset is empty. What a directory cannot be called is percent-encoded,
// as Hive, pyarrow and Polars expect.
func ShardName(split, synset string, part int) string {
	base := fmt.Sprintf("part-%05d.arrow", part)
	if synset == "" {
		return split + "/" + base
	}
	return split + "/synset=" + strings.ReplaceAll(url.PathEscape(utf8name.Ensure(synset)), "=", "%3D") + "/" + base
}

// relName gives the name of a shard relative to its dataset.
func relName(path, split string) string {
	dir, base := filepath.Split(filepath.Clean(path))
	parent := filepath.Base(filepath.Clean(dir))
	if parent == split || split == "" {
		return parent + "/" + base
	}
	return split + "/" + parent + "/" + base
}
