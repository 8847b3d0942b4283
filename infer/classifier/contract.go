// Package classifier says what an ONNX classifier of images takes and gives, by its own words
// and those of its user, and makes images what it takes. What runs it is others' to say.
package classifier

import (
	"fmt"
	"strings"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
)

// Layouts of an image's tensor.
const (
	NHWC = "nhwc"
	NCHW = "nchw"
)

// Contract is what a model takes and gives.
type Contract struct {
	// Identity is the model's, by all its files.
	Identity onnx.Identity

	Spec  *model.Spec // in the model's metadata; nil: none
	Opset int64       // of ONNX's own operators

	Input   string // its name
	Type    string // uint8, which the model normalises, or float, which it wants normalised
	Layout  string // NHWC or NCHW
	Size    int    // pixels, height and width; 0: free
	Batch   int    // images a run; 0: free
	Output  string // of scores, float [N, Classes]
	Scores  string // probabilities or logits; "" if the model does not say
	By      string // operator whose values the scores are; "": not known
	Classes int    // 0: not said
	Embed   string // output of the embedding, float [N, Width]; "": none
	Width   int    // 0: no embedding
	Logits  string // the tensor that a last Softmax takes; "": none
	// Chosen is what a Choice made otherwise than the model by itself would be taken, by the
	// names of flags: it is part of what predictions are.
	Chosen map[string]string
}

// Choice names what a model's own words leave open; all may be empty.
type Choice struct {
	Input, Layout     string // the input's name; NHWC or NCHW
	Output, Embedding string // names of outputs
	Scores            string // probabilities or logits
}

// Describe reads what a model takes and gives, without running anything. A file
// that is no sound ONNX is model.ErrFormat; what cannot be a classifier of images,
// or can be in several ways, is an error that names the values.
func Describe(path string, o Choice) (*Contract, error) {
	m, identity, err := onnx.Load(path)
	if err != nil {
		return nil, err
	}
	info, err := m.Info()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c := &Contract{Identity: identity, Opset: info.Opset, Scores: o.Scores}
	if text, ok := info.Metadata[model.SpecKey]; ok {
		spec, err := model.ParseSpec(text)
		if err != nil {
			return nil, fmt.Errorf("%s: metadata %s: %w", path, model.SpecKey, err)
		}
		c.Spec = &spec
	}
	if err := c.findInput(info, o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := c.findOutputs(info, o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.Chosen = c.chosen(info)
	c.Logits, c.By = m.BeforeSoftmax(c.Output), m.ValuesOf(c.Output)
	if err := c.settleScores(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// chosen gives Chosen, once input and outputs are found.
func (c *Contract) chosen(info *onnx.Info) map[string]string {
	var own Contract
	out := map[string]string{}
	if own.findInput(info, Choice{}) != nil || own.Layout != c.Layout {
		out["tensor-layout"] = c.Layout
	}
	if own.findOutputs(info, Choice{}) != nil || own.Output != c.Output {
		out["output"] = c.Output
	}
	if c.Embed != "" && own.Embed != c.Embed {
		out["embedding-output"] = c.Embed
	}
	return out
}

// findInput finds the input and how images lie in it.
func (c *Contract) findInput(info *onnx.Info, o Choice) error {
	in, err := pick(info.Inputs, o.Input, "input", func(v onnx.Value) bool { return len(v.Dims) == 4 })
	if err != nil {
		return err
	}
	if len(info.Inputs) != 1 {
		return fmt.Errorf("inputs %s: a classifier takes one, the images", list(info.Inputs))
	}
	c.Input, c.Type = in.Name, in.Type
	if len(in.Dims) != 4 || in.Type != "uint8" && in.Type != "float" {
		return fmt.Errorf("input %s: want images as float or uint8 of four dimensions", show(in))
	}
	first, last := in.Dims[1] == 3, in.Dims[3] == 3
	switch {
	case o.Layout == NCHW || o.Layout == NHWC:
		c.Layout = o.Layout
	case o.Layout != "":
		return fmt.Errorf("layout %q: want %s or %s", o.Layout, NCHW, NHWC)
	case first && !last:
		c.Layout = NCHW
	case last && !first:
		c.Layout = NHWC
	default:
		return fmt.Errorf("input %s: the colours could be at either place; say --tensor-layout %s or %s", show(in), NCHW, NHWC)
	}
	channels, h, w := in.Dims[1], in.Dims[2], in.Dims[3]
	if c.Layout == NHWC {
		h, w, channels = in.Dims[1], in.Dims[2], in.Dims[3]
	}
	if channels != 3 && channels > 0 || h != w && h > 0 && w > 0 {
		return fmt.Errorf("input %s as %s: want square images of three colours", show(in), c.Layout)
	}
	c.Size, c.Batch = int(max(h, w, 0)), int(max(in.Dims[0], 0))
	return nil
}

// findOutputs finds the scores and the embedding among the outputs.
func (c *Contract) findOutputs(info *onnx.Info, o Choice) error {
	name := o.Output
	for _, v := range info.Outputs {
		if name == "" && v.Name == "probabilities" {
			name = v.Name
		}
	}
	matrix := func(v onnx.Value) bool { return v.Type == "float" && len(v.Dims) == 2 }
	out, err := pick(info.Outputs, name, "output", func(v onnx.Value) bool {
		return matrix(v) && v.Name != "embedding" && v.Name != o.Embedding
	})
	if err != nil {
		return err
	}
	if !matrix(out) {
		return fmt.Errorf("output %s: want scores as float of two dimensions, images and classes", show(out))
	}
	c.Output, c.Classes = out.Name, int(max(out.Dims[1], 0))
	embedding := o.Embedding
	for _, v := range info.Outputs {
		if embedding == "" && v.Name == "embedding" && matrix(v) {
			embedding = v.Name
		}
	}
	if embedding == "" {
		return nil
	}
	e, err := pick(info.Outputs, embedding, "output", matrix)
	if err != nil {
		return err
	}
	if !matrix(e) || e.Dims[1] < 1 {
		return fmt.Errorf("output %s: want an embedding as float of two dimensions, the second known", show(e))
	}
	c.Embed, c.Width = e.Name, int(e.Dims[1])
	return nil
}

// pick finds a value by name or, without one, the only one that fits.
func pick(values []onnx.Value, name, what string, fits func(onnx.Value) bool) (onnx.Value, error) {
	var found []onnx.Value
	for _, v := range values {
		if name == v.Name || name == "" && fits(v) {
			found = append(found, v)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case name != "":
		return onnx.Value{}, fmt.Errorf("no %s %s; there are %s", what, name, list(values))
	case len(found) == 0:
		return onnx.Value{}, fmt.Errorf("no %s that fits a classifier of images among %s", what, list(values))
	}
	return onnx.Value{}, fmt.Errorf("several %ss could be meant, %s: name one with --%s", what, list(found), what)
}

func show(v onnx.Value) string {
	dims := make([]string, len(v.Dims))
	for i, d := range v.Dims {
		if dims[i] = "N"; d >= 0 {
			dims[i] = fmt.Sprint(d)
		}
	}
	return fmt.Sprintf("%s %s[%s]", v.Name, v.Type, strings.Join(dims, ","))
}

func list(values []onnx.Value) string {
	var names []string
	for _, v := range values {
		names = append(names, show(v))
	}
	return strings.Join(names, " and ")
}

// CheckClasses refuses a class list of another length than the scores have.
func (c *Contract) CheckClasses(names int) error {
	switch {
	case c.Classes == 0 || c.Classes == names:
		return nil
	case c.Classes == names+1:
		return fmt.Errorf("the class list has %d names and the model %d classes: a model of TensorFlow's has a background class first; add its name to the list", names, c.Classes)
	}
	return fmt.Errorf("the class list has %d names and the model %d classes: it is of another model, and no label would be right", names, c.Classes)
}

// Settle gives the Spec by which the model is run: spec, or the model's own where spec names no
// classes. What does not fit the model is an error.
func (c *Contract) Settle(spec model.Spec) (model.Spec, error) {
	if len(spec.Classes) == 0 {
		if c.Spec == nil {
			return spec, fmt.Errorf("no %s in its metadata, which says how images are made ready and what the classes are: give them as --spec FILE or as flags", model.SpecKey)
		}
		spec = *c.Spec
	}
	if err := spec.Check(); err != nil {
		return spec, err
	}
	if c.Size > 0 && c.Size != spec.InputSize {
		return spec, fmt.Errorf("the model takes images of %d pixels, the spec says %d", c.Size, spec.InputSize)
	}
	return spec, c.CheckClasses(len(spec.Classes))
}
