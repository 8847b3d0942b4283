package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/model/weights/pth"
)

// Forms are the forms of files of weights that others read, which are the endings of
// their names too: a state dict of PyTorch's, safetensors with the Spec, and the network
// for prediction.
var Forms = []string{"pth", "safetensors", "onnx"}

// FormOf is the form that a file's name says; "" where it says none.
func FormOf(path string) string {
	form := strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), ".")
	if !slices.Contains(Forms, form) {
		return ""
	}
	return form
}

// ErrNoSpec is a file of weights that does not say how they are used.
var ErrNoSpec = errors.New("no " + model.SpecKey + " in its metadata")

// ReadAny reads a file of weights in any form: what weights.ReadFile reads, or an ONNX
// file's initializers, for which there are no options.
func ReadAny(path string, o weights.Options) (*weights.File, error) {
	if FormOf(path) != "onnx" {
		return weights.ReadFile(path, o)
	}
	if o != (weights.Options{}) {
		return nil, fmt.Errorf("%s: an ONNX file has one set of weights, without averages", path)
	}
	tensors, meta, err := onnx.ReadWeights(path)
	return &weights.File{Tensors: tensors, Metadata: meta}, err
}

// Fitted are weights in the shape of a network: float32, by its names, in its order.
type Fitted struct {
	Network *model.Network // whose parameters these are
	Spec    model.Spec     // how images are made ready, and the classes
	Tensors []model.Tensor // float32
	// MadeFrom is what the weights were made from, as the file has it under
	// model.MadeFromKey; "": nothing is said.
	MadeFrom string
}

// NotFinite names a tensor with values that are no finite numbers; "": there is none.
func (f *Fitted) NotFinite() string {
	for _, t := range f.Tensors {
		values, err := t.Floats()
		if err == nil && slices.ContainsFunc(values, func(v float32) bool { return v-v != 0 }) {
			return t.Name
		}
	}
	return ""
}

// Recorded fits the weights of a file, averaged ones where it has them, to the network
// that the file says they are of. Without a Spec in it, it is ErrNoSpec.
func Recorded(file *weights.File) (Fitted, error) {
	text := file.Metadata[model.SpecKey]
	if text == "" {
		return Fitted{}, ErrNoSpec
	}
	spec, err := model.ParseSpec(text)
	if err != nil {
		return Fitted{}, err
	}
	tensors := Weights(file.Tensors, true)
	f, err := Fit(weights.WithWidth(spec, tensors), tensors)
	f.MadeFrom = MadeFromOf(file.Metadata)
	return f, err
}

// MadeFromOf is what the metadata of weights say that they were made from, a checkpoint's
// too, as JSON; "": nothing.
func MadeFromOf(meta map[string]string) string {
	if text := meta[model.MadeFromKey]; text != "" {
		return text
	}
	var at Position
	if json.Unmarshal([]byte(meta[weights.StateKey]), &at) != nil {
		return ""
	}
	return at.MadeFrom.JSON()
}

// Fit fits tensors to the network of a Spec, as weights.Fit does.
func Fit(spec model.Spec, tensors []model.Tensor) (Fitted, error) {
	net, values, err := weights.Fit(spec, tensors)
	return Fitted{Network: net, Spec: spec, Tensors: values}, err
}

// ExportedMetadata are those of weights as safetensors.
func ExportedMetadata(spec model.Spec, madeFrom string) map[string]string {
	meta := map[string]string{"format": "pt", model.SpecKey: spec.JSON()}
	if madeFrom != "" {
		meta[model.MadeFromKey] = madeFrom
	}
	return meta
}

// Write writes the weights to a file in one of Forms, whole or not at all.
func (f Fitted) Write(path, form string) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		switch form {
		case "pth":
			return pth.Write(w, f.Tensors)
		case "safetensors":
			return weights.WriteSummed(w, f.Tensors, ExportedMetadata(f.Spec, f.MadeFrom))
		case "onnx":
			return onnx.WriteMade(w, f.Network, f.Tensors, f.Spec, f.MadeFrom)
		}
		return fmt.Errorf("form %q of weights: want one of %s", form, strings.Join(Forms, ", "))
	})
}
