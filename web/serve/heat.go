package serve

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/web/explore"
)

// Heat says where in an image a model finds a class: a class activation map.
type Heat struct {
	Model string     // the model's identity
	Eval  pixel.Eval // how an image is made ready for it
	// Of gives for each of some classes a grid of so many columns, row by row from the top
	// left: what every place of an image, uint8 [Eval.Size, Eval.Size, 3], adds to its score.
	Of func(ctx context.Context, image []byte, classes []int) (grids [][]float32, columns int, err error)
}

// heats are the JPEGs of a page: of the image as the model has it, under plain, and with
// where the model found a class, by the class's number.
type heats map[string][]byte

const (
	plain     = "none"
	keptHeats = 32
	quality   = 85 // of the JPEGs
)

var noHeat = &notFound{"no model was given: 'synshard serve DATASET PREDICTIONS --heat MODEL' shows where it looked"}

// heatPage is an image with where the model found what it was taken for, and what it is.
type heatPage struct {
	Image   explore.Image
	Side    int  // of the model's input, in pixels
	Known   bool // the truth is
	Classes []heatClass
}

// heatClass is a class whose place is shown.
type heatClass struct {
	class
	Class        int     // its number
	Share        float64 // its probability; 0: it is not among the first
	First, Truth bool
}

// shownOf are the classes whose places are shown of a row: the first prediction, and the truth.
func (s *site) shownOf(r *prediction.Row) (out []heatClass) {
	numbers := r.Top[:1:1]
	if truth := int(r.Label); truth >= 0 && truth != numbers[0] {
		numbers = append(numbers, truth)
	}
	for _, c := range numbers {
		h := heatClass{class: s.class(s.e.Predictions().Classes[c]), Class: c, First: c == r.Top[0], Truth: int64(c) == r.Label}
		if k := slices.Index(r.Top, c); k >= 0 {
			h.Share = float64(r.Prob[k])
		}
		out = append(out, h)
	}
	return out
}

// predictedOf is the row of the predictions that is of an image.
func (s *site) predictedOf(im *explore.Image) (prediction.Row, error) {
	p, err := s.predictions()
	if err != nil {
		return prediction.Row{}, err
	}
	i, ok := p.RowOf(im.Ref)
	if !ok {
		return prediction.Row{}, &notFound{"the predictions have no row of this image"}
	}
	r, err := p.Row(i)
	if err == nil && len(r.Top) == 0 {
		err = &notFound{"nothing was predicted of this image"}
	}
	return r, err
}

func (s *site) heat(r *http.Request) (any, error) {
	im, err := s.imageOf(r)
	if err != nil {
		return nil, err
	}
	if s.Heat == nil {
		return nil, noHeat
	}
	row, err := s.predictedOf(&im)
	if err != nil {
		return nil, err
	}
	return heatPage{Image: im, Side: s.Heat.Eval.Size, Known: row.Label >= 0, Classes: s.shownOf(&row)}, nil
}

// heatOf gives one of an image's heats.
func (s *site) heatOf(r *http.Request, im *explore.Image) ([]byte, error) {
	all, err := s.heatsOf(r, im)
	if err != nil {
		return nil, err
	}
	jpeg, ok := all[r.PathValue("class")]
	if !ok {
		return nil, &notFound{"of this image that class is not shown"}
	}
	return jpeg, nil
}

// heatsOf makes all of an image's heats, by one run of the model. One is made at a time.
func (s *site) heatsOf(r *http.Request, im *explore.Image) (heats, error) {
	if all, ok := s.heats.Get(im.Ref); ok {
		return all, nil
	}
	row, err := s.predictedOf(im)
	if err != nil {
		return nil, err
	}
	if err := s.turn.Acquire(r.Context(), 1); err != nil {
		return nil, err
	}
	defer s.turn.Release(1)
	if all, ok := s.heats.Get(im.Ref); ok { // by whom this one waited for
		return all, nil
	}
	var all heats
	err = s.work(r, im, func(d *pixel.Decoder, b []byte) error {
		side := s.Heat.Eval.Size
		rgb := make([]byte, side*side*3)
		if err := d.Eval(rgb, b, s.Heat.Eval); err != nil {
			return err
		}
		all, err = s.drawHeats(r.Context(), rgb, s.shownOf(&row))
		return err
	})
	if err == nil {
		s.heats.Put(im.Ref, all)
	}
	return all, err
}

// drawHeats runs the model and draws what it says, all classes on one scale.
func (s *site) drawHeats(ctx context.Context, rgb []byte, shown []heatClass) (heats, error) {
	var classes []int
	for _, c := range shown {
		classes = append(classes, c.Class)
	}
	grids, columns, err := s.Heat.Of(ctx, rgb, classes)
	if err != nil {
		return nil, &unread{err}
	}
	side, most := s.Heat.Eval.Size, float32(0)
	for _, g := range grids {
		most = max(most, slices.Max(g))
	}
	out := heats{}
	if out[plain], err = pixel.EncodeJPEG(side, side, rgb, quality); err != nil {
		return nil, err
	}
	for i, g := range grids {
		if out[strconv.Itoa(classes[i])], err = pixel.EncodeJPEG(side, side, heated(rgb, side, g, columns, most), quality); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ramp is the colours of heat from none to the most, told apart by their lightness alone.
var ramp = [...][3]float32{{0, 0, 4}, {87, 16, 110}, {188, 55, 84}, {249, 142, 9}, {252, 255, 164}}

// heated lays a grid over an image without colours, as much of it as there is heat; most is
// what the lightest colour stands for.
func heated(rgb []byte, side int, grid []float32, columns int, most float32) []byte {
	out := make([]byte, len(rgb))
	for y := range side {
		for x := range side {
			heat := float32(0)
			if most > 0 {
				heat = min(max(between(grid, columns, x, y, side)/most, 0), 1)
			}
			k := min(int(heat*float32(len(ramp)-1)), len(ramp)-2)
			part, cover := heat*float32(len(ramp)-1)-float32(k), 0.2+0.5*heat
			p := rgb[3*(y*side+x):][:3]
			grey := 0.299*float32(p[0]) + 0.587*float32(p[1]) + 0.114*float32(p[2])
			for c := range 3 {
				colour := ramp[k][c] + part*(ramp[k+1][c]-ramp[k][c])
				out[3*(y*side+x)+c] = byte(grey + cover*(colour-grey) + 0.5)
			}
		}
	}
	return out
}

// between is the value of a grid at a pixel, linear between the middles of its places.
func between(grid []float32, columns, x, y, side int) float32 {
	rows := len(grid) / columns
	at := func(pixel, places int) (int, int, float32) {
		v := min(max((float32(pixel)+0.5)*float32(places)/float32(side)-0.5, 0), float32(places-1))
		low := int(v)
		return low, min(low+1, places-1), v - float32(low)
	}
	x0, x1, fx := at(x, columns)
	y0, y1, fy := at(y, rows)
	top := grid[y0*columns+x0]*(1-fx) + grid[y0*columns+x1]*fx
	bottom := grid[y1*columns+x0]*(1-fx) + grid[y1*columns+x1]*fx
	return top*(1-fy) + bottom*fy
}
