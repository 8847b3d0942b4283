package runlog

import (
	"bufio"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"math"

	"github.com/synshard/synshard/internal/panel"
	"github.com/synshard/synshard/internal/regular"
)

// History is a run's curves, of its log's records. The x axis is the epoch. The zero value
// has no records yet.
type History struct {
	losses                       [CrossEntropy + 1]Curve
	minimised                    bool // a step does not tell the loss that a validation has
	rate, speed                  Curve
	lossRaw, lossEMA             Curve
	top1, top1Raw, top1EMA, top5 Curve
}

// ErrNoSteps is of a log of which no curve can be drawn.
var ErrNoSteps = errors.New("no training step is in it")

// WriteCurves draws the curves of a log; see History.Write.
func WriteCurves(path, log string) error { return writeCurves(path, log, dpi) }

func writeCurves(path, log string, dpi int) error {
	var h History
	if err := Each(log, func(_ []byte, rec Record) error { h.Add(rec); return nil }); err != nil {
		return fmt.Errorf("curves: %w", err)
	}
	if err := h.write(path, dpi); err != nil {
		return fmt.Errorf("curves: %s: %w", log, err)
	}
	return nil
}

const dpi = 100 // of PNGs

// Write draws the curves, loss, accuracy, learning rate and throughput over epochs, as a
// PNG or, where path ends in .svg, as SVG. Without steps nothing is drawn, which is
// ErrNoSteps.
func (h *History) Write(path string) error { return h.write(path, dpi) }

func (h *History) write(path string, dpi int) error {
	if _, loss := h.loss(); len(loss) == 0 {
		return ErrNoSteps
	}
	return panel.Write(path, dpi, []*panel.Panel{h.lossPanel(), h.accuracyPanel(), h.ratePanel(), h.speedPanel()})
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

// Add takes what a record tells.
func (h *History) Add(rec Record) {
	add := func(xys *Curve, x, y float64) {
		if drawn(x) && drawn(y) {
			*xys = append(*xys, Point{x, y})
		}
	}
	switch rec.Kind {
	case "step":
		for of := range h.losses {
			if loss := rec.TrainLoss(LossOf(of)); loss != nil {
				add(&h.losses[of], rec.Epoch, *loss)
			}
		}
		h.minimised = h.minimised || rec.CrossEntropy == nil
		add(&h.rate, rec.Epoch, rec.LR)
		if rec.PerSecond > 0 {
			add(&h.speed, rec.Epoch, rec.PerSecond)
		}
		add(&h.top1, rec.Epoch, 100*rec.Top1)
	case "eval":
		if rec.Raw == nil || !rec.Finite() {
			return // not a line of ours, or of an earlier version's that went on
		}
		rec = rec.Counted()
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
}

// loss is the training loss: a validation's where every step tells that.
func (h *History) loss() (LossOf, Curve) {
	of := CrossEntropy
	if h.minimised {
		of = Minimised
	}
	return of, h.losses[of]
}

// drawn says whether an axis can reach a value: where its numbers go towards the ends
// of what a float64 holds, the search for its marks does not end.
func drawn(v float64) bool { return v == 0 || math.Abs(v) >= 1e-30 && math.Abs(v) <= 1e30 }

func (h *History) lossPanel() *panel.Panel {
	title := "Loss: cross entropy of the main head, without label smoothing"
	of, loss := h.loss()
	if of == Minimised { // a log of before
		title = "Loss of the main head (training: with the recipe's label smoothing)"
	}
	p := panel.New(title, "nats")
	mean := loss.Running()
	line(p, "training, each step", loss.Thin(1500), panel.Pale, 0.6)
	line(p, "training, running mean", mean.Thin(1500), panel.Blue, 1.6)
	line(p, "validation", h.lossRaw, panel.Orange, 1.6)
	line(p, "validation, averaged weights", h.lossEMA, panel.Green, 1.6)
	p.Up(LossTop(mean, h.lossRaw, h.lossEMA))
	return p
}

func (h *History) accuracyPanel() *panel.Panel {
	p := panel.New("Accuracy", "%")
	line(p, "training top-1, running mean", h.top1.Running().Thin(1500), panel.Blue, 1.6)
	line(p, "validation top-5", h.top5, panel.Grey, 1)
	line(p, "validation top-1", h.top1Raw, panel.Orange, 1.6)
	line(p, "validation top-1, averaged weights", h.top1EMA, panel.Green, 1.6)
	scored := h.top1EMA
	if len(scored) == 0 {
		scored = h.top1Raw
	}
	if best, ok := scored.Best(); ok {
		p.Ring(fmt.Sprintf("best: %.2f %% after epoch %g", best.Y, best.X), panel.Point(best))
	}
	p.Up(101)
	return p
}

func (h *History) ratePanel() *panel.Panel {
	p := panel.New("Learning rate", "step size")
	line(p, "learning rate", h.rate.Thin(1500), panel.Blue, 1.6)
	return p
}

func (h *History) speedPanel() *panel.Panel {
	p := panel.New("Throughput of training steps, waiting for data included", "images/s")
	mean := h.speed.Running()
	line(p, "each step", h.speed.Thin(1500), panel.Pale, 0.6)
	line(p, "running mean", mean.Thin(1500), panel.Blue, 1.6)
	p.Under("epoch")
	p.Up(max(1.25*mean.Highest(), 1e-3))
	return p
}

// line draws a curve; single points would not show.
func line(p *panel.Panel, name string, c Curve, colour color.Color, width float64) {
	points := make([]panel.Point, len(c))
	for i, q := range c {
		points[i] = panel.Point(q)
	}
	p.Line(name, points, colour, width, c.Few() && width > 1)
}
