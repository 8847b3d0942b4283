package classifier

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/synshard/synshard/model"
)

// Given is what the caller says of a model; the zero value says nothing. What it
// says wins over what the model's file says.
type Given struct {
	Spec          *model.Spec // in place of the file's
	Size, Resize  int         // pixels; 0: not said
	Interpolation string      // bilinear or bicubic
	Mean, Std     *[3]float64 // of red, green, blue in [0,1]
	Classes       []string    // by label
}

// Notes are what was said of a model, for the metadata of what it predicts: single values
// by their names, without those that say nothing. What files a Spec and a class list came
// from the caller knows.
func (g *Given) Notes(c Choice) map[string]string {
	notes := map[string]string{
		"interpolation": g.Interpolation, "layout": c.Layout, "input": c.Input, "output": c.Output,
		"embedding-output": c.Embedding, "scores": c.Scores,
	}
	for name, v := range map[string]int{"input-size": g.Size, "resize": g.Resize} {
		if v != 0 {
			notes[name] = strconv.Itoa(v)
		}
	}
	for name, v := range map[string]*[3]float64{"mean": g.Mean, "std": g.Std} {
		if v != nil {
			notes[name] = fmt.Sprint(*v)
		}
	}
	maps.DeleteFunc(notes, func(_, value string) bool { return value == "" })
	return notes
}

// SpecError is something that was said of a model and does not fit it, or that has to be
// said of it and was not: other flags mend it.
type SpecError struct{ err error }

func (e *SpecError) Error() string { return e.err.Error() }
func (e *SpecError) Unwrap() error { return e.err }

func specErrorf(format string, args ...any) error {
	return &SpecError{fmt.Errorf(format, args...)}
}

// Own is the Spec by which the model at path is run before single values of given
// count: given's, the file's, or what the model's shape says. It may lack classes and
// sizes.
func (c *Contract) Own(path string, given Given) (model.Spec, error) {
	if c.Type == "uint8" && (given.Mean != nil || given.Std != nil) {
		return model.Spec{}, specErrorf("%s: the model takes uint8 and normalises inside: --mean and --std would change nothing", path)
	}
	switch {
	case given.Spec != nil:
		return *given.Spec, nil
	case c.Spec != nil:
		return *c.Spec, nil
	case c.Type == "float" && (given.Mean == nil || given.Std == nil):
		return model.Spec{}, specErrorf("%s: the model has no %s in its metadata, and takes floats: say how colours are normalised with --mean and --std (torchvision's: --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225; none: --mean 0 --std 1), or all with --spec FILE", path, model.SpecKey)
	}
	name := strings.TrimSuffix(filepath.Base(path), ".onnx")
	return model.Spec{Model: name, InputSize: c.Size, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}}, nil
}

// Resolve is the Spec by which the model at path is run: Own, and over it what is given.
// The error is a SpecError, or that classes and model do not fit each other.
func (c *Contract) Resolve(path string, given Given) (model.Spec, error) {
	s, err := c.Own(path, given)
	if err != nil {
		return s, err
	}
	given.over(&s)
	if s.Resize == 0 {
		s.Resize = s.InputSize
	}
	switch {
	case s.InputSize == 0:
		return s, specErrorf("%s: the model takes images of any size: say which with --input-size", path)
	case len(s.Classes) == 0:
		return s, specErrorf("%s: the model does not name its classes, and no order is guessed: give --classes DATASET, a file of names in label order, or imagenet-1k", path)
	}
	if err := c.CheckClasses(len(s.Classes)); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.Check(); err != nil { // a model's own Spec was checked as it was read
		return s, specErrorf("%s: %w", path, err)
	}
	return s, nil
}

// over puts what is given over s.
func (g *Given) over(s *model.Spec) {
	if g.Size != 0 {
		s.InputSize = g.Size
	}
	if g.Resize != 0 {
		s.Resize = g.Resize
	}
	if g.Interpolation != "" {
		s.Interpolation = g.Interpolation
	}
	if g.Mean != nil {
		s.Mean = *g.Mean
	}
	if g.Std != nil {
		s.Std = *g.Std
	}
	if g.Classes != nil {
		s.Classes = g.Classes
	}
}
