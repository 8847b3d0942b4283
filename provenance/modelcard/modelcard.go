// Package modelcard writes the card of a model for Hugging Face's hub: what the model takes
// and gives, how right it is, and what it was made from, by what the files themselves say.
package modelcard

import (
	"errors"
	"fmt"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/provenance"
)

// Errors of Read, to be told apart.
var (
	ErrNoSpec     = errors.New("it does not say what its images and classes are (" + model.SpecKey + " in its metadata)")
	ErrOtherModel = errors.New("another model's predictions")
)

// Card is what a card tells.
type Card struct {
	Title string // what the model is called; "": its network's name
	File  string // name of the ONNX file that the card lies beside

	spec      model.Spec
	info      *onnx.Info
	made      *provenance.Thing
	evaluated []evaluation
}

// evaluation is what predictions of the model came to.
type evaluation struct {
	over   provenance.Input // the images
	report eval.Report
}

// Read reads a model with a Spec, and files of its predictions over images whose truth is known.
func Read(path string, predictions []string) (*Card, error) {
	made, err := provenance.Of(path)
	if err != nil {
		return nil, err
	}
	m, err := onnx.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &Card{made: made}
	if c.info, err = m.Info(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	text := c.info.Metadata[model.SpecKey]
	if text == "" {
		return nil, fmt.Errorf("%s: %w", path, ErrNoSpec)
	}
	if c.spec, err = model.ParseSpec(text); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, model.ErrFormat, err)
	}
	for _, p := range predictions {
		if err := c.evaluate(p); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	return c, nil
}

// evaluate adds what a file of predictions comes to.
func (c *Card) evaluate(path string) error {
	of, err := provenance.Of(path)
	if err != nil {
		return err
	}
	e := evaluation{}
	for _, in := range of.From {
		switch in.Kind {
		case provenance.Model:
			if in.Digest != c.made.Digest {
				return fmt.Errorf("%w, whose %s is %s", ErrOtherModel, in.Digest.Algorithm, in.Digest.Value)
			}
		default:
			e.over = in
		}
	}
	set, err := prediction.Read(path, nil)
	if err != nil {
		return err
	}
	if e.report, err = eval.Evaluate(set); err != nil {
		return err
	}
	c.evaluated = append(c.evaluated, e)
	return nil
}
