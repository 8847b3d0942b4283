package stats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/internal/golden"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/census"
	"github.com/synshard/synshard/shard/shardtest"
)

// torchvisionGolden is what torchvision, Pillow and NumPy make of some images:
// scripts/golden/stats_torchvision.py.
type torchvisionGolden struct {
	Images []string `json:"images"`
	Raw    Pixels   `json:"raw"`
	Eval   Pixels   `json:"eval"`
	Width  Spread   `json:"width"`
	Height Spread   `json:"height"`
	Aspect Spread   `json:"aspect"`
	Bytes  Spread   `json:"bytes"`
}

// goldenSet is a dataset of the golden images in three classes, of which one is empty: five of
// the first, four of the second, with one that cannot be decoded if broken.
func goldenSet(t *testing.T, want *torchvisionGolden, broken bool) *shard.View {
	golden.Read(t, "testdata/torchvision.json", want)
	var images []*shard.Image
	for i, name := range want.Images {
		b, err := os.ReadFile(filepath.Join("../../pixel/testdata/kinds", name))
		if err != nil {
			b, err = os.ReadFile(filepath.Join("../../pixel/testdata/resize", name))
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := pixel.Probe(b)
		if err != nil {
			t.Fatal(err)
		}
		label := int64(i / 5)
		images = append(images, &shard.Image{Row: shard.Row{Path: fmt.Sprintf("%02d", i), Label: label, Synset: synsets[label],
			Width: int32(info.Width), Height: int32(info.Height), Format: info.Format, Mode: info.Mode}, Bytes: b})
	}
	if broken {
		images = append(images, &shard.Image{Row: shard.Row{Path: "broken", Label: -1}, Bytes: []byte("no image")})
	}
	dir := t.TempDir()
	shardtest.Write(t, dir, synsets, shardtest.Split{Name: "val", Images: images})
	return shardtest.View(t, shardtest.OpenSplit(t, dir, "val"))
}

var synsets = []string{"n01440764", "n02084071", "n02121620"}

func TestDescribe(t *testing.T) {
	var want torchvisionGolden
	s := Describe([]census.View{{Split: "val", View: goldenSet(t, &want, true)}})[0]
	same := cmpopts.EquateApprox(0, 1e-9)
	for name, one := range map[string][2]Spread{"width": {want.Width, s.Width}, "height": {want.Height, s.Height}, "aspect": {want.Aspect, s.Aspect}} {
		if diff := cmp.Diff(one[0], one[1], same); diff != "" {
			t.Errorf("%s (-NumPy +ours):\n%s", name, diff)
		}
	}
	if s.Images != 10 || s.Unsized != 1 || s.Formats["JPEG"] != 4 || s.Formats[""] != 1 || s.Modes["P"] != 2 {
		t.Errorf("%d images, %d unsized, formats %v, modes %v", s.Images, s.Unsized, s.Formats, s.Modes)
	}
	entropy := -(5.0/9*math.Log(5.0/9) + 4.0/9*math.Log(4.0/9))
	if diff := cmp.Diff(Balance{Listed: 3, Empty: 1, Unlabeled: 1, Smallest: 4, Median: 4, Largest: 5, Effective: math.Exp(entropy)}, s.Classes, same); diff != "" {
		t.Errorf("balance (-want +got):\n%s", diff)
	}
	if got := Names(s.Formats)[0]; got != "JPEG" {
		t.Errorf("the commonest format is %q", got)
	}
	whole := Describe([]census.View{{Split: "val", View: goldenSet(t, &want, false)}})[0]
	if diff := cmp.Diff(want.Bytes, whole.Length, same); diff != "" {
		t.Errorf("bytes (-NumPy +ours):\n%s", diff)
	}
}

func TestMeasure(t *testing.T) {
	var want torchvisionGolden
	view := goldenSet(t, &want, true)
	for _, one := range []struct {
		of   string
		eval *pixel.Eval
		want Pixels
	}{{Raw, nil, want.Raw}, {Eval, &pixel.Eval{Size: 224, Resize: 256}, want.Eval}} {
		one.want.Of, one.want.Images, one.want.Rejected = one.of, int64(len(want.Images)), 1
		var first *Pixels
		for _, workers := range []int{1, 5} {
			told := 0
			got, err := Measure(context.Background(), view, MeasureOptions{Eval: one.eval, EachOptions: loader.EachOptions{Workers: workers,
				OnError: func(i int, err error) error { told += i; return nil }}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(one.want, *got, cmpopts.IgnoreUnexported(Pixels{}), cmpopts.EquateApprox(0, 1e-6)); diff != "" {
				t.Errorf("%s (-torchvision +ours):\n%s", one.of, diff)
			}
			if told == 0 {
				t.Error("nobody was told of the broken image")
			}
			if first == nil {
				first = got
			} else if *first != *got {
				t.Errorf("%s: five workers have %+v, one %+v", one.of, got, first)
			}
		}
	}
	some, err := Measure(context.Background(), view, MeasureOptions{Limit: 3})
	if err != nil || some.Images != 3 {
		t.Errorf("of three images %+v, %v", some, err)
	}
	stop := errors.New("stop")
	if _, err := Measure(context.Background(), view, MeasureOptions{EachOptions: loader.EachOptions{OnError: func(int, error) error { return stop }}}); !errors.Is(err, stop) {
		t.Errorf("told to stop it gives %v", err)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if _, err := Measure(ended, view, MeasureOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled it gives %v", err)
	}
}

func TestWritePlot(t *testing.T) {
	var want torchvisionGolden
	view := goldenSet(t, &want, false)
	splits := Describe([]census.View{{Split: "val", View: view}})
	var err error
	if splits[0].Pixels, err = Measure(context.Background(), view, MeasureOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "stats.svg")
	if err := WritePlot(path, splits); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Images by their shorter side", "val (9)", "2 of 3 classes", "Values of pixels, val (raw, 9 images)"} {
		if !bytes.Contains(b, []byte(text)) {
			t.Errorf("the plot does not say %q", text)
		}
	}
}
