package model

import (
	"encoding/json"
	"fmt"
	"math"
)

// SpecKey is the metadata key under which a Spec travels, in safetensors and
// in ONNX.
const SpecKey = "synshard.spec"

// MadeFromKey is the metadata key under which weights say what they were made from: JSON, an
// object of texts by name, as a run's checkpoints have it.
const MadeFromKey = "synshard.made_from"

// PixelScale and PixelShift are the tensors of an ONNX file of ours that make pixels
// ready, as the Spec says: they lie among the weights and are no parameters.
const (
	PixelScale = "normalise.scale"
	PixelShift = "normalise.shift"
)

// Spec is what travels with weights: how an image is made ready for them and
// what their outputs mean. Preprocessing is data.
type Spec struct {
	Model         string     `json:"model"`           // as New names it
	Width         float64    `json:"width,omitempty"` // multiplier of the network's channel counts; 0 means 1
	InputSize     int        `json:"input_size"`      // pixels, height and width
	Resize        int        `json:"resize"`          // pixels of the shorter side before the centre crop; InputSize or more
	Square        bool       `json:"square"`          // both sides become Resize instead
	Interpolation string     `json:"interpolation"`   // bilinear or bicubic, antialiased
	Mean          [3]float64 `json:"mean"`            // red, green, blue, of pixels in [0,1]
	Std           [3]float64 `json:"std"`             // likewise: a pixel p becomes (p-Mean)/Std
	Alpha         string     `json:"alpha,omitempty"` // what transparent pixels lie over: black or white; "": their colours are taken as they are stored
	Classes       []string   `json:"classes"`         // synsets, or names, in label order
}

// Bounds of a Spec, beyond which memory would decide.
const (
	MaxSize    = 4096    // pixels of a network's input
	MaxResize  = 1 << 14 // pixels of the shorter side before it
	MaxClasses = 1 << 20
	maxWidth   = 16.0
)

// Check says what is wrong with a Spec, if anything.
func (s Spec) Check() error {
	switch {
	case s.InputSize < 1 || s.InputSize > MaxSize:
		return fmt.Errorf("spec: input size %d: want 1 to %d", s.InputSize, MaxSize)
	case s.Resize < s.InputSize || s.Resize > MaxResize:
		return fmt.Errorf("spec: resize %d: want the input size, %d, or more, up to %d", s.Resize, s.InputSize, MaxResize)
	case s.Interpolation != "bilinear" && s.Interpolation != "bicubic":
		return fmt.Errorf("spec: interpolation %q: want bilinear or bicubic", s.Interpolation)
	case s.Alpha != "" && s.Alpha != "black" && s.Alpha != "white":
		return fmt.Errorf("spec: alpha %q: want black or white", s.Alpha)
	case s.Width < 0 || s.Width > maxWidth:
		return fmt.Errorf("spec: width %v: want above 0, up to %v", s.Width, maxWidth)
	case len(s.Classes) == 0:
		return fmt.Errorf("spec: no classes")
	case len(s.Classes) > MaxClasses:
		return fmt.Errorf("spec: %d classes, more than %d", len(s.Classes), MaxClasses)
	}
	for i := range s.Std {
		// Beyond these a pixel is no number of 32 bits any more.
		if !(s.Std[i] >= 1e-6 && s.Std[i] <= 1e6) || !(math.Abs(s.Mean[i]) <= 1e6) {
			return fmt.Errorf("spec: mean %v, standard deviations %v: want numbers, and deviations above 0", s.Mean, s.Std)
		}
	}
	return nil
}

// Network builds the network that the spec is of, with its auxiliary heads or
// without.
func (s Spec) Network(aux bool) (*Network, error) {
	n, err := New(s.Model, Options{Classes: len(s.Classes), Aux: aux, Dropout: -1, Width: s.Width})
	if err != nil {
		return nil, err
	}
	n.Input = s.InputSize
	if _, err := n.Shapes(); err != nil {
		return nil, fmt.Errorf("images of %d pixels: %w", s.InputSize, err)
	}
	return n, nil
}

// SameInput says whether two specs normalise colours alike.
func (s Spec) SameInput(o Spec) bool { return s.Mean == o.Mean && s.Std == o.Std }

// JSON is the form it travels in.
func (s Spec) JSON() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers and strings only
	}
	return string(b)
}

// ParseSpec reads the JSON form and checks it.
func ParseSpec(text string) (Spec, error) {
	var s Spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("spec: %w", err)
	}
	return s, s.Check()
}
