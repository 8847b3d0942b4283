package report

import (
	"bytes"
	"context"
	"errors"
	"image/color"
	"image/jpeg"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/web/look"
)

// plain is an image of one colour.
func plain(t *testing.T, path, synset string, label int64, shade byte) *shard.Image {
	t.Helper()
	const w, h = 200, 120
	b, err := pixel.EncodeJPEG(w, h, bytes.Repeat([]byte{shade}, w*h*3), 95)
	if err != nil {
		t.Fatal(err)
	}
	return &shard.Image{Bytes: b, Row: shard.Row{Path: path, Synset: synset, Label: label, Width: w, Height: h, Format: "JPEG", Mode: "RGB"}}
}

func TestDataset(t *testing.T) {
	dir := t.TempDir()
	broken := plain(t, "broken", "n00000002", 1, 9)
	broken.Bytes = []byte("no image")
	shardtest.Write(t, dir, []string{"n00000001", "n00000002"},
		shardtest.Split{Name: "train", BySynset: true, Images: []*shard.Image{plain(t, "a", "n00000001", 0, 50), plain(t, "a", "n00000002", 1, 100)}},
		shardtest.Split{Name: "val", Images: []*shard.Image{plain(t, "b", "n00000001", 0, 150), broken}})
	var refused []string
	d := &Dataset{Set: shardtest.Open(t, dir), OnError: func(path string, _ error) { refused = append(refused, path) }}
	got, err := d.Thumbnails(t.Context(), []ImageName{
		{"a", "n00000001"}, {"a", "n00000002"}, // the same path in two classes
		{"a", ""}, {"b", ""}, // of one class, or of any of two
		{"broken", "n00000002"}, {"b", "n00000002"}, {"c", ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	shades := map[ImageName]int{}
	for name, b := range got {
		im, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff([]int{look.ThumbnailSize, look.ThumbnailSize}, []int{im.Bounds().Dx(), im.Bounds().Dy()}); d != "" {
			t.Error(d)
		}
		shades[name] = int(color.GrayModel.Convert(im.At(70, 70)).(color.Gray).Y)
	}
	if d := gocmp.Diff(map[ImageName]int{{"a", "n00000001"}: 50, {"a", "n00000002"}: 100, {"b", ""}: 150}, shades); d != "" {
		t.Errorf("shades of %v (-want +got):\n%s", slices.Collect(maps.Keys(got)), d)
	}
	if d := gocmp.Diff([]string{"broken"}, refused); d != "" {
		t.Error(d)
	}
}

// TestDamagedDatasetIsNotShown: an image that is not what it was is no image that cannot be shown.
func TestDamagedDatasetIsNotShown(t *testing.T) {
	dir := t.TempDir()
	im := plain(t, "a", "n00000001", 0, 50)
	shardtest.Write(t, dir, []string{"n00000001"}, shardtest.Split{Name: "val", Images: []*shard.Image{im}})
	parts, err := filepath.Glob(filepath.Join(dir, "val", "part-*.arrow"))
	if err != nil || len(parts) != 1 {
		t.Fatal(parts, err)
	}
	b, err := os.ReadFile(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, im.Bytes)+len(im.Bytes)/2] ^= 1
	if err := os.WriteFile(parts[0], b, 0o666); err != nil {
		t.Fatal(err)
	}
	d := &Dataset{Set: shardtest.Open(t, dir), OnError: func(path string, err error) { t.Errorf("%s: %v", path, err) }}
	if _, err := d.Thumbnails(t.Context(), []ImageName{{"a", ""}}); !errors.Is(err, shard.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

var errAway = errors.New("the store is away")

// far is a dataset of which no image can be had at the moment.
type far string

func (f far) ReadFile(name string, _ int64) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(f), name))
}
func (f far) Fetch(name, _ string) (string, error)                { return filepath.Join(string(f), name), nil }
func (f far) Read(string, []byte, int64, func([]byte) bool) error { return errAway }

// TestDatasetIsAway: that is no fault of the images, of which none is left out.
func TestDatasetIsAway(t *testing.T) {
	dir := t.TempDir()
	shardtest.Write(t, dir, []string{"n00000001"}, shardtest.Split{Name: "val", Images: []*shard.Image{plain(t, "a", "n00000001", 0, 50)}})
	set, err := shard.OpenRemote("far", far(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	d := &Dataset{Set: set, OnError: func(path string, err error) { t.Errorf("%s: %v", path, err) }}
	if _, err := d.Thumbnails(t.Context(), []ImageName{{"a", ""}}); !errors.Is(err, errAway) {
		t.Errorf("%v", err)
	}
}

func TestDatasetIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := &Dataset{Set: shardtest.Open(t, "../../shard/testdata/v1")}
	if _, err := d.Thumbnails(ctx, []ImageName{{"x", ""}}); err != context.Canceled {
		t.Errorf("%v", err)
	}
}
