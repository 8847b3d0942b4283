// Package source says where images come from: one reader a container. A
// container is a folder, a tar, a zip, a list of paths, a Parquet or an Arrow
// file; what the names in it mean is package layout's to say.
//
// A Set lists the entries of any number of containers and reads them, one at
// random or many in order. Whatever a container leaves out by itself it tells
// through Options.OnSkip, with the reason.
package source

import (
	"io"
	"path/filepath"

	"github.com/synshard/synshard/source/columns"
	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/source/list"
	"github.com/synshard/synshard/storage"
)

// What containers are made of is package entry's, so that each reader can be a
// package of its own; here are its names for those who read.
type (
	Entry  = entry.Entry
	Label  = entry.Label
	Column = entry.Column
	Skip   = entry.Skip
	Table  = list.Table
)

// See package entry.
const (
	NoLabel     = entry.NoLabel
	NumberLabel = entry.NumberLabel
	NameLabel   = entry.NameLabel
	MaxImage    = entry.MaxImage
	JunkReason  = entry.JunkReason
	EmptyReason = entry.EmptyReason
)

// See packages entry and list.
var (
	ErrUnreadable = entry.ErrUnreadable
	ErrCorrupt    = entry.ErrCorrupt
	ErrBareNames  = list.ErrBareNames
)

// Junk says whether a name in a container is nobody's data: see entry.Junk.
func Junk(name string) bool { return entry.Junk(name) }

// ImageName says whether a name ends as an image's does: see entry.ImageName.
func ImageName(name string) bool { return entry.ImageName(name) }

// UnsupportedImage gives the format of images that are known and not decoded:
// see entry.UnsupportedImage.
func UnsupportedImage(name string) string { return entry.UnsupportedImage(name) }

// Junked gives the reason to leave out what is Junk: see entry.Junked.
func Junked(name string) (reason string, image bool) { return entry.Junked(name) }

// NearlyImage says whether a name is an image's but for what programs put behind it: see
// entry.NearlyImage.
func NearlyImage(name string) bool { return entry.NearlyImage(name) }

// ImageBytes says whether the bytes at a file's beginning are an image's: see
// entry.ImageBytes.
func ImageBytes(head []byte) bool { return entry.ImageBytes(head) }

// IsURL says whether a name in a list is a URL: see storage.IsURL.
func IsURL(name string) bool { return storage.IsURL(name) }

// ParseLabel reads a label from text: see entry.ParseLabel.
func ParseLabel(s string) Label { return entry.ParseLabel(s) }

// BoolSplit is the split that a column's true rows are of: see entry.BoolSplit.
func BoolSplit(name string) string { return entry.BoolSplit(name) }

// ParseList reads a list of paths: see list.Parse.
func ParseList(name string, b []byte) (*Table, error) { return list.Parse(name, b) }

// ParseListOf reads a list of names that isImage knows: see list.ParseOf.
func ParseListOf(name string, b []byte, isImage func(string) bool) (*Table, error) {
	return list.ParseOf(name, b, isImage)
}

// ClassNames reads Hugging Face's metadata of a file of columns, "" being none: the names of
// the numbers of each column that is a ClassLabel.
func ClassNames(text string) (map[string][]string, error) {
	features, err := columns.Features(text)
	out := map[string][]string{}
	for name, f := range features {
		if f.Names != nil {
			out[name] = f.Names
		}
	}
	return out, err
}

// FeaturesKey is the key of ClassNames' metadata.
const FeaturesKey = columns.FeaturesKey

// Best is the place of the column from which labels are taken: see entry.Best.
func Best(columns []Column) int { return entry.Best(columns) }

// OfClasses says whether a column of this name is one of labels: see entry.LabelColumns.
func OfClasses(name string) bool { return entry.Rank(name, entry.LabelColumns) >= 0 }

// Measure says whether a column of this name says something else than a class: see
// entry.Measure.
func Measure(name string) bool { return entry.Measure(name) }

// Kind is what a container is.
type Kind string

// The kinds of containers.
const (
	Folder  Kind = "folder"
	Tar     Kind = "tar"
	Zip     Kind = "zip"
	List    Kind = "list" // CSV, TSV or JSONL of paths, or OpenPaths'
	Parquet Kind = "parquet"
	Arrow   Kind = "arrow" // an IPC file, stream, or Feather of version 2
	Files   Kind = "files" // images given one by one: entries are named as they were given
)

// Info describes one container of a Set.
type Info struct {
	// Path is the container's, "-" for standard input; of images given one by
	// one, the first of them.
	Path string
	// Given and Within say how a container was found in a folder: the folder's
	// path as the caller gave it, and the place below it, with slashes.
	// Archives and files of columns in a folder are containers of their own,
	// which follow the folder's. Of a path that the caller gave, Given is Path
	// and Within is "".
	Given, Within string
	// Kind is what its bytes say it is.
	Kind Kind
	// Sequential marks what can only be read front to back, a compressed tar or
	// a pipe: its entries are not listed. See Set.Walk.
	Sequential bool
	// ClassNames are the names of Entry.Label's numbers in order, where the
	// container holds them (a ClassLabel of Hugging Face's metadata); nil: it
	// does not.
	ClassNames []string
	// Columns are all columns of a list or a file of rows that may say the
	// class, in the order in which they stand there. Entry.Label is from the
	// one called LabelColumn ("": there is none).
	Columns     []Column
	LabelColumn string
	// Splits are the columns that may say the split of each entry, as Columns.
	Splits []Column
	// Others are a list's columns that are called neither after classes nor after splits;
	// one without Rows has more values than classes are many.
	Others []Column
	// Unread are columns of a file of rows that are called after classes and not read: see
	// columns.Columns.Unread.
	Unread []string
	// Lines are those of a list's entries in the file, from 1; nil: it has none.
	Lines []int32
	// Comments are lines of a list that were passed over, see list.Table.
	Comments []int32
	// Size, in bytes, and Modified, in Unix nanoseconds, are the file's; 0 of a
	// folder or a pipe.
	Size, Modified int64
}

// At is the path of what the container has by a name with slashes, or its URL.
func (i *Info) At(name string) string {
	if storage.IsURL(i.Path) {
		return storage.Join(i.Path, name)
	}
	return filepath.Join(i.Path, filepath.FromSlash(name))
}

// Options say how containers are opened.
type Options struct {
	// Stdin is what the path "-" is: a tar, also compressed, read front to back;
	// nil: there is none.
	Stdin io.Reader
	// Deep lists the members of tars within tars; otherwise such a tar is one
	// entry, with Archive set.
	Deep bool
	// Unpack reads compressed tars in place, as if they were not compressed: a few at
	// a time lie unpacked in the directory for temporary files. Else they are
	// Sequential.
	Unpack bool
	// FollowLinks follows links in folders wherever they lead: to directories, and to
	// files that are called as images, archives or objects of a store are. Else those
	// that lead out of their folder are skipped.
	FollowLinks bool
	// OnSkip is told of everything that a container leaves out by itself. It is
	// called while containers are opened, and by Set.Each and Set.Walk of what
	// is in the archives that were not listed; one call at a time.
	OnSkip func(Skip)
}
