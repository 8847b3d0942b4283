package infer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/infer/prediction"
	"github.com/synshard/synshard/internal/arrowipc"
	"github.com/synshard/synshard/internal/filetest"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source"
)

// album is images of one colour each, in memory; a nil one cannot be read.
type album struct {
	images  [][]byte
	damaged int // this one is corrupt; 0: none
}

func newAlbum(t testing.TB, n int) *album {
	t.Helper()
	a := &album{}
	for i := range n {
		b, err := pixel.EncodeJPEG(8, 8, bytes.Repeat([]byte{byte(i), byte(i >> 8), byte(7 * i)}, 64), 95)
		if err != nil {
			t.Fatal(err)
		}
		a.images = append(a.images, b)
	}
	return a
}

func (a *album) Len() int            { return len(a.images) }
func (a *album) Path(i int) string   { return fmt.Sprintf("p%05d.jpg", i) }
func (a *album) Synset(i int) string { return []string{"ant", "bee", "cat", ""}[i%4] }
func (a *album) Read(i int, buf []byte) ([]byte, error) {
	if i == a.damaged && i > 0 {
		return nil, fmt.Errorf("image %d: %w", i, shard.ErrCorrupt)
	}
	if a.images[i] == nil {
		return nil, fmt.Errorf("%w: image %d is gone", source.ErrUnreadable, i)
	}
	return append(buf[:0], a.images[i]...), nil
}

// colours is a network whose scores are functions of the first pixel, and which
// takes longer for some batches than for others.
type colours struct {
	slow  bool
	calls atomic.Int64
	stop  func(call int64)
}

func (c *colours) Predict(ctx context.Context, images []byte, n int) (Outputs, error) {
	if c.stop != nil {
		c.stop(c.calls.Add(1))
	}
	if c.slow {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
	}
	var out Outputs
	for i := range n {
		p := images[i*48:]
		sum := float32(p[0]) + float32(p[1]) + float32(p[2]) + 3
		for j := range 3 {
			out.Probabilities = append(out.Probabilities, (float32(p[j])+1)/sum)
			out.Logits = append(out.Logits, float32(p[j]))
		}
		out.Embedding = append(out.Embedding, float32(p[0]), float32(p[1])/3)
	}
	return out, ctx.Err()
}

func options(a *album, batch int) Options {
	return Options{Predictor: &colours{slow: true}, Source: a, Batch: batch, Runs: 3, Columns: prediction.Columns{TopK: 2}, Input: "album", Model: "colours", Backend: "test",
		Spec: model.Spec{InputSize: 4, Resize: 4, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"ant", "bee", "cat"}}}
}

func fingerprint(o Options) string {
	h := o.header()
	return h.Fingerprint()
}

func mustRun(t *testing.T, o Options, path string, format prediction.Format) ([]byte, Summary) {
	t.Helper()
	sum, err := Run(t.Context(), o, path, format)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(prediction.ChunksDir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("chunks are left: %v", err)
	}
	return b, sum
}

// eachRecord reads an Arrow file.
func eachRecord(path string, f func(arrow.Record) error) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := arrowipc.OpenBytes(b)
	if err != nil {
		return err
	}
	for i := range file.Batches() {
		rec, err := file.Record(i, nil)
		if err != nil {
			return err
		}
		if err := f(rec); err != nil {
			return err
		}
	}
	return nil
}

// TestOrderAndFailures expects a row an image in the source's order, those
// that failed too, whatever the order in which batches are done.
func TestOrderAndFailures(t *testing.T) {
	a := newAlbum(t, 5000)
	a.images[17], a.images[4999] = nil, []byte("no image")
	var failed []string
	o := options(a, 7)
	o.OnError = func(path, reason string) { failed = append(failed, path) }
	path := filepath.Join(t.TempDir(), "out.arrow")
	_, sum := mustRun(t, o, path, "arrow")
	if diff := cmp.Diff(counted{Rows: 5000, Failed: 2, Known: 3750}, counts(sum)); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{a.Path(17), a.Path(4999)}, failed); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
	row := 0
	err := eachRecord(path, func(rec arrow.Record) error {
		paths, errs := rec.Column(0).(*array.String), rec.Column(6).(*array.String)
		probs := rec.Column(5).(*array.FixedSizeList)
		for i := range int(rec.NumRows()) {
			if want := a.Path(row); paths.Value(i) != want {
				t.Fatalf("row %d is %s", row, paths.Value(i))
			}
			bad := row == 17 || row == 4999
			if errs.IsNull(i) == bad || probs.IsNull(i) != bad {
				t.Errorf("row %d: error %q, predictions missing: %v", row, errs.ValueStr(i), probs.IsNull(i))
			}
			row++
		}
		return nil
	})
	if err != nil || row != 5000 {
		t.Errorf("%d rows: %v", row, err)
	}
	again, err := Run(t.Context(), o, path, "arrow")
	if diff := cmp.Diff(counted{Rows: 5000, Failed: 2, Already: true}, counts(again)); diff != "" || err != nil {
		t.Errorf("a rerun: %v (-want +got):\n%s", err, diff)
	}
}

// counted is what a run counts, without what it says of that.
type counted struct {
	Rows, Failed, Kept, Known int
	Already                   bool
}

func counts(s Summary) counted { return counted{s.Rows, s.Failed, s.Kept, s.Known, s.Already} }

// TestTruncatedIsAccepted only if asked for, and that is another prediction.
func TestTruncatedIsAccepted(t *testing.T) {
	a := newAlbum(t, 6)
	a.images[2] = a.images[2][:len(a.images[2])-6]
	o := options(a, 4)
	strict := fingerprint(o)
	if _, sum := mustRun(t, o, filepath.Join(t.TempDir(), "a.csv"), "csv"); sum.Failed != 1 {
		t.Errorf("%d of 6 failed, one ends early", sum.Failed)
	}
	o.Truncated = true
	if _, sum := mustRun(t, o, filepath.Join(t.TempDir(), "b.csv"), "csv"); sum.Failed != 0 {
		t.Errorf("%d of 6 failed, with what there is accepted", sum.Failed)
	}
	if fingerprint(o) == strict {
		t.Error("the fingerprint does not say that what there is is accepted")
	}
}

// TestResume stops a run in the middle, in every format, and expects the rerun
// to skip what is done and end in the bytes of a run that was never stopped.
func TestResume(t *testing.T) {
	a := newAlbum(t, 6500)
	a.images[3000] = nil
	for _, name := range append(slices.Clone(prediction.Formats), "csv.gz", "tsv.zst", "ndjson.zst") {
		format := prediction.Format(name)
		t.Run(name, func(t *testing.T) {
			if format != prediction.Arrow {
				raced.Skip(t, "formats differ in what one goroutine writes")
			}
			dir := t.TempDir()
			o := options(a, 16)
			o.Columns = prediction.Columns{TopK: 2, Probabilities: true, Logits: true, Embedding: "fp16", Width: 2}
			want, _ := mustRun(t, o, filepath.Join(dir, "whole"), format)

			path := filepath.Join(dir, "out")
			first := filepath.Join(prediction.ChunksDir(path), "chunk-000000.arrow")
			ctx, cancel := context.WithCancel(t.Context())
			half := o
			half.Predictor = &colours{stop: func(call int64) {
				if call == 320 { // of 407, when a part is done that is left as it is, and one that is damaged
					awaitFile(t, first)
					awaitFile(t, filepath.Join(filepath.Dir(first), "chunk-000001.arrow"))
					cancel()
				}
			}}
			if _, err := Run(ctx, half, path, format); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Fatal("a file of half the rows has its name")
			}
			damage(t, first)
			skipped := 0
			o.OnKept = func(n int) { skipped = n }
			got, sum := mustRun(t, o, path, format)
			if !bytes.Equal(got, want) {
				t.Error("other bytes than those of a run that was not stopped")
			}
			if diff := cmp.Diff(counted{Rows: 6500, Failed: 1, Kept: skipped, Known: sum.Known}, counts(sum)); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
			if skipped == 0 {
				t.Error("nothing was kept of the run that was stopped")
			}
			other := o
			other.Columns.TopK = 1
			if _, err := Run(t.Context(), other, path, format); !errors.Is(err, prediction.ErrOther) {
				t.Errorf("other options over it: %v", err)
			}
		})
	}
}

// awaitFile returns when a file is there.
func awaitFile(t *testing.T, path string) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s: not there after a minute", path)
			return
		}
	}
}

// damage cuts a part short: it is made anew.
func damage(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 200); err != nil {
		t.Fatal(err)
	}
}

func TestPartsOfOthersAreKept(t *testing.T) {
	a := newAlbum(t, 3000)
	path := filepath.Join(t.TempDir(), "out.arrow")
	ctx, cancel := context.WithCancel(t.Context())
	o := options(a, 8)
	o.Predictor = &colours{stop: func(call int64) {
		if call == 300 { // of 375
			awaitFile(t, filepath.Join(prediction.ChunksDir(path), "chunk-000000.arrow"))
			cancel()
		}
	}}
	if _, err := Run(ctx, o, path, "arrow"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	o.Predictor, o.Model = &colours{}, "another"
	if _, err := Run(t.Context(), o, path, "arrow"); !errors.Is(err, prediction.ErrOther) || !strings.Contains(err.Error(), ".chunks") {
		t.Errorf("another model over the parts of one: %v", err)
	}
}

// TestMerge expects parts, in any order and of any number, to make the bytes of
// the whole.
func TestMerge(t *testing.T) {
	raced.Skip(t, "one goroutine merges; TestResume is watched")
	a := newAlbum(t, 5003)
	a.images[9] = nil
	dir := t.TempDir()
	for _, batch := range []int{8, 13} {
		o := options(a, batch)
		o.Columns.Embedding, o.Columns.Width = "fp32", 2
		want, _ := mustRun(t, o, filepath.Join(dir, fmt.Sprintf("whole%d", batch)), "arrow")
		for _, n := range []int{2, 3, 60} {
			var names []string
			for i := range n {
				o.Job = prediction.Job{Index: i, Count: n}
				names = append(names, filepath.Join(dir, fmt.Sprintf("b%d-%d-of-%d", batch, i, n)))
				mustRun(t, o, names[i], "arrow")
			}
			slices.Reverse(names)
			out := filepath.Join(dir, fmt.Sprintf("merged%d-%d", batch, n))
			sum, err := prediction.Merge(names, prediction.MergeOptions{Path: out, Format: prediction.Arrow})
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("batch %d in %d jobs: other bytes than the whole", batch, n)
			}
			if diff := cmp.Diff(counted{Rows: 5003, Failed: 1}, counted{Rows: sum.Rows, Failed: sum.Failed}); diff != "" {
				t.Errorf("batch %d in %d jobs (-want +got):\n%s", batch, n, diff)
			}
			if _, err := prediction.Merge(names[1:], prediction.MergeOptions{Path: out + "x", Format: prediction.Arrow}); !errors.Is(err, prediction.ErrJobs) || !strings.Contains(err.Error(), "missing") {
				t.Errorf("a part short: %v", err)
			}
			if _, err := prediction.Merge(append(names, names[0]), prediction.MergeOptions{Path: out + "x", Format: prediction.Arrow}); !errors.Is(err, prediction.ErrJobs) {
				t.Errorf("a part twice: %v", err)
			}
			names[0] = filepath.Join(dir, fmt.Sprintf("whole%d", batch))
			if _, err := prediction.Merge(names, prediction.MergeOptions{Path: out + "x", Format: prediction.Arrow}); !errors.Is(err, prediction.ErrJobs) {
				t.Errorf("a whole among parts: %v", err)
			}
		}
	}
}

// TestDamageEndsTheRun: what lies before damage is kept, all of it, however slow the network
// is and whichever of the workers come first.
func TestDamageEndsTheRun(t *testing.T) {
	a := newAlbum(t, 3000)
	a.damaged = 2048
	path := filepath.Join(t.TempDir(), "out.arrow")
	if _, err := Run(t.Context(), options(a, 8), path, "arrow"); !errors.Is(err, shard.ErrCorrupt) {
		t.Fatalf("damaged data: %v", err)
	}
	a.damaged = 0
	_, sum := mustRun(t, options(a, 8), path, "arrow")
	if sum.Kept != 2048 {
		t.Errorf("%d rows skipped after the data were mended", sum.Kept)
	}
}

// failing is a network that fails at images by their first pixel, and at the lower ones late.
type failing struct {
	colours
	at map[byte]time.Duration
}

func (f *failing) Predict(ctx context.Context, images []byte, n int) (Outputs, error) {
	if wait, fails := f.at[images[0]]; fails {
		time.Sleep(wait)
		return Outputs{}, fmt.Errorf("batch of image %d", images[0])
	}
	return f.colours.Predict(ctx, images, n)
}

// TestFirstFailureIsTold: of batches at work whose prediction fails the first is told, whichever
// failed before.
func TestFirstFailureIsTold(t *testing.T) {
	o := options(newAlbum(t, 200), 1)
	o.Runs, o.Predictor = 3, &failing{at: map[byte]time.Duration{40: 50 * time.Millisecond, 41: 0, 42: 0}}
	for _, to := range []string{"file", "stream"} {
		var err error
		if to == "file" {
			_, err = Run(t.Context(), o, filepath.Join(t.TempDir(), "out.arrow"), "arrow")
		} else {
			_, err = Stream(t.Context(), o, io.Discard, "ndjson")
		}
		if err == nil || !strings.Contains(err.Error(), "image 40") {
			t.Errorf("to a %s: %v", to, err)
		}
	}
}

// swapped is a network whose weights are changed by somebody in its nth call.
type swapped struct {
	colours
	nth int64
}

func (s *swapped) Unchanged() error {
	if s.calls.Load() >= s.nth {
		return errors.New("the weights were changed")
	}
	return nil
}

// TestChangedNetworkKeepsNothing: what another network may have predicted is not kept.
func TestChangedNetworkKeepsNothing(t *testing.T) {
	a := newAlbum(t, 3000)
	path := filepath.Join(t.TempDir(), "out.arrow")
	o := options(a, 8)
	o.Runs, o.Predictor = 1, &swapped{colours: colours{stop: func(int64) {}}, nth: 300} // in the second chunk of three
	if _, err := Run(t.Context(), o, path, "arrow"); err == nil || err.Error() != "the weights were changed" {
		t.Fatalf("a network that was changed: %v", err)
	}
	_, sum := mustRun(t, options(a, 8), path, "arrow")
	if sum.Kept > 2048 {
		t.Errorf("%d rows were kept", sum.Kept)
	}
	if _, err := Stream(t.Context(), o, io.Discard, "ndjson"); err == nil {
		t.Error("a stream took them")
	}
}

func TestStreamToFullDisk(t *testing.T) {
	for _, format := range append(slices.Clone(prediction.Formats), "csv.gz", "tsv.zst", "ndjson.zst") {
		for _, room := range []int{0, 10, 4000} {
			if _, err := Stream(t.Context(), options(newAlbum(t, 2500), 8), &filetest.Full{Left: room}, prediction.Format(format)); !errors.Is(err, filetest.ErrFull) {
				t.Errorf("%s with room for %d bytes: %v", format, room, err)
			}
		}
	}
}

func TestChanceIsPointedOut(t *testing.T) {
	a := newAlbum(t, 400)
	for i := range a.images { // the network says ant for all
		a.images[i] = a.images[255&^0xff+255]
	}
	for _, c := range []struct {
		classes []string
		want    string
	}{
		{[]string{"ant", "bee", "cat"}, ""},
		{[]string{"elk", "emu", "fox"}, "is one of the model"},
	} {
		o := options(a, 8)
		o.Spec.Classes = c.classes
		var out bytes.Buffer
		sum, err := Stream(t.Context(), o, &out, "ndjson")
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" && sum.Right*2 > sum.Known { // sanity of the fixture
			t.Errorf("%+v", sum)
		}
		if c.want != "" && !strings.Contains(sum.Warning, c.want) {
			t.Errorf("%v: %q", c.classes, sum.Warning)
		}
	}
	var o Options
	o.Spec.Classes = make([]string, 100)
	for _, c := range []struct {
		right int
		own   bool
		want  string
	}{{9, false, "label order"}, {9, true, ""}, {200, false, ""}} {
		o.OwnClasses = c.own
		s := Summary{Known: 1000, Right: c.right}
		if s.warn(&o); c.want == "" && s.Warning != "" || !strings.Contains(s.Warning, c.want) {
			t.Errorf("%d right of 1000 among 100 classes, the model's own: %v: %q", c.right, c.own, s.Warning)
		}
	}
}
