package modelcard

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/internal/hubcard"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/provenance"
)

// Write writes the card: in front what the hub's tools read (its model-index has top-1 and
// top-5 of each file of predictions), below for people.
func (c *Card) Write(w io.Writer) error {
	var b strings.Builder
	title := cmp.Or(c.Title, c.spec.Model, c.File)
	c.front(&b, title)
	fmt.Fprintf(&b, "# %s\n\n", hubcard.Text(title))
	c.describe(&b)
	c.accuracy(&b)
	c.use(&b)
	c.madeFrom(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Card) front(b *strings.Builder, title string) {
	b.WriteString("---\nlibrary_name: onnx\npipeline_tag: image-classification\n")
	if c.spec.Model != "" {
		fmt.Fprintf(b, "tags:\n- %s\n", hubcard.Quoted(c.spec.Model))
	}
	if len(c.evaluated) > 0 {
		fmt.Fprintf(b, "model-index:\n- name: %s\n  results:\n", hubcard.Quoted(title))
	}
	for _, e := range c.evaluated {
		name, sum := e.name(), e.over.Digest.Value
		fmt.Fprintf(b, "  - task:\n      type: image-classification\n    dataset:\n      name: %s\n      type: %s\n      revision: %s\n    metrics:\n",
			hubcard.Quoted(name), hubcard.Quoted(string(e.over.Kind)), hubcard.Quoted(sum))
		for _, k := range e.accuracies() {
			fmt.Fprintf(b, "    - type: accuracy\n      name: top-%d\n      value: %s\n", k.k, fixed(k.share, 6))
		}
	}
	b.WriteString("---\n\n")
}

// describe says what the model takes and gives.
func (c *Card) describe(b *strings.Builder) {
	s := c.spec
	if n, err := s.Network(false); err == nil { // else a network of somebody else's
		cost := n.Cost()
		fmt.Fprintf(b, "%s with %.3g million parameters and %.3g billion multiply-adds an image, as ONNX (opset %d).\n\n",
			hubcard.Text(s.Model), float64(cost.MainParameters)/1e6, float64(cost.Multiplies)/1e9, c.info.Opset)
	}
	b.WriteString("| | |\n|---|---|\n")
	for _, v := range c.info.Inputs {
		fmt.Fprintf(b, "| input | %s |\n", value(v))
	}
	for _, v := range c.info.Outputs {
		fmt.Fprintf(b, "| output | %s |\n", value(v))
	}
	shape := fmt.Sprintf("the shorter side becomes %d pixels", s.Resize)
	if s.Square {
		shape = fmt.Sprintf("both sides become %d pixels", s.Resize)
	}
	fmt.Fprintf(b, "| pixels | RGB; %s (%s, antialiased), the middle %d x %d of them |\n", shape, s.Interpolation, s.InputSize, s.InputSize)
	if s.Alpha != "" {
		fmt.Fprintf(b, "| transparent pixels | lie over %s |\n", s.Alpha)
	}
	fmt.Fprintf(b, "| normalised by | mean %s, standard deviation %s of values from 0 to 1 |\n", triple(s.Mean), triple(s.Std))
	fmt.Fprintf(b, "| classes | %d, listed in the file's metadata, `%s` |\n\n", len(s.Classes), model.SpecKey)
}

// value is an input or output in a line.
func value(v onnx.Value) string {
	dims := make([]string, len(v.Dims))
	for i, d := range v.Dims {
		if dims[i] = strconv.FormatInt(d, 10); d < 0 {
			dims[i] = "N"
		}
	}
	return fmt.Sprintf("%s: %s %s", hubcard.Text(v.Name), v.Type, strings.Join(dims, " x "))
}

func triple(v [3]float64) string { return fmt.Sprintf("%g, %g, %g", v[0], v[1], v[2]) }

// accuracyAt is the share of images whose truth is among the first k predictions.
type accuracyAt struct {
	k, right, of int
	share        float64
}

// accuracies are top-1, and top-5 or as many as were kept.
func (e *evaluation) accuracies() []accuracyAt {
	h := e.report.Headline()
	out := []accuracyAt{{1, h.Right1, h.Images, float64(h.Right1) / float64(h.Images)}}
	if h.K > 1 {
		out = append(out, accuracyAt{h.K, h.Right5, h.Images, float64(h.Right5) / float64(h.Images)})
	}
	return out
}

// name is what was predicted over, for people.
func (e *evaluation) name() string {
	name := strings.TrimSuffix(e.over.Name, "/index.arrow")
	for _, f := range e.over.Facts {
		name += ", " + f.Name + " " + f.Value
	}
	return name
}

const worstShown = 5

// accuracy says how right the model is.
func (c *Card) accuracy(b *strings.Builder) {
	for i, e := range c.evaluated {
		if i == 0 {
			b.WriteString("## Accuracy\n\n| images | measure | | 95 % interval |\n|---|---|---|---|\n")
		}
		h := e.report.Headline()
		for _, a := range e.accuracies() {
			in := eval.Wilson(a.right, a.of)
			fmt.Fprintf(b, "| %s (%d) | top-%d | %.2f %% | %.2f to %.2f %% |\n", hubcard.Text(e.name()), h.Images, a.k, 100*a.share, 100*in.Low, 100*in.High)
		}
		fmt.Fprintf(b, "| %s (%d) | expected calibration error | %.4f | |\n", hubcard.Text(e.name()), h.Images, e.report.Calibration.ECE)
		if h.Unreadable > 0 {
			fmt.Fprintf(b, "| %s (%d) | unreadable, counted as wrong | %d | |\n", hubcard.Text(e.name()), h.Images, h.Unreadable)
		}
	}
	for _, e := range c.evaluated {
		worst := e.report.Worst(worstShown)
		var names []string
		for _, s := range worst {
			names = append(names, fmt.Sprintf("%s %.0f %% of %d", hubcard.Text(s.Synset), 100*s.Top1, s.N))
		}
		fmt.Fprintf(b, "\nLeast often right over %s: %s.\n", hubcard.Text(e.name()), strings.Join(names, ", "))
	}
	if len(c.evaluated) > 0 {
		b.WriteByte('\n')
	}
}

// use says what to type: synshard's command, and what the same is in Python.
func (c *Card) use(b *strings.Builder) {
	fmt.Fprintf(b, "## Use\n\n    synshard infer %s PHOTOS --format ndjson\n\n", hubcard.Text(c.File))
	at := slices.IndexFunc(c.info.Outputs, func(v onnx.Value) bool { return v.Name == "probabilities" })
	if at < 0 || len(c.info.Inputs) != 1 || c.info.Inputs[0].Type != "uint8" || c.spec.Alpha != "" {
		return // a file of somebody else's, whose way may be another
	}
	size := strconv.Itoa(c.spec.Resize)
	if c.spec.Square {
		size = fmt.Sprintf("(%d, %d)", c.spec.Resize, c.spec.Resize)
	}
	fmt.Fprintf(b, `In Python:

`+"```python"+`
import json

import numpy
import onnxruntime
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

pixels = v2.Compose([v2.Resize(%s, InterpolationMode.%s), v2.CenterCrop(%d)])
session = onnxruntime.InferenceSession(%s)
classes = json.loads(session.get_modelmeta().custom_metadata_map[%q])["classes"]
image = numpy.asarray(pixels(Image.open("photo.jpg").convert("RGB")))
probabilities, = session.run(["probabilities"], {%s: image[None]})
print(classes[probabilities[0].argmax()], probabilities[0].max())
`+"```\n\n", size, strings.ToUpper(c.spec.Interpolation), c.spec.InputSize, hubcard.Quoted(c.File), model.SpecKey, hubcard.Quoted(c.info.Inputs[0].Name))
}

// madeFrom tells what the file says of its making.
func (c *Card) madeFrom(b *strings.Builder) {
	b.WriteString("## Made from\n\n")
	row := func(name, value string) { fmt.Fprintf(b, "| %s | %s |\n", hubcard.Text(name), hubcard.Text(value)) }
	b.WriteString("| | |\n|---|---|\n")
	row("this file", digest(c.made.Digest))
	for _, in := range c.made.From {
		row(string(in.Kind)+" "+in.Name, digest(in.Digest))
	}
	for _, f := range c.made.Facts {
		row(f.Name, f.Value)
	}
}

func digest(d provenance.Digest) string { return strings.TrimSpace(d.Algorithm + " " + d.Value) }

// fixed is a number with as many places, without zeros at its end.
func fixed(v float64, places int) string {
	scale := math.Pow(10, float64(places))
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}
