package report

import (
	"fmt"

	"github.com/synshard/synshard/eval"
	"github.com/synshard/synshard/internal/panel"
)

// plotsDPI is the dots of an inch of a PNG.
const plotsDPI = 100

// WritePlots draws the plots of the first predictions alone, to be kept or printed: how often
// a prediction is right by its probability, how sure predictions are and, with WordNet,
// accuracy by subtree; as a PNG or, where path ends in .svg, as SVG. Figures are those of
// Write.
func WritePlots(path string, o Options) error {
	s, err := measured(o.Sets[0], o.Hierarchy, &gallery{words: o.Words})
	if err != nil {
		return err
	}
	panels := []*panel.Panel{reliabilityPanel(s.Report.Calibration), surenessPanel(s.Report.Calibration)}
	if len(s.Subtrees) > 0 {
		panels = append(panels, subtreesPanel(s.Subtrees))
	}
	return panel.Write(path, plotsDPI, panels)
}

const gap = 0.3 // between bars, in units of their x axis

func reliabilityPanel(c eval.Calibration) *panel.Panel {
	p := panel.New(fmt.Sprintf("Reliability: how often a first prediction is right (expected calibration error %.4f)", c.ECE), "right, %")
	var bars []panel.Box
	var within []panel.Segment
	for _, b := range c.Bins {
		if b.N == 0 {
			continue
		}
		in, middle := eval.Wilson(count(b.Accuracy, b.N), b.N), 50*(b.Low+b.High)
		bars = append(bars, panel.Box{From: panel.Point{X: 100*b.Low + gap}, To: panel.Point{X: 100*b.High - gap, Y: 100 * b.Accuracy}})
		within = append(within, panel.Segment{From: panel.Point{X: middle, Y: 100 * in.Low}, To: panel.Point{X: middle, Y: 100 * in.High}})
	}
	p.Boxes("share that is right", bars, panel.Pale)
	p.Segments("its 95 % interval", within, panel.Blue, 1.4)
	p.Line("perfectly calibrated", []panel.Point{{}, {X: 100, Y: 100}}, panel.Grey, 1, false)
	p.Under("probability of the first prediction, %")
	p.Across(100)
	p.Up(101)
	return p
}

func surenessPanel(c eval.Calibration) *panel.Panel {
	p := panel.New("How sure first predictions are", "images")
	var bars []panel.Box
	most := 1
	for _, b := range c.Bins {
		most = max(most, b.N)
		bars = append(bars, panel.Box{From: panel.Point{X: 100*b.Low + gap}, To: panel.Point{X: 100*b.High - gap, Y: float64(b.N)}})
	}
	p.Boxes("images", bars, panel.Blue)
	p.Under("probability of the first prediction, %")
	p.Across(100)
	p.Up(1.05 * float64(most))
	return p
}

func subtreesPanel(all []subtree) *panel.Panel {
	p := panel.New(fmt.Sprintf("Accuracy by subtree of WordNet, worst first (of %d images or more)", subtreeRows), "")
	var names []string
	var right, inside []panel.Box
	var within []panel.Segment
	for i, s := range all {
		y := panel.RowAt(i, len(all))
		bar := func(share, half float64) panel.Box {
			return panel.Box{From: panel.Point{Y: y - half}, To: panel.Point{X: 100 * share, Y: y + half}}
		}
		names = append(names, fmt.Sprintf("%s (%d)", s.Label.Short(), s.Of.N))
		inside, right = append(inside, bar(s.Of.Inside, 0.38)), append(right, bar(s.Of.Top1, 0.2))
		within = append(within, panel.Segment{From: panel.Point{X: 100 * s.Within.Low, Y: y}, To: panel.Point{X: 100 * s.Within.High, Y: y}})
	}
	p.Boxes("predicted inside the subtree", inside, panel.Pale)
	p.Boxes("top-1", right, panel.Blue)
	p.Segments("its 95 % interval", within, panel.Orange, 1.6)
	p.Rows(names)
	p.Under("of the images whose truth is at or below it, %")
	p.Across(100)
	return p
}
