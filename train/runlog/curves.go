package runlog

import (
	"bufio"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// Colours that stay apart for the colour-blind (Okabe and Ito).
var (
	colTrain = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	colRaw   = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	colEMA   = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	colPale  = color.RGBA{0xb5, 0xd4, 0xe9, 0xff}
	colGrid  = color.RGBA{0xd8, 0xdc, 0xe0, 0xff}
)

// history is a run's curves, read from its log. The x axis is the epoch.
type history struct {
	loss, rate, speed            Curve
	defined                      LossOf // the training loss: a validation's where every step tells that
	lossRaw, lossEMA             Curve
	top1, top1Raw, top1EMA, top5 Curve
}

// ErrNoSteps is of a log of which no curve can be drawn.
var ErrNoSteps = errors.New("no training step is in it")

// WriteCurves draws the curves of a log, loss, accuracy, learning rate and throughput over
// epochs, as a PNG or, where path ends in .svg, as SVG. Of a log without steps nothing is
// drawn, which is ErrNoSteps.
func WriteCurves(path, log string) error { return writeCurves(path, log, 100) }

// writeCurves draws dots of 1/dpi inch, where there are dots; what is drawn where does not
// depend on their number.
func writeCurves(path, log string, dpi int) error {
	h, err := readHistory(log)
	if err != nil {
		return fmt.Errorf("curves: %w", err)
	}
	if len(h.loss) == 0 {
		return fmt.Errorf("curves: %s: %w", log, ErrNoSteps)
	}
	panels := []*panel{h.lossPanel(), h.accuracyPanel(), h.ratePanel(), h.speedPanel()}
	const width, height, words = 11 * vg.Inch, 12 * vg.Inch, 2.6 * vg.Inch
	img := newPicture(path, width, height, dpi)
	rows := make([][]*plot.Plot, len(panels))
	for i, p := range panels {
		rows[i] = []*plot.Plot{p.Plot}
	}
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadTop: 8, PadBottom: 8, PadLeft: 12, PadRight: words, PadY: 14}
	for i, cells := range plot.Align(rows, tiles, draw.New(img)) {
		panels[i].Draw(cells[0])
		beside := cells[0].Rectangle
		beside.Min.X, beside.Max.X = beside.Max.X+8, width
		beside.Max.Y -= 24 // the title's
		panels[i].names.Draw(draw.Canvas{Canvas: img, Rectangle: beside})
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := img.WriteTo(w)
		return err
	})
}

// newPicture is what is drawn on, of the form that the path's ending says.
func newPicture(path string, width, height vg.Length, dpi int) vg.CanvasWriterTo {
	if strings.EqualFold(filepath.Ext(path), ".svg") {
		return vgsvg.New(width, height)
	}
	return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))}
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
	h := &history{defined: CrossEntropy}
	var losses [CrossEntropy + 1]Curve
	add := func(xys *Curve, x, y float64) {
		if drawn(x) && drawn(y) {
			*xys = append(*xys, Point{x, y})
		}
	}
	err := Each(log, func(_ []byte, rec Record) error {
		switch rec.Kind {
		case "step":
			for of := range losses {
				if loss := rec.TrainLoss(LossOf(of)); loss != nil {
					add(&losses[of], rec.Epoch, *loss)
				}
			}
			if rec.CrossEntropy == nil {
				h.defined = Minimised
			}
			add(&h.rate, rec.Epoch, rec.LR)
			if rec.PerSecond > 0 {
				add(&h.speed, rec.Epoch, rec.PerSecond)
			}
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
	h.loss = losses[h.defined]
	return h, err
}

// drawn says whether an axis can reach a value: where its numbers go towards the ends
// of what a float64 holds, the search for its marks does not end.
func drawn(v float64) bool { return v == 0 || math.Abs(v) >= 1e-30 && math.Abs(v) <= 1e30 }

// panel is a plot, and what its lines are, which stands beside it.
type panel struct {
	*plot.Plot
	names plot.Legend
}

func (h *history) lossPanel() *panel {
	title := "Loss: cross entropy of the main head, without label smoothing"
	if h.defined == Minimised { // a log of before
		title = "Loss of the main head (training: with the recipe's label smoothing)"
	}
	p := newPanel(title, "nats")
	mean := h.loss.Running()
	p.line("training, each step", h.loss.Thin(1500), colPale, 0.6)
	p.line("training, running mean", mean.Thin(1500), colTrain, 1.6)
	p.line("validation", h.lossRaw, colRaw, 1.6)
	p.line("validation, averaged weights", h.lossEMA, colEMA, 1.6)
	p.Y.Min, p.Y.Max = 0, LossTop(mean, h.lossRaw, h.lossEMA)
	return p
}

func (h *history) accuracyPanel() *panel {
	p := newPanel("Accuracy", "%")
	p.line("training top-1, running mean", h.top1.Running().Thin(1500), colTrain, 1.6)
	p.line("validation top-5", h.top5, color.RGBA{0x88, 0x88, 0x88, 0xff}, 1)
	p.line("validation top-1", h.top1Raw, colRaw, 1.6)
	p.line("validation top-1, averaged weights", h.top1EMA, colEMA, 1.6)
	scored := h.top1EMA
	if len(scored) == 0 {
		scored = h.top1Raw
	}
	if best, ok := scored.Best(); ok {
		ring := &plotter.Scatter{XYs: Curve{best}.plotted(), GlyphStyle: draw.GlyphStyle{Color: color.Black, Radius: 5, Shape: draw.RingGlyph{}}}
		p.Add(ring)
		p.names.Add(fmt.Sprintf("best: %.2f %% after epoch %g", best.Y, best.X), ring)
	}
	p.Y.Min, p.Y.Max = 0, 101
	return p
}

func (h *history) ratePanel() *panel {
	p := newPanel("Learning rate", "step size")
	p.line("learning rate", h.rate.Thin(1500), colTrain, 1.6)
	p.Y.Min = 0
	return p
}

func (h *history) speedPanel() *panel {
	p := newPanel("Throughput of training steps, waiting for data included", "images/s")
	mean := h.speed.Running()
	p.line("each step", h.speed.Thin(1500), colPale, 0.6)
	p.line("running mean", mean.Thin(1500), colTrain, 1.6)
	p.X.Label.Text = "epoch"
	p.Y.Min, p.Y.Max = 0, max(1.25*mean.Highest(), 1e-3)
	return p
}

// marks is an axis's: the multiples of 1, 2 or 5 times a power of ten, at most so many.
type marks int

// Ticks implements plot.Ticker.
func (m marks) Ticks(from, to float64) (out []plot.Tick) {
	for _, v := range Marks(from, to, int(m)) {
		out = append(out, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
	}
	return out
}

// Marks are the multiples of 1, 2 or 5 times a power of ten from one value to a greater
// one, at most so many.
func Marks(from, to float64, most int) (out []float64) {
	span := to - from
	power := math.Pow(10, math.Floor(math.Log10(span/float64(most))))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power*float64(most) >= span {
			step = m * power
			break
		}
	}
	for k := math.Ceil(from/step - 1e-9); k*step <= to+1e-9*span; k++ {
		out = append(out, k*step+0) // no -0
	}
	return out
}

func newPanel(title, unit string) *panel {
	p := &panel{plot.New(), plot.NewLegend()}
	p.Title.Text, p.Y.Label.Text = title, unit
	p.Title.TextStyle.Font.Size, p.Title.Padding = 13, 6
	p.X.Min = 0
	p.X.Tick.Marker, p.Y.Tick.Marker = marks(10), marks(6)
	p.names.Top, p.names.Left, p.names.Padding = true, true, 3
	for _, f := range []*font.Font{&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.names.TextStyle.Font} {
		f.Size = 10
	}
	for _, f := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.names.TextStyle.Font} {
		f.Variant = "Sans"
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = colGrid, colGrid
	p.Add(grid)
	return p
}

func (p *panel) line(name string, xys Curve, c color.Color, width vg.Length) {
	if len(xys) == 0 {
		return
	}
	l := &plotter.Line{XYs: xys.plotted(), LineStyle: draw.LineStyle{Color: c, Width: width}}
	p.Add(l)
	p.names.Add(name, l)
	if xys.Few() && width > 1 { // single points would not show
		p.Add(&plotter.Scatter{XYs: xys.plotted(), GlyphStyle: draw.GlyphStyle{Color: c, Radius: 1.8, Shape: draw.CircleGlyph{}}})
	}
}
