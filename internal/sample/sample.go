// Package sample draws a small set of images shaped like ImageNet, for
// trying, testing and measuring without ImageNet: recognisable drawings of
// eight real synsets, packed in the archives of ILSVRC2012 under their names.
//
// What is drawn depends on the seed alone, not on the number of workers.
package sample

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"image"
	"image/draw"
	"image/jpeg"
	"math/rand/v2"
	"slices"
)

// Synset is one of the drawn classes.
type Synset struct {
	WNID         string // WordNet 3.0 id, such as n02391049
	ILSVRC2012ID int    // the id this set's devkit gives it: not the order of the WNIDs
	Words        string // separated by ", " as in the devkit
	Gloss        string // WordNet's
	draw         func(*stage)
}

// Synsets lists the drawn classes by ascending WNID.
func Synsets() []Synset { return slices.Clone(synsets) }

var synsets = []Synset{
	{"n02129604", 6, "tiger, Panthera tigris", "large feline of forests in most of Asia having a tawny coat with black stripes; endangered", tiger},
	{"n02165456", 3, "ladybug, ladybeetle, lady beetle, ladybird, ladybird beetle", "small round bright-colored and spotted beetle that usually feeds on aphids and other insect pests", ladybug},
	{"n02391049", 8, "zebra", "any of several fleet black-and-white striped African equines", zebra},
	{"n07745940", 1, "strawberry", "sweet fleshy red fruit", strawberry},
	{"n07747607", 5, "orange", "round yellow to orange fruit of any of several citrus trees", orange},
	{"n07749582", 2, "lemon", "yellow oval fruit with juicy acidic flesh", lemon},
	{"n07753592", 7, "banana", "elongated crescent-shaped yellow fruit with soft sweet flesh", banana},
	{"n09472597", 4, "volcano", "a mountain formed by volcanic material", volcano},
}

// Image draws the k-th image of a split ("train", "val" or "test") for a
// seed and gives it as JPEG, most of them 500 by 375, some upright, a few in
// other sizes, a few grey.
func Image(s Synset, split string, k int, seed uint64) ([]byte, error) {
	if s.draw == nil {
		return nil, fmt.Errorf("draw %s: not one of the sample's synsets", s.WNID)
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s %d", split, s.WNID, k)
	r := rand.New(rand.NewPCG(seed, h.Sum64()))

	w, high := 500, 375
	switch r.IntN(10) {
	case 0, 1:
		w, high = high, w
	case 2:
		w, high = 320+r.IntN(260), 280+r.IntN(200)
	}
	st := &stage{newCanvas(w, high), r}
	s.draw(st)
	var out image.Image = st.expose(randomLight(r), r)
	if r.IntN(40) == 0 {
		grey := image.NewGray(out.Bounds())
		draw.Draw(grey, grey.Rect, out, image.Point{}, draw.Src)
		out = grey
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, out, &jpeg.Options{Quality: 80 + r.IntN(15)}); err != nil {
		return nil, fmt.Errorf("draw %s: %w", s.WNID, err)
	}
	return b.Bytes(), nil
}
