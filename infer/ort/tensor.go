package ort

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/synshard/synshard/model"
)

// normalise tabulates (v/255 - mean) / std for every value of a colour.
func normalise(s *model.Spec) *[3][256]float32 {
	var t [3][256]float32
	for c := range t {
		for v := range t[c] {
			t[c][v] = float32((float64(v)/255 - s.Mean[c]) / s.Std[c])
		}
	}
	return &t
}

// tensor makes n images, uint8 [n, size, size, 3], what the model takes. done
// frees it.
func (s *Session) tensor(images []byte, n int) (in ort.Value, done func(), err error) {
	pixels := s.o.Spec.InputSize * s.o.Spec.InputSize
	images, shape := images[:n*pixels*3], s.o.shape(s.c, n)
	if s.c.Type == "uint8" {
		if s.c.Layout == NCHW {
			planes := make([]byte, len(images))
			planar(planes, images, pixels, func(_ int, v byte) byte { return v })
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
	if s.c.Layout == NCHW {
		planar(buf, images, pixels, func(c int, v byte) float32 { return s.table[c][v] })
	} else {
		for i := 0; i+2 < len(images); i += 3 {
			buf[i], buf[i+1], buf[i+2] = s.table[0][images[i]], s.table[1][images[i+1]], s.table[2][images[i+2]]
		}
	}
	t, err := ort.NewTensor(shape, buf)
	return t, func() { t.Destroy(); s.buffers.Put(kept) }, err
}

// planar takes images apart into planes of one colour.
func planar[T any](dst []T, images []byte, pixels int, f func(c int, v byte) T) {
	for at := 0; at < len(images); at += 3 * pixels {
		src, out := images[at:at+3*pixels], dst[at:at+3*pixels]
		r, g, b := out[:pixels], out[pixels:2*pixels], out[2*pixels:]
		for i := range pixels {
			r[i], g[i], b[i] = f(0, src[3*i]), f(1, src[3*i+1]), f(2, src[3*i+2])
		}
	}
}

// softmax turns rows of logits into probabilities.
func softmax(logits []float32, classes int) []float32 {
	out := make([]float32, len(logits))
	for at := 0; at < len(logits); at += classes {
		row := logits[at : at+classes]
		top := math.Inf(-1)
		for _, v := range row {
			top = max(top, float64(v))
		}
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(float64(v) - top)
		}
		for i, v := range row {
			out[at+i] = float32(math.Exp(float64(v)-top) / sum)
		}
	}
	return out
}

// probe runs the model once over an image of many colours: it learns how many
// classes there are and whether scores are probabilities, and a GPU gets ready.
func (s *Session) probe() error {
	n := max(s.c.Batch, 1)
	if s.o.Provider != "cpu" && s.c.Batch == 0 {
		n = max(s.o.Batch, 1)
	}
	images := make([]byte, n*s.o.Spec.InputSize*s.o.Spec.InputSize*3)
	for i := range images {
		images[i] = byte(i * 2654435761 >> 13)
	}
	in, done, err := s.tensor(images, n)
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
	s.c.Classes = int(shape[1])
	if err := s.c.CheckClasses(len(s.o.Spec.Classes)); err != nil {
		return err
	}
	if s.c.Scores == "" {
		s.c.Scores = "logits"
		if distribution(scores.GetData(), s.c.Classes) {
			s.c.Scores = "probabilities"
		}
	}
	return nil
}

// destroy frees those of the values that there are.
func destroy(values []ort.Value) {
	for _, v := range values {
		if v != nil {
			v.Destroy()
		}
	}
}

// distribution says whether every row is one: not negative, and of sum 1.
func distribution(v []float32, classes int) bool {
	for at := 0; at < len(v); at += classes {
		sum := 0.0
		for _, p := range v[at : at+classes] {
			if p < 0 {
				return false
			}
			sum += float64(p)
		}
		if math.Abs(sum-1) > 1e-3 {
			return false
		}
	}
	return true
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
