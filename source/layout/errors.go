package layout

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotListed says that an archive within an archive has to be listed
// (source.Options.Deep), since its name does not tell what is in it.
var ErrNotListed = errors.New("an archive in the archive, of which the names inside must be known")

// ErrNoImages says that there are no images in the inputs.
var ErrNoImages = errors.New("no images")

// WithLeftOut adds to ErrNoImages the images that containers left out by themselves,
// which may be all there were.
func WithLeftOut(err error, left []Skipped) error {
	if !errors.Is(err, ErrNoImages) {
		return err
	}
	for _, s := range left {
		if s.Images {
			err = fmt.Errorf("%w; %d left out: %s, such as %s", err, s.Count, s.Reason, s.Names[0])
		}
	}
	return err
}

// Ambiguity says that names can be read in several ways.
type Ambiguity struct {
	Path     string    // of the input
	What     string    // what is in doubt
	Readings []Reading // two or more
}

// Reading is one way to read the names, and the flag that chooses it, or what else
// settles it.
type Reading struct {
	Meaning string `json:"meaning"` // what the names would mean, for people
	Flag    string `json:"flag"`    // as it is typed, with its value
}

func (a *Ambiguity) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", a.Path, a.What)
	for i, r := range a.Readings {
		b.WriteString([]string{"; either ", ", or "}[min(i, 1)])
		fmt.Fprintf(&b, "%s: %s", r.Meaning, r.Flag)
	}
	return b.String()
}

// NoEffect says that an option was given that these inputs make nothing of: wrong
// usage, and not a fault of the inputs.
type NoEffect struct {
	Option string // the flag: "--as-split"
	Reason string // why these inputs make nothing of it
}

func (e *NoEffect) Error() string { return fmt.Sprintf("%s has no effect: %s", e.Option, e.Reason) }

// within says where an error is; an *Ambiguity says so itself.
func within(path string, err error) error {
	if a := (*Ambiguity)(nil); errors.As(err, &a) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
