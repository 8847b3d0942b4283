package panel

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// fitted is an SVG whose texts are as wide as they were when they were placed, whatever font
// whoever looks has for them: else names run into the axis that they end at.
type fitted struct {
	*vgsvg.Canvas
	widths []vg.Length // of the texts, in order
}

// FillString writes a text, as vg.Canvas has it.
func (f *fitted) FillString(face font.Face, at vg.Point, text string) {
	f.widths = append(f.widths, face.Width(text))
	f.Canvas.FillString(face, at, text)
}

// WriteTo writes the file.
func (f *fitted) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	if _, err := f.Canvas.WriteTo(&b); err != nil {
		return 0, err
	}
	const text = "<text "
	parts := strings.Split(b.String(), text)
	for i, width := range f.widths {
		if width > 0 {
			parts[i+1] = fmt.Sprintf(`textLength="%.2f" lengthAdjust="spacingAndGlyphs" %s`, width.Points(), parts[i+1])
		}
	}
	n, err := io.WriteString(w, strings.Join(parts, text))
	return int64(n), err
}
