package ort

import (
	"context"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/synshard/synshard/model/onnx"
)

// Maps is a model that is open to say where in an image it finds a class. It runs on the
// CPU, and is for many goroutines.
type Maps struct {
	s      *Session
	pooled *onnx.Pooled
}

// OpenMaps opens a model as Open does, for class activation maps alone. A model whose scores
// are no linear layer over the mean of feature maps is an error; see onnx.Pooled.
func OpenMaps(o Options) (*Maps, error) {
	o.Provider = "cpu"
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	file, err := onnx.ReadFile(o.Model)
	if err != nil {
		return nil, err
	}
	m := &Maps{s: s}
	if m.pooled, err = file.Pooled(s.c.Output); err != nil {
		return nil, fmt.Errorf("%s: where it finds a class cannot be said: %w", o.Model, err)
	}
	if got, names := m.pooled.Classes(), len(s.o.Spec.Classes); got != names {
		return nil, fmt.Errorf("%s: its last layer is of %d classes, the class list has %d names", o.Model, got, names)
	}
	file.AddOutputOfAnyShape(m.pooled.Maps)
	s.outputs = []string{m.pooled.Maps}
	err = s.start(func() error {
		so, err := s.o.sessionOptions(s.c)
		if err != nil {
			return err
		}
		defer so.Destroy()
		return s.openEdited(file, so)
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Of gives for each of some classes what every place of an image adds to its score: a grid
// of so many columns, row by row from the top left. The mean of a grid and the class's bias
// are its logit. The image is uint8 [size, size, 3].
func (m *Maps) Of(ctx context.Context, image []byte, classes []int) (grids [][]float32, columns int, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	n := max(m.s.c.Batch, 1) // of which the others stay black
	images := make([]byte, n*m.s.o.Spec.InputSize*m.s.o.Spec.InputSize*3)
	copy(images, image)
	in, done, err := m.s.tensor(images, n)
	if err != nil {
		return nil, 0, fmt.Errorf("class activation maps: %w", err)
	}
	defer done()
	values := make([]ort.Value, 1)
	defer destroy(values)
	if err := m.s.session.Run([]ort.Value{in}, values); err != nil {
		return nil, 0, fmt.Errorf("class activation maps: %w", err)
	}
	maps, ok := values[0].(*ort.Tensor[float32])
	shape := values[0].GetShape()
	if !ok || len(shape) != 4 || shape[1] != int64(m.pooled.Channels) {
		return nil, 0, fmt.Errorf("class activation maps: %s has the shape %v, want %d maps", m.pooled.Maps, shape, m.pooled.Channels)
	}
	places := int(shape[2] * shape[3])
	for _, c := range classes {
		grids = append(grids, m.weighted(maps.GetData(), c, places))
	}
	return grids, int(shape[3]), nil
}

// weighted sums up the maps of the first image by a class's weights.
func (m *Maps) weighted(maps []float32, class, places int) []float32 {
	grid := make([]float32, places)
	for k, w := range m.pooled.Weights[class*m.pooled.Channels:][:m.pooled.Channels] {
		for i, v := range maps[k*places:][:places] {
			grid[i] += w * v
		}
	}
	return grid
}

// Close frees the model.
func (m *Maps) Close() error { return m.s.Close() }
