// Package source says where images come from: one reader a container. A
// container is a folder, a tar, a zip, a list of paths, a Parquet or an Arrow
// file; what the names in it mean is package layout's to say.
//
// A Set lists the entries of any number of containers and reads them, one at
// random or many in order. Whatever a container leaves out by itself it tells
// through Options.OnSkip, with the reason.
package source

import (
	"errors"
	"io"
	"strconv"
	"strings"
)

// ErrUnreadable marks an image whose bytes cannot be had, though its container
// is sound: a file that is gone or may not be read, a row without bytes, more
// bytes than MaxImage. It is that image's error and not the run's.
var ErrUnreadable = errors.New("unreadable")

// ErrCorrupt marks a container that is damaged: truncated, or not what its
// own headers say. What was read from it may not be all there was.
var ErrCorrupt = errors.New("data corrupt")

// corrupt marks another package's error as ErrCorrupt, which its text says already.
type corrupt struct{ error }

func (c corrupt) Unwrap() error        { return c.error }
func (c corrupt) Is(target error) bool { return target == ErrCorrupt }

// MaxImage bounds the bytes of one entry, so that a damaged length cannot ask
// for all memory.
const MaxImage = 1 << 30

// Entry is one file, member or row of a container, known before its bytes are
// read.
type Entry struct {
	// Name is the entry's name in its container, with forward slashes and
	// without "." or ".." elements or a slash at its beginning: the path below a
	// folder, a member's name, a path as a list has it (that one as it
	// stands), the path column of a row, or "row-00000017" where a row has none. A
	// member of a tar within a tar is "a.tar/b.jpg". The bytes are those of
	// the container and may not be UTF-8.
	Name string
	// Size is in bytes; -1 where it is not known before it is read (a row).
	Size int64
	// Modified is the time of change in Unix nanoseconds; 0 where it is not known.
	Modified int64
	// Label is what the container says of the class beside the name.
	Label Label
	// Container is the place of the entry's container in Set.Infos.
	Container int32
	// Archive marks a tar within a tar that was not listed: it stands for all
	// entries in it, to which Set.Each expands it.
	Archive bool

	place int64 // what it means is its container's
}

// LabelKind says what a Label holds.
type LabelKind uint8

// The kinds of labels.
const (
	NoLabel     LabelKind = iota // nothing is said
	NumberLabel                  // a place in a list of classes, as it stands: it may be -1
	NameLabel                    // a name: a synset's id, words, anything
)

// Label is what a column, or a file beside an image, says of its class. The
// zero Label says nothing.
type Label struct {
	Kind   LabelKind
	Number int64  // of a NumberLabel
	Name   string // of a NameLabel, never empty
}

// ParseLabel reads a label from text, without the white space around it. Nothing is NoLabel; a decimal
// integer without leading zeros is a NumberLabel, also with a fraction of
// zeros ("3.0", as data frames with holes write it); all else is a NameLabel.
func ParseLabel(s string) Label {
	s = strings.TrimSpace(s)
	if s == "" {
		return Label{}
	}
	whole, fraction, point := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err == nil && strconv.FormatInt(n, 10) == whole && (!point || fraction != "" && strings.Trim(fraction, "0") == "") {
		return Label{Kind: NumberLabel, Number: n}
	}
	return Label{Kind: NameLabel, Name: s}
}

// String is the label as text; "" for NoLabel.
func (l Label) String() string {
	if l.Kind == NumberLabel {
		return strconv.FormatInt(l.Number, 10)
	}
	return l.Name
}

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
	// Given and Within say how a container was found in a folder: the
	// folder's path as the caller gave it, and the place below it, with slashes. Archives and files of
	// columns in a folder are containers of their own, which follow the
	// folder's. Of a path that the caller gave, Given is Path and Within is "".
	Given, Within string
	Kind          Kind
	// Sequential marks what can only be read front to back, a compressed tar
	// or a pipe: its entries are not listed. See Set.Walk.
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
	// Size, in bytes, and Modified, in Unix nanoseconds, are the file's; 0 of a
	// folder or a pipe.
	Size, Modified int64
}

// Column is a column that may say the class of each row.
type Column struct {
	Name       string
	ClassNames []string // as Info.ClassNames, of this column
	Values     []Label  // the values that occur, in the order of their first rows
	Rows       []int32  // of each entry of the container, in order: its place in Values
}

// Skip is something that a container leaves out by itself: junk, a dead link, a
// link out of the tree, a loop, a device, a member that cannot be read.
type Skip struct {
	Container int32
	Name      string // as Entry.Name
	Reason    string // lower case, without a full stop
	Image     bool   // its name is an image's, and it is not junk: an image may be lost
}

// JunkReason is the Reason of a Skip that leaves out junk.
const JunkReason = "left behind by an operating system or a hidden file"

// Options say how containers are opened.
type Options struct {
	// Stdin is what the path "-" is: an archive, read front to back.
	Stdin io.Reader
	// Deep lists the members of tars within tars; otherwise such a tar is one
	// entry, with Archive set.
	Deep bool
	// OnSkip is told of everything that a container leaves out by itself. It is
	// called while containers are opened, and by Set.Each and Set.Walk of what is in the
	// archives that were not listed; one call at a time.
	OnSkip func(Skip)
}
