package imagenet

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"time"
)

const annotationText = `<annotation><folder>n02129604</folder><object><name>n02129604</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>`

// FuzzAnnotation: an annotation is an error that names it, or the boxes of one image.
func FuzzAnnotation(f *testing.F) {
	f.Add([]byte(annotationText))
	f.Add([]byte(strings.Repeat("<object>", 5000)))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "cc">]><annotation><object><name>&b;</name></object></annotation>`))
	f.Add([]byte(`<annotation><object><name>` + "\xff" + `</name><bndbox><xmin>99999999999</xmin></bndbox></object></annotation>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := Boxes{}
		began := time.Now()
		err := b.add("dir/n02129604_1.xml", text)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%d bytes are read in %v", len(text), took)
		}
		switch {
		case err != nil && !strings.Contains(err.Error(), "n02129604_1.xml"):
			t.Errorf("an error of nowhere: %v", err)
		case err == nil && len(b) != 1 || err != nil && len(b) != 0:
			t.Errorf("%v, %v", b, err)
		}
		// Packed, it says the same.
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(text)
		z.Close()
		again := Boxes{}
		_ = again.readPacked("n02129604.tar.gz", packed.Bytes())
		_ = again.readPacked("n02129604.tar.gz", text)
	})
}

// FuzzSolution: one of Kaggle's solutions is an error, or names of images with at least
// one box each, of a synset each.
func FuzzSolution(f *testing.F) {
	f.Add([]byte("ImageId,PredictionString\nn01_1,n01751748 1 2 3 4 n01751748 1.5 2 3 4\n"))
	f.Add([]byte("\ufeffImageId,PredictionString\n\"a\nb\",n01751748 1 2 3 1e9\n"))
	f.Add([]byte("a,n01751748 1 2 3 NaN\n"))
	f.Add([]byte(",n01751748 1 2 3 4\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := Boxes{}
		if err := b.AddSolution(text); err != nil {
			return
		}
		for name, boxes := range b {
			if name == "" || len(boxes) == 0 {
				t.Errorf("%q has %v", name, boxes)
			}
			for _, o := range boxes {
				if o.Synset == "" {
					t.Errorf("%q has %v", name, boxes)
				}
			}
		}
	})
}

// FuzzTruth: the development kit's ground truth is an error, or a number from 1 an entry.
func FuzzTruth(f *testing.F) {
	f.Add([]byte("490\n361\r\n1"))
	f.Add([]byte("0x1 99999999999999999999"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ids, err := parseTruth(text)
		if err != nil {
			return
		}
		if n := len(bytes.Fields(text)); len(ids) != n {
			t.Errorf("%d ids of %d entries", len(ids), n)
		}
		for _, id := range ids {
			if id < 1 {
				t.Errorf("id %d", id)
			}
		}
	})
}
