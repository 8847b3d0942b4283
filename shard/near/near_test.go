package near

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/infer/prediction/encode"
	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
)

// TestHashLikeImageHash: scripts/golden/near_imagehash.py.
func TestHashLikeImageHash(t *testing.T) {
	var cases []struct {
		Side      int       `json:"side"`
		Grey      []float64 `json:"grey"`
		Low, High string
	}
	golden.Read(t, "testdata/imagehash.json", &cases)
	for i, c := range cases {
		w := wholeWaves
		if c.Side == inner {
			w = innerWaves
		}
		h := hashOf(c.Grey, w)
		var low, high strings.Builder
		for b := range 64 {
			fmt.Fprint(&low, h.Low>>b&1)
		}
		for b := range 256 {
			fmt.Fprint(&high, h.High[b/64]>>(b%64)&1)
		}
		if low.String() != c.Low || high.String() != c.High {
			t.Errorf("case %d, of %d pixels:\n%s\n%s\nwant\n%s\n%s", i, c.Side, &low, &high, c.Low, c.High)
		}
	}
	if len(cases) == 0 {
		t.Error("no cases")
	}
}

// TestAlike holds the groups of the index to those of all pairs compared, with hashes that are
// near, equal, flat and of both datasets.
func TestAlike(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() (h Hash) {
		h.Low = rng.Uint64()
		for i := range h.High {
			h.High[i] = rng.Uint64()
		}
		return h
	}
	moved := func(h Hash, low, high int) Hash {
		for range low {
			h.Low ^= 1 << rng.IntN(64)
		}
		for range high {
			h.High[rng.IntN(4)] ^= 1 << rng.IntN(64)
		}
		return h
	}
	levels := func(h Hashes) Hashes { // of three kinds that have nothing in common
		h.Mean, h.Deviation = 100, 20
		switch rng.IntN(8) {
		case 0:
			h.Mean = 200
		case 1:
			h.Deviation = 60
		}
		return h
	}
	var hashes []Hashes
	for len(hashes) < 600 {
		h := Hashes{Whole: random(), Inner: random(), Flat: rng.IntN(20) == 0}
		hashes = append(hashes, h)
		for range rng.IntN(3) {
			switch rng.IntN(4) {
			case 0:
				hashes = append(hashes, h)
			case 1:
				hashes = append(hashes, Hashes{Whole: moved(h.Whole, 12, 90), Inner: random()})
			case 2:
				hashes = append(hashes, Hashes{Whole: moved(h.Inner, 9, 60), Inner: moved(h.Whole, 3, 8)})
			default:
				hashes = append(hashes, Hashes{Whole: moved(h.Whole, 11, 84), Inner: moved(h.Inner, 3, 8)})
			}
		}
	}
	for i := range hashes {
		hashes[i] = levels(hashes[i])
	}
	rng.Shuffle(len(hashes), func(i, j int) { hashes[i], hashes[j] = hashes[j], hashes[i] })
	for _, across := range []bool{false, true} {
		for _, workers := range []int{1, 4} {
			o := groupsOptions{distance: DefaultDistance, first: len(hashes) / 2, across: across, workers: workers}
			got, err := alike(context.Background(), hashes, o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(byPairs(hashes, o), got); diff != "" {
				t.Errorf("across %v (-all pairs +index):\n%s", across, diff)
			}
		}
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if _, err := alike(ended, hashes, groupsOptions{workers: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled it gives %v", err)
	}
}

// byPairs is alike by comparing all.
func byPairs(hashes []Hashes, o groupsOptions) []int32 {
	s := newSets(len(hashes))
	close := func(a, b *Hash) bool {
		return onesCount(spread(a.Low)^spread(b.Low)) <= reach && a.Distance(b) <= o.distance
	}
	for i := range hashes {
		for j := range i {
			a, b := &hashes[i], &hashes[j]
			same := a.Whole == b.Whole || a.Whole == b.Inner || a.Inner == b.Whole
			if a.Flat || b.Flat || !a.levels(b) || o.across && (i < o.first) == (j < o.first) && !same {
				continue
			}
			if close(&a.Whole, &b.Whole) || close(&a.Whole, &b.Inner) || close(&a.Inner, &b.Whole) {
				s.unite(int32(i), int32(j))
			}
		}
	}
	out := make([]int32, len(hashes))
	for i := range out {
		out[i] = s.find(int32(i))
	}
	return out
}

func onesCount(v uint64) (n int) {
	for ; v != 0; v &= v - 1 {
		n++
	}
	return n
}

// TestPartsReach: whatever bits differ, up to reach, some table has the two within its radius.
func TestPartsReach(t *testing.T) {
	for _, entries := range []int{1, 100 << 20} {
		bits, most := 0, 0
		for _, p := range partsOf(entries) {
			bits += p.width
			most += p.radius + 1
			seen := map[uint64]bool{}
			for _, m := range p.masks() {
				if onesCount(m) > p.radius || m >= 1<<p.width || seen[m] {
					t.Fatalf("%+v has the mask %b", p, m)
				}
				seen[m] = true
			}
			want, choose := 1, 1
			for k := range p.radius {
				choose = choose * (p.width - k) / (k + 1)
				want += choose
			}
			if len(seen) != want {
				t.Errorf("%+v has %d masks, want %d", p, len(seen), want)
			}
		}
		if bits != 64 || most <= reach {
			t.Errorf("parts of %d entries: %d bits, radii that reach %d", entries, bits, most-1)
		}
	}
	all := uint64(0)
	for b := range 64 {
		all |= spread(1 << b)
	}
	if all != 1<<64-1 {
		t.Errorf("spread loses bits: %x", all)
	}
}

// scene draws an image of its own.
func scene(seed uint64, w, h int) *image.RGBA {
	rng := rand.New(rand.NewPCG(seed, 1))
	im := image.NewRGBA(image.Rect(0, 0, w, h))
	type blob struct{ x, y, r, v float64 }
	var blobs []blob
	for range 24 {
		blobs = append(blobs, blob{rng.Float64(), rng.Float64(), 0.05 + 0.2*rng.Float64(), rng.Float64()*300 - 150})
	}
	for y := range h {
		for x := range w {
			v := 128.0
			for _, b := range blobs {
				dx, dy := float64(x)/float64(w)-b.x, float64(y)/float64(h)-b.y
				if dx*dx+dy*dy < b.r*b.r {
					v += b.v
				}
			}
			g := byte(min(max(v, 0), 255))
			i := im.PixOffset(x, y)
			im.Pix[i], im.Pix[i+1], im.Pix[i+2], im.Pix[i+3] = g, g/2, 255-g, 255
		}
	}
	return im
}

func jpegOf(t *testing.T, im image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, im, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func picture(path, synset string, label int64, b []byte) *shard.Image {
	return &shard.Image{Row: shard.Row{Path: path, Synset: synset, Label: label}, Bytes: b}
}

var synsets = []string{"n01440764", "n02084071"}

// TestLevels: images with one thing in the same corner of an even ground have one hash, whatever
// their ground is like; they are near only where that is as bright, a copy's a little less or more.
func TestLevels(t *testing.T) {
	corner := func(ground, thing uint8) []byte {
		im := image.NewGray(image.Rect(0, 0, 240, 180))
		for i := range im.Pix {
			im.Pix[i] = ground
			if x, y := i%240, i/240; x > 210 && y > 150 {
				im.Pix[i] = thing
			}
		}
		return jpegOf(t, im, 90)
	}
	dir := t.TempDir()
	shardtest.Write(t, dir, synsets, shardtest.Split{Name: "train", Images: []*shard.Image{
		picture("dark", synsets[0], 0, corner(20, 90)), picture("light", synsets[0], 0, corner(180, 250)),
		picture("light too", synsets[0], 0, corner(181, 250)), picture("strong", synsets[0], 0, corner(20, 250)),
	}})
	got, err := Find(context.Background(), shardtest.Open(t, dir), Options{Distance: DefaultDistance})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Groups) != 1 || names(got.Groups[0]) != "train light, train light too" || got.Flat != 0 {
		t.Errorf("%+v", got)
	}
}

func TestFind(t *testing.T) {
	blank := image.NewRGBA(image.Rect(0, 0, 90, 90))
	train := []*shard.Image{
		picture("a", synsets[0], 0, jpegOf(t, scene(1, 400, 300), 95)),
		picture("b", synsets[0], 0, jpegOf(t, scene(2, 400, 300), 95)),
		picture("blank", synsets[0], 0, jpegOf(t, blank, 90)),
		picture("blank too", synsets[0], 0, jpegOf(t, blank, 50)),
		picture("broken", synsets[0], 0, []byte("\xff\xd8\xffno image")),
		picture("c", synsets[1], 1, jpegOf(t, scene(3, 400, 300), 95)),
		picture("small a", synsets[1], 1, jpegOf(t, scene(1, 200, 150), 40)),
	}
	cut := scene(2, 400, 300).SubImage(image.Rect(12, 9, 385, 290))
	val := []*shard.Image{picture("cut b", synsets[0], 0, jpegOf(t, cut, 60)), picture("d", synsets[1], 1, jpegOf(t, scene(4, 333, 500), 80))}
	dir, other := t.TempDir(), t.TempDir()
	shardtest.Write(t, dir, synsets, shardtest.Split{Name: "val", Images: val}, shardtest.Split{Name: "train", Images: train})
	shardtest.Write(t, other, synsets[:1], shardtest.Split{Name: "test", Images: []*shard.Image{
		picture("of the web", synsets[0], 0, jpegOf(t, scene(3, 1000, 700), 50)), picture("new", "", -1, jpegOf(t, scene(9, 80, 60), 90)),
	}})
	set, against := shardtest.Open(t, dir), shardtest.Open(t, other)
	var told string
	o := Options{Distance: DefaultDistance, OnError: func(split, path string, err error) error { told = split + " " + path; return nil }}
	for _, workers := range []int{1, 3} {
		o.Workers = workers
		got, err := Find(context.Background(), set, o)
		if err != nil {
			t.Fatal(err)
		}
		if got.Images != 9 || got.Rejected != 1 || got.Flat != 2 || told != "train broken" {
			t.Errorf("%d images, %d rejected (%s), %d flat", got.Images, got.Rejected, told, got.Flat)
		}
		if len(got.Groups) != 2 || names(got.Groups[0]) != "train a, train small a" || names(got.Groups[1]) != "train b, val cut b" {
			t.Fatalf("%+v", got.Groups)
		}
		if g := got.Groups[0]; !g.LabelsDiffer || g.SplitsDiffer || g.Images[0].Distance != 0 || g.Images[1].Distance > 20 {
			t.Errorf("%+v", g)
		}
		if g := got.Groups[1]; g.LabelsDiffer || !g.SplitsDiffer || g.Images[1].Distance == 0 || g.Images[1].Label != 0 {
			t.Errorf("%+v", g)
		}
	}
	o.Against = against
	got, err := Find(context.Background(), set, o)
	if err != nil {
		t.Fatal(err)
	}
	if got.Images != 11 || len(got.Groups) != 1 || names(got.Groups[0]) != "train c, test of the web" || got.Groups[0].Images[1].Dataset != other || !got.Groups[0].LabelsDiffer {
		t.Errorf("against another dataset: %+v", got)
	}
	var csv bytes.Buffer
	if err := Write(&csv, encode.CSV, got.Groups); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("group,labels_differ,splits_differ,dataset,split,path,label,synset,distance\n0,1,1,%s,train,c,1,n02084071,0\n0,1,1,%s,test,of the web,0,n01440764,%d\n", dir, other, got.Groups[0].Images[1].Distance)
	if csv.String() != want {
		t.Errorf("as CSV:\n%swant\n%s", &csv, want)
	}
	stop := errors.New("stop")
	o.OnError = func(string, string, error) error { return stop }
	if _, err := Find(context.Background(), set, o); !errors.Is(err, stop) {
		t.Errorf("told to stop it gives %v", err)
	}
	shardtest.FlipImage(t, dir, "val/part-00000.arrow")
	if _, err := Find(context.Background(), shardtest.Open(t, dir), Options{}); !errors.Is(err, shard.ErrCorrupt) {
		t.Errorf("of a damaged shard it gives %v", err)
	}
}

func names(g Group) string {
	var all []string
	for _, im := range g.Images {
		all = append(all, im.Split+" "+im.Path)
	}
	return strings.Join(all, ", ")
}
