package sample

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"testing"
)

func BenchmarkImage(b *testing.B) {
	for i := range b.N {
		if _, err := Image(synsets[i%len(synsets)], "train", i, 1); err != nil {
			b.Fatal(err)
		}
	}
}

// TestContactSheet draws a sheet of images to look at when SAMPLE_SHEET names a file.
func TestContactSheet(t *testing.T) {
	name := os.Getenv("SAMPLE_SHEET")
	if name == "" {
		t.Skip("SAMPLE_SHEET is not set")
	}
	const cell, per = 200, 7
	sheet := image.NewRGBA(image.Rect(0, 0, cell*per, cell*len(synsets)))
	draw.Draw(sheet, sheet.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	for y, s := range synsets {
		for x := range per {
			b, err := Image(s, "train", x, 1)
			if err != nil {
				t.Fatal(err)
			}
			m, err := jpeg.Decode(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			size := m.Bounds().Size()
			k := float64(max(size.X, size.Y)) / (cell - 4)
			for v := range cell - 4 {
				for u := range cell - 4 {
					if px, py := int(float64(u)*k), int(float64(v)*k); px < size.X && py < size.Y {
						sheet.Set(x*cell+u, y*cell+v, m.At(px, py))
					}
				}
			}
		}
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, sheet); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
