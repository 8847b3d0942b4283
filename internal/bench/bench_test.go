package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/bench"
	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/modeltest"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/train"
)

// folder makes a directory of n images and of files that are none.
func folder(t *testing.T, n int) *bench.Folder {
	t.Helper()
	dir := t.TempDir()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 40, 32)), nil); err != nil {
		t.Fatal(err)
	}
	put := func(name string, text []byte) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	put("notes.txt", []byte("none"))
	put("bad.jpg", []byte("no image"))
	for i := range n {
		put(filepath.Join("deep", string(rune('a'+i))+".JPEG"), b.Bytes())
	}
	f, err := bench.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMeasureLoader(t *testing.T) {
	src := folder(t, 5)
	if src.Len() != 6 {
		t.Fatalf("%d images, want 6", src.Len())
	}
	turns, unreadable := 0, 0
	r, err := bench.MeasureLoader(t.Context(), src, bench.LoaderOptions{
		Loader:  loader.Options{Batch: 4, Eval: &pixel.Eval{Size: 16, Resize: 16}},
		Workers: []int{1, 2}, Rounds: 2, Time: 80 * time.Millisecond,
		OnTurn: func() { turns++ }, OnUnreadable: func(int, string) { unreadable++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"turns": 8, "told unreadable": 1, "unreadable": 1, "images": 6, "runs": 2}
	got := map[string]int{"turns": turns, "told unreadable": unreadable, "unreadable": r.Unreadable, "images": r.Images, "runs": len(r.Runs)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("measured (-want +got):\n%s", diff)
	}
	if r.Scarce == "" {
		t.Error("nothing is said to be scarce")
	}
	for _, x := range r.Runs {
		if sum := x.Share.Read + x.Share.CRC + x.Share.Decode + x.Share.Resize + x.Share.Idle; !(math.Abs(sum-1) <= 0.01) {
			t.Errorf("%+v: shares add up to %.3f", x, sum)
		}
		if x.Share.CRC != 0 {
			t.Errorf("%.3f of the time goes into sums that a folder has not", x.Share.CRC)
		}
		if !(min(x.ImagesPerSecond, x.Ratio) > 0) {
			t.Errorf("%v images a second, %v of decoding alone", x.ImagesPerSecond, x.Ratio)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bench.MeasureLoader(ended, src, bench.LoaderOptions{Loader: loader.Options{Batch: 4, Eval: &pixel.Eval{Size: 16, Resize: 16}}, Workers: []int{1}, Rounds: 1, Time: time.Minute}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFirst(t *testing.T) {
	src := folder(t, 5)
	for n, want := range map[int]int{0: 6, 2: 2, 6: 6, 100: 6} {
		if got := bench.First(src, n).Len(); got != want {
			t.Errorf("First(%d) has %d", n, got)
		}
	}
}

func TestBatchesWithoutImages(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.jpg"), []byte("no image"), 0o666); err != nil {
		t.Fatal(err)
	}
	src, err := bench.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	net := modeltest.Network(t, "alexnet", model.Options{Classes: 2})
	b := bench.Loaded(t.Context(), src, net, 2, 1, nil)
	defer b.Close()
	_, err = bench.MeasureSteps(t.Context(), nil, bench.StepOptions{Batches: b, Network: net, Batch: 2, Warmup: 1, Steps: 1})
	if err == nil || !strings.Contains(err.Error(), "image") {
		t.Errorf("steps without an image: %v", err)
	}
}

// stepCounter is an engine that notes what is asked of it.
type stepCounter struct {
	bench.Engine
	calls []string
}

func (s *stepCounter) Step(*loader.Batch, train.Step) (train.Metrics, error) {
	s.calls = append(s.calls, "step")
	return train.Metrics{}, nil
}

func (s *stepCounter) CountMemoryAnew() error { return nil }

func (s *stepCounter) Memory() (now, peak int64, err error) { return 0, 0, nil }

// TestProfiledSteps: what a profiler is shown are the measured steps and no other.
func TestProfiledSteps(t *testing.T) {
	net := modeltest.Network(t, "alexnet", model.Options{Classes: 2})
	b, err := bench.Synthetic(net, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	e := &stepCounter{}
	o := bench.StepOptions{Batches: b, Network: net, Batch: 1, Warmup: 2, Steps: 3, Profile: func(on bool) error {
		e.calls = append(e.calls, fmt.Sprintf("profile %v", on))
		return nil
	}}
	if _, err := bench.MeasureSteps(t.Context(), e, o); err != nil {
		t.Fatal(err)
	}
	want := []string{"step", "step", "profile true", "step", "step", "step", "profile false"}
	if diff := cmp.Diff(want, e.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	o.Profile = func(bool) error { return errors.New("no profiler") }
	if _, err := bench.MeasureSteps(t.Context(), e, o); err == nil || err.Error() != "no profiler" {
		t.Errorf("a profiler that fails: %v", err)
	}
}

// TestOpenImages: a dataset's split with the places of its images, or else a folder.
func TestOpenImages(t *testing.T) {
	const frozen = "../../shard/testdata/v1"
	m, err := bench.OpenImages(frozen, "val", 3, shard.Open)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	row := m.Row(2)
	offset, length := row.Offset, row.Length
	b, err := m.Read(2, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(frozen, filepath.FromSlash(row.File)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole[offset:offset+length], b); diff != "" || m.Len() != 3 {
		t.Errorf("%d images, want 3; the last (-where it is said to lie +read):\n%s", m.Len(), diff)
	}
	if _, err := bench.OpenImages(frozen, "none", 0, shard.Open); !errors.Is(err, shard.ErrNoSplit) {
		t.Errorf("another split: %v", err)
	}
	if _, err := bench.OpenImages(t.TempDir(), "val", 0, shard.Open); !errors.Is(err, shard.ErrNotDataset) || !strings.Contains(err.Error(), "no images lie there") {
		t.Errorf("an empty folder: %v", err)
	}
}
