package images

import (
	"errors"
	"fmt"
	"slices"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
	"github.com/synshard/synshard/source/layout"
)

// truths is what names and columns say of images' classes, held to a model's.
type truths struct {
	places map[*source.Entry]place
	names  []string               // of classes: the model's where they are its
	known  []bool                 // of names: the model's
	labels map[*source.Entry]bool // files that say them
	// repeats are rows of lists that say again what earlier ones say.
	repeats map[*source.Entry]bool
	layout  string
	notes   []string
	count   int // images whose truth is a class of the model
}

type place struct {
	split string
	class int32 // in names; -1: nothing is said
}

// truths reads the layout. What ingest would refuse as ambiguous is settled by the
// model's classes where one reading alone finds them; where none does, images
// have no truth, and a note says why: predicting needs none.
func (s *Images) truths(o OpenOptions) (*truths, error) {
	tries := []layout.Options{{}, {}, {Layout: "leaves"}, {Layout: "top"}}
	// A list in which a name stands twice is no list of classes to the layout: then
	// truths are found by equal names alone.
	model, err := classlist.New(o.Classes, nil, "the model")
	if err == nil {
		tries[1].Classes = model
	}
	inputs := make([]layout.Input, len(s.set.Infos()))
	for i, info := range s.set.Infos() {
		inputs[i].Info = info
	}
	all := s.set.Entries()
	for from := 0; from < len(all); { // entries lie by container
		to := from
		for to < len(all) && all[to].Container == all[from].Container {
			to++
		}
		inputs[all[from].Container].Entries = all[from:to]
		from = to
	}
	read := func(e source.Entry) ([]byte, error) { return s.set.Read(e, nil) }
	var best *truths
	var doubt *layout.Ambiguity
	for _, try := range tries {
		try.Read, try.LabelsOptional = read, true
		plan, err := layout.Make(inputs, try)
		if err == nil {
			t := held(plan, o.Classes, model)
			if doubt == nil {
				return t, nil
			}
			if t.count > 0 && (best == nil || t.count > best.count) {
				best = t
			}
			continue
		}
		var ambiguous *layout.Ambiguity
		var outside *classlist.NotInList
		var none *layout.NoEffect
		switch {
		case errors.As(err, &ambiguous):
			if doubt == nil {
				doubt = ambiguous
			}
		case errors.Is(err, layout.ErrNoImages) && doubt == nil:
			return &truths{}, nil
		case doubt != nil && (errors.As(err, &outside) || errors.As(err, &none) || errors.Is(err, layout.ErrNoImages)):
		default:
			return nil, err
		}
	}
	if best != nil {
		best.notes = append(best.notes, fmt.Sprintf("%s: %s: read so that most images' classes are the model's", doubt.Path, doubt.What))
		return best, nil
	}
	return &truths{notes: []string{fmt.Sprintf("%s: %s: no truth is read from the names", doubt.Path, doubt.What)}}, nil
}

// held holds a plan's classes to the model's. A directory's name that is no
// class of the model says nothing, unless it is a synset; what a column says is
// a truth, if a foreign one.
func held(p *layout.Plan, classes []string, model *classlist.List) *truths {
	t := &truths{places: map[*source.Entry]place{}, labels: map[*source.Entry]bool{}, repeats: map[*source.Entry]bool{}, layout: p.Layout, notes: p.Notes}
	match := make([]int, len(p.Classes))
	for i, name := range p.Classes {
		match[i] = slices.Index(classes, name)
	}
	if list, err := classlist.New(p.Classes, nil, "the images"); err == nil && model != nil {
		match = classlist.Match(list, model)
	}
	for i, name := range p.Classes {
		if match[i] >= 0 {
			name = classes[match[i]]
		}
		t.names, t.known = append(t.names, utf8name.Ensure(name)), append(t.known, match[i] >= 0)
	}
	for _, e := range p.Labels {
		t.labels[e] = true
	}
	for _, e := range p.Repeats {
		t.repeats[e] = true
	}
	for _, split := range p.Splits {
		for i := range split.Images {
			image := &split.Images[i]
			class := image.Class
			switch {
			case class < 0:
			case t.known[class]:
				t.count++
			case image.Label.Kind == source.NoLabel && !classlist.IsSynset(t.names[class]):
				class = -1
			}
			t.places[image.Entry] = place{split.Name, class}
		}
	}
	return t
}
