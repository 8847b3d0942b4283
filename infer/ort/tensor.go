package ort

import (
	"fmt"
	"regexp"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/classifier"
)

// tensor makes n images, uint8 [n, size, size, 3], what the model takes. done
// frees it.
func (s *Session) tensor(images []byte, n int) (in ort.Value, done func(), err error) {
	size := s.o.Spec.InputSize
	images, shape := images[:n*size*size*3], s.o.shape(s.c, n)
	if s.c.Type == "uint8" {
		if s.c.Layout == classifier.NCHW {
			planes := make([]byte, len(images))
			s.pixels.Bytes(planes, images)
			images = planes
		}
		t, err := ort.NewTensor(shape, images)
		return t, func() { t.Destroy() }, err
	}
	kept, _ := s.buffers.Get().(*[]float32)
	if kept == nil || cap(*kept) < len(images) {
		fresh := make([]float32, len(images))
		kept = &fresh
	}
	buf := (*kept)[:len(images)]
	s.pixels.Floats(buf, images)
	t, err := ort.NewTensor(shape, buf)
	return t, func() { t.Destroy(); s.buffers.Put(kept) }, err
}

// probe runs the model once over an image of many colours: it learns how many
// classes there are and whether scores are probabilities, and a GPU gets ready.
func (s *Session) probe() error {
	n := max(s.c.Batch, 1)
	if s.o.Provider != "cpu" && s.c.Batch == 0 {
		n = max(s.o.Batch, 1)
	}
	in, done, err := s.tensor(infer.Noise(n, s.o.Spec.InputSize), n)
	if err != nil {
		return err
	}
	defer done()
	values := make([]ort.Value, len(s.outputs))
	defer destroy(values)
	if err := s.session.Run([]ort.Value{in}, values); err != nil {
		return fmt.Errorf("first run: %w", err)
	}
	scores, ok := values[0].(*ort.Tensor[float32])
	shape := values[0].GetShape()
	if !ok || len(shape) != 2 || shape[0] != int64(n) {
		return fmt.Errorf("output %s has the shape %v for %d images", s.c.Output, shape, n)
	}
	return s.c.Learn(scores.GetData(), n, len(s.o.Spec.Classes))
}

// destroy frees those of the values that there are.
func destroy(values []ort.Value) {
	for _, v := range values {
		if v != nil {
			v.Destroy()
		}
	}
}

var (
	supportedOpset = regexp.MustCompile(`(?i)up to(?: and including)? (?:version |opset )?(\d+)|till opset (\d+)`)
	supportedIR    = regexp.MustCompile(`max supported IR version: (\d+)`)
)

// explain says in plain words why ONNX Runtime does not take a model, and what
// mends it.
func explain(path string, opset int64, err error) error {
	text, version := err.Error(), ort.GetVersion()
	first := func(re *regexp.Regexp) string {
		for _, m := range re.FindStringSubmatch(text)[min(1, len(re.FindStringSubmatch(text))):] {
			if m != "" {
				return m
			}
		}
		return "an older one"
	}
	switch {
	case strings.Contains(text, "IR version"):
		return fmt.Errorf("%s: %w: the file's IR version is newer than ONNX Runtime %s reads (%s): use a newer library, or export it again with an older onnx package: %w", path, ErrTooNew, version, first(supportedIR), err)
	case strings.Contains(text, "opset"):
		return fmt.Errorf("%s: %w: the model is of opset %d, ONNX Runtime %s knows %s: use a newer library, or export it again with an older opset: %w", path, ErrTooNew, opset, version, first(supportedOpset), err)
	case strings.Contains(text, "is not a registered function/op"), strings.Contains(text, "Could not find an implementation"):
		return fmt.Errorf("%s: %w: the model has an operator that ONNX Runtime %s does not run (opset %d): %w", path, ErrTooNew, version, opset, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
