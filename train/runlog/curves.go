package runlog

import (
	"bufio"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// Colours that stay apart for the colour-blind (Okabe and Ito).
var (
	colTrain = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	colRaw   = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	colEMA   = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	colPale  = color.RGBA{0xb5, 0xd4, 0xe9, 0xff}
	colGrid  = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
)

// history is a run's curves, read from its log. The x axis is the epoch.
type history struct {
	loss, rate                   plotter.XYs
	lossRaw, lossEMA             plotter.XYs
	top1, top1Raw, top1EMA, top5 plotter.XYs
}

// WriteCurves draws the curves of a log, loss, accuracy and learning rate over
// epochs, as the PNG path. A log without steps draws nothing.
func WriteCurves(path, log string) error {
	h, err := readHistory(log)
	if err != nil {
		return fmt.Errorf("curves: %w", err)
	}
	if len(h.loss) == 0 {
		return nil
	}
	plots := []*plot.Plot{h.lossPlot(), h.accuracyPlot(), h.ratePlot()}
	const width, height = 9 * vg.Inch, 10 * vg.Inch
	img := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(110))
	dc := draw.New(img)
	shares := []float64{0.4, 0.4, 0.2}
	top := dc.Max.Y
	for i, p := range plots {
		low := top - vg.Length(shares[i])*height
		cell := draw.Canvas{Canvas: dc.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: dc.Min.X + 12, Y: low + 6}, Max: vg.Point{X: dc.Max.X - 16, Y: top - 6}}}
		p.Draw(cell)
		top = low
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: img}.WriteTo(w)
		return err
	})
}

// CurvesWhole says whether a file holds an image that was written whole: of any
// damage to it its own sums tell.
func CurvesWhole(path string) bool {
	f, _, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = png.Decode(bufio.NewReader(f))
	return err == nil
}

func readHistory(log string) (*history, error) {
	h := &history{}
	add := func(xys *plotter.XYs, x, y float64) {
		if drawn(x) && drawn(y) {
			*xys = append(*xys, plotter.XY{X: x, Y: y})
		}
	}
	err := Each(log, func(_ []byte, rec Record) error {
		switch rec.Kind {
		case "step":
			if rec.Loss != nil {
				add(&h.loss, rec.Epoch, *rec.Loss)
			}
			add(&h.rate, rec.Epoch, rec.LR)
			add(&h.top1, rec.Epoch, 100*rec.Top1)
		case "eval":
			if rec.Raw == nil {
				return nil // not a line of ours
			}
			add(&h.lossRaw, rec.Epoch, float64(rec.Raw.Loss))
			add(&h.top1Raw, rec.Epoch, 100*rec.Raw.Top1)
			last := rec.Raw
			if rec.EMA != nil {
				add(&h.lossEMA, rec.Epoch, float64(rec.EMA.Loss))
				add(&h.top1EMA, rec.Epoch, 100*rec.EMA.Top1)
				last = rec.EMA
			}
			add(&h.top5, rec.Epoch, 100*last.Top5)
		}
		return nil
	})
	return h, err
}

// drawn says whether an axis can reach a value: where its numbers go towards the ends
// of what a float64 holds, the search for its marks does not end.
func drawn(v float64) bool { return v == 0 || math.Abs(v) >= 1e-30 && math.Abs(v) <= 1e30 }

func (h *history) lossPlot() *plot.Plot {
	p := newPlot("loss")
	line(p, "training, each step", thin(h.loss, 1500), colPale, 0.6)
	line(p, "training, running mean", thin(running(h.loss), 1500), colTrain, 1.6)
	line(p, "validation", h.lossRaw, colRaw, 1.6)
	line(p, "validation, averaged weights", h.lossEMA, colEMA, 1.6)
	p.Y.Min = 0
	return p
}

func (h *history) accuracyPlot() *plot.Plot {
	p := newPlot("accuracy, %")
	line(p, "training top-1, running mean", thin(running(h.top1), 1500), colTrain, 1.6)
	line(p, "validation top-1", h.top1Raw, colRaw, 1.6)
	line(p, "validation top-1, averaged weights", h.top1EMA, colEMA, 1.6)
	line(p, "validation top-5", h.top5, color.RGBA{0x88, 0x88, 0x88, 0xff}, 1)
	p.Y.Min, p.Y.Max = 0, 101
	p.Legend.Top = false
	return p
}

func (h *history) ratePlot() *plot.Plot {
	p := newPlot("learning rate")
	line(p, "", thin(h.rate, 1500), colTrain, 1.6)
	p.X.Label.Text = "epoch"
	p.Y.Min = 0
	return p
}

func newPlot(y string) *plot.Plot {
	p := plot.New()
	p.Y.Label.Text = y
	p.X.Min = 0
	p.Legend.Top = true
	p.Legend.Padding = 2
	for _, f := range []*font.Font{&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		f.Size = 10
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = colGrid, colGrid
	p.Add(grid)
	return p
}

func line(p *plot.Plot, name string, xys plotter.XYs, c color.Color, width vg.Length) {
	if len(xys) == 0 {
		return
	}
	l := &plotter.Line{XYs: xys, LineStyle: draw.LineStyle{Color: c, Width: width}}
	p.Add(l)
	if name != "" {
		p.Legend.Add(name, l)
	}
	if len(xys) < 60 && width > 1 { // single points would not show
		p.Add(&plotter.Scatter{XYs: xys, GlyphStyle: draw.GlyphStyle{Color: c, Radius: 1.8, Shape: draw.CircleGlyph{}}})
	}
}

// running is the exponential mean over about a fiftieth of the curve.
func running(xys plotter.XYs) plotter.XYs {
	out := make(plotter.XYs, len(xys))
	alpha := 1 / max(float64(len(xys))/50, 1)
	var mean, weight float64
	for i, p := range xys {
		mean += alpha * (p.Y - mean)
		weight += alpha * (1 - weight)
		out[i] = plotter.XY{X: p.X, Y: mean / weight}
	}
	return out
}

// thin keeps at most n points, evenly, and the last.
func thin(xys plotter.XYs, n int) plotter.XYs {
	if len(xys) <= n {
		return xys
	}
	out := make(plotter.XYs, 0, n+1)
	for i := range n {
		out = append(out, xys[i*len(xys)/n])
	}
	return append(out, xys[len(xys)-1])
}
