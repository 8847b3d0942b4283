// Package entry is what the readers of containers have in common: entries and
// labels, what names mean anything, links within an archive, and how a file is
// opened. Package source gives most of it its own names.
package entry

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrUnreadable marks an image whose bytes cannot be had, though its container
// is sound: a file that is gone or may not be read, a row without bytes, more
// bytes than MaxImage. It is that image's error and not the run's.
var ErrUnreadable = errors.New("unreadable")

// ErrCorrupt marks a container that is damaged: truncated, or not what its own
// headers say. What was read from it may not be all there was.
var ErrCorrupt = errors.New("data corrupt")

// ErrRead marks that a container's file could not be read, as of a store that does not
// answer: of the container that says nothing.
var ErrRead = errors.New("not read")

// Unread marks an error as ErrRead, whose text stays.
func Unread(err error) error { return unread{err} }

type unread struct{ error }

func (u unread) Unwrap() error        { return u.error }
func (u unread) Is(target error) bool { return target == ErrRead }

// Corrupt is an error about a container as ErrCorrupt, unless it is ErrRead.
func Corrupt(about string, err error) error {
	if errors.Is(err, ErrRead) {
		return fmt.Errorf("%s: %w", about, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, about, err)
}

// MaxImage bounds the bytes of one entry, so that a damaged length cannot ask
// for all memory.
const MaxImage = 1 << 30

// Entry is one file, member or row of a container, known before its bytes are
// read.
type Entry struct {
	// Name is the entry's name in its container, with forward slashes and
	// without "." or ".." elements or a slash at its beginning: the path below
	// a folder, a member's name, a path as a list has it (that one as it
	// stands), the path column of a row, or "row-00000017" where a row has
	// none. A member of a tar within a tar is "a.tar/b.jpg". The bytes are
	// those of the container and may not be UTF-8.
	Name string
	// Size is in bytes; -1 where it is not known before it is read (a row).
	Size int64
	// Modified is the time of change in Unix nanoseconds; 0 where it is not
	// known.
	Modified int64
	// Label is what the container says of the class beside the name.
	Label Label
	// Container is the place of the entry's container in Set.Infos.
	Container int32
	// Archive marks a tar within a tar that was not listed: it stands for all
	// entries in it, to which Set.Each expands it.
	Archive bool

	// Place is where the entry lies: what it means is its container's.
	Place int64
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
	Kind   LabelKind // whether it is a number, a name, or nothing
	Number int64     // of a NumberLabel
	Name   string    // of a NameLabel, never empty
}

// ParseLabel reads a label from text, without the white space around it.
// Nothing is NoLabel; a decimal integer without leading zeros is a NumberLabel,
// also with a fraction of zeros ("3.0", as data frames with holes write it);
// all else is a NameLabel.
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

// Column is a column that may say the class of each row.
type Column struct {
	Name       string   // as it stands there
	ClassNames []string // names of its numbers, in order; nil: the container has none
	Values     []Label  // the values that occur, in the order of their first rows
	Rows       []int32  // of each entry of the container, in order: its place in Values
}

// Skip is something that a container leaves out by itself: junk, a dead link, a
// link out of the tree, a loop, a device, a member that cannot be read.
type Skip struct {
	Container int32  // as Entry.Container
	Name      string // as Entry.Name; "", or an archive's with a slash, of the archive as a whole
	Archive   string // the path of that archive, with that of the one around it; else ""
	Reason    string // lower case, without a full stop
	Image     bool   // its name is an image's, and it is not junk: an image may be lost
}

// Doubt says whether nothing is left out, but an archive as a whole may not be what it was.
func (s Skip) Doubt() bool { return s.Archive != "" && !s.Image }

// For gives the name by which people know what it is of.
func (s Skip) For() string { return cmp.Or(s.Archive, s.Name) }

// JunkReason is the Reason of a Skip that leaves out junk.
const JunkReason = "left behind by an operating system or a hidden file"

// EmptyReason is the Reason of a Skip of a directory in which there is nothing: a class
// without images, as people see it.
const EmptyReason = "a directory without files"

// SkipFunc is told of what a container leaves out.
type SkipFunc func(name, reason string, image bool)

// Visit is told of an entry and its bytes, which are good during the call, or
// of an error that is ErrUnreadable.
type Visit = func(e Entry, b []byte, err error) error
