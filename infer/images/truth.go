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
	match, doubts := matches(p, classes, model)
	t.notes = append(slices.Clone(t.notes), doubts...)
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

// matches gives the place of each of a plan's classes among a model's, -1 for none, and what is to be said of
// names that are several of them. Several names may be one class: two directories of it, spelled
// differently. Places in a column's own list tell names apart, those of directories nothing. model is nil where a
// name stands twice among the classes.
func matches(p *layout.Plan, classes []string, model *classlist.List) (match []int, doubts []string) {
	names := p.Classes
	match = make([]int, len(names))
	if model == nil {
		for i, name := range names {
			match[i] = slices.Index(classes, name)
			if at := match[i]; at >= 0 && slices.Contains(classes[at+1:], name) {
				match[i], doubts = -1, append(doubts, doubtful(name, "two classes of the model have this name"))
			}
		}
		return match, shortened(doubts)
	}
	for i := range match {
		match[i] = -1
	}
	if list, err := classlist.New(names, nil, "the images"); err == nil && labelled(p) {
		match = classlist.Match(list, model)
	}
	for i, name := range names {
		if match[i] >= 0 {
			continue
		}
		var none *classlist.NotInList
		at, err := model.Name(name)
		switch {
		case err == nil:
			match[i] = at
		case errors.As(err, &none) && none.Several:
			doubts = append(doubts, doubtful(name, none.Reason))
		}
	}
	return match, shortened(doubts)
}

// labelled says whether a plan's classes are those of columns.
func labelled(p *layout.Plan) bool {
	return slices.ContainsFunc(p.Splits, func(s layout.Split) bool {
		return slices.ContainsFunc(s.Images, func(i layout.Image) bool { return i.Label.Kind != source.NoLabel })
	})
}

func doubtful(name, why string) string {
	return fmt.Sprintf("%q: %s: none of them is taken as a truth", name, why)
}

// shortened are the first of lines, and how many more there are.
func shortened(lines []string) []string {
	if more := len(lines) - mostNames; more > 0 {
		return append(lines[:mostNames:mostNames], fmt.Sprintf("%d more names are of several classes of the model", more))
	}
	return lines
}
