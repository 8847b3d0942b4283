// Package layout says what the names in containers mean: which split and which
// class an image is of, and which files are left out and why. It is pure: the
// same names give the same plan, and what can be read in two ways is refused
// with both readings and the flag that chooses (*Ambiguity).
//
// The rules, for trees (folders, tars, zips, and lists whose rows say no class):
//
//   - A directory called train, training, val, valid, validation, dev, test or
//     testing is a split where all directories beside it are (or are called
//     after one: imagenet21k_train, train.X1). It stands above the classes.
//   - A directory called after a synset (n01440764, n02085620-Chihuahua) is a class at any
//     depth. Without synsets the directories right below a split, or below the last
//     directory that is alone, are the classes.
//   - An archive in a folder, or within another archive, is like a directory of its name.
//   - Images that lie flat are labelled by a synset in their name, by the
//     development kit, by the file of labels that lies with them
//     (LOC_val_solution.csv, val_annotations.txt, metadata.csv, .jsonl or .parquet), or not.
//
// Tars with a .cls or .json beside each image are WebDataset's. Rows of lists,
// Parquet and Arrow files have their label in a column, and their split in the
// name of their file or in the dataset card's data_files.
//
// Classes are in ascending order of their names, unless a list is given or the
// containers hold one of their own.
package layout

import (
	"fmt"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
)

// Input is a container: what is known of it, and what is in it.
type Input struct {
	Info source.Info // as source.Set.Infos has it
	// Entries are what the container lists, those of a Sequential one where its
	// names were read before (by Set.Walk); else none, and Plan.Place tells what its entries
	// are, one by one.
	Entries []source.Entry
	// Split is that of all its images where a flag says so: "train", "val" or "test".
	Split string
}

// Options say how names are read.
type Options struct {
	// Layout forces a reading, by words of Layouts with commas between them; "" tells from
	// the names.
	Layout string
	// WebDataset forces that reading of all tars, beside what Layout does.
	WebDataset bool
	// Split is where images go that no name puts into a split; "": train.
	Split string
	// ValFraction of the training images, about, become the split val: an image
	// is in it or not by a hash of Seed, its class and its name in the class (Image.Path)
	// alone, so that more images move none, and how they are packed does not matter. Each
	// class gives the fraction in expectation: one of few images may give none, or
	// all, which Plan.Notes tell.
	ValFraction float64 // 0 up to 1; 0: none
	Seed        uint64
	// Classes closes the list of classes and gives their order; nil: as found.
	Classes *classlist.List
	// Truth gives the synset of an image of ILSVRC2012's validation set by its base
	// name; nil: not known.
	Truth func(name string) (synset string, err error)
	// LabelsOptional: images without a class, as those to predict over, are not worth a
	// note, and a file that should list the classes and cannot be read as a list is worth
	// one, not an error.
	LabelsOptional bool
	// Read reads the files that hold labels; nil: they count as files that are no images.
	Read func(source.Entry) ([]byte, error)
	// Kept gives the class list that stands for one of the files that hold classes, which is
	// then not read; nil, and nil of a file: it is read.
	Kept func(source.Entry) *classlist.List
	// Head gives the first bytes of a file, by which one is known as an image whose name
	// tells nothing; nil: it counts as a file that is no image.
	Head func(source.Entry) ([]byte, error)
}

// Plan is what the names mean.
type Plan struct {
	// Layout describes what was found, for people.
	Layout string `json:"layout"`
	// Classes are in label order.
	Classes []string `json:"classes"`
	// Splits are in order of their names.
	Splits []Split `json:"splits"`
	// Skipped are the files left out, by reason.
	Skipped []Skipped `json:"skipped,omitempty"`
	// Labels are the files that say the labels: neither images nor left out.
	Labels []*source.Entry `json:"-"`
	// Notes are worth telling.
	Notes []string `json:"notes,omitempty"`
	// Missing are rows of lists whose files are not there, the first few by name: they are among
	// the images, and whoever reads them finds them unreadable.
	Missing *Skipped `json:"missing,omitempty"`
	// Repeats are the rows of lists that are left out for RepeatReason.
	Repeats []*source.Entry `json:"-"`

	m *mapper
}

// Split is the images of a split, in the order of inputs and entries.
type Split struct {
	Name   string  `json:"split"` // train, val or test
	Images []Image `json:"-"`     // with their classes
	// Unlabelled is how many of them have no class.
	Unlabelled int `json:"unlabelled"`
}

// Image is an entry that is an image, or an archive that stands for an unknown
// number of images of one class.
type Image struct {
	*source.Entry       // in Input.Entries
	Class         int32 // the label: a place in Plan.Classes; -1: none
	// ByName says that the class is looked up for each image by its name: in the
	// development kit, or in a file of labels.
	ByName bool
	// Path is the image's name in its class: below the directory of the class or of
	// the split, or as a list, a row or a sample has it. A name of bytes is escaped, see
	// internal/utf8name, a row's is as its column has it. "" of an archive.
	Path string
}

// Skipped is a kind of files that are left out.
type Skipped struct {
	Reason string   `json:"reason"` // for people
	Count  int      `json:"count"`  // of files
	Images bool     `json:"images"` // they are images
	Names  []string `json:"names"`  // the first few, by name
	// Doubt: nothing is left out; the names are those of archives that may have been cut off.
	Doubt bool `json:"doubt,omitempty"`
}

// What counts: images or files.
func (s Skipped) What() string {
	if s.Images {
		return "images"
	}
	return "files"
}

// Examples are Names as a list for people, which ends in dots where they are not all.
func (s Skipped) Examples() string {
	text := strings.Join(s.Names, ", ")
	if len(s.Names) < s.Count {
		text += ", ..."
	}
	return text
}

// Placement is what one entry means.
type Placement struct {
	Split string // "": it is left out
	Class int32  // as Image.Class
	Path  string // as Image.Path
	// Reason says why it is left out, and Image whether it is an image.
	Reason string
	Image  bool
}

const keptNames = 5 // of each reason for leaving out

// Make reads the names of all inputs, which are in the order of Set.Infos: an
// entry's Container is its input's place. What cannot be read in one way only is
// an *Ambiguity; an option that these inputs make nothing of is a *NoEffect; a
// class outside Options.Classes is a *classlist.NotInList.
func Make(inputs []Input, o Options) (*Plan, error) {
	m, err := newMapper(inputs, o)
	if err != nil {
		return nil, err
	}
	if err := m.understand(); err != nil {
		return nil, err
	}
	p, err := m.place()
	if err != nil {
		return nil, err
	}
	p.m = m
	return p, nil
}

// Place says what an entry means that was not listed: a member of an Archive
// entry, or an entry of a Sequential container. It agrees with what Make says
// where they are listed. It fails where the entry's name alone does not tell. One
// goroutine at a time may call it.
func (p *Plan) Place(e source.Entry) (Placement, error) {
	if e.Container < 0 || int(e.Container) >= len(p.m.inputs) {
		return Placement{}, fmt.Errorf("%s: it is of no input of this plan", e.Name)
	}
	return p.m.placeOne(&e)
}
