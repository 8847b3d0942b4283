package sample

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/raced"
)

// members reads a tar into name -> content, and the names in archive order.
func members(t *testing.T, r io.Reader) (map[string][]byte, []string) {
	t.Helper()
	out := map[string][]byte{}
	var names []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out, names
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name], names = b, append(names, h.Name)
	}
}

func open(t *testing.T, path string) io.Reader {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b)
}

func TestWriteIsShapedLikeILSVRC2012(t *testing.T) {
	raced.Skip(t, "TestSameBytesWhateverTheWorkers is watched")
	dir := filepath.Join(t.TempDir(), "a", "b")
	drawn := 0
	o := Options{TrainPerSynset: 2, ValPerSynset: 2, Test: 3, Seed: 7, Progress: func(n int) { drawn += n }}
	paths, err := Write(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{o.Total(), 4}, []int{drawn, len(paths)}); diff != "" {
		t.Errorf("images drawn, archives (-want +got):\n%s", diff)
	}

	train, names := members(t, open(t, filepath.Join(dir, TrainTar)))
	if len(names) != len(synsets) || !slices.IsSorted(names) {
		t.Errorf("train tar holds %v", names)
	}
	inner, names := members(t, bytes.NewReader(train["n02391049.tar"]))
	if want := []string{"n02391049_1.JPEG", "n02391049_2.JPEG"}; !slices.Equal(names, want) {
		t.Errorf("n02391049.tar holds %v, want %v", names, want)
	}
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(inner["n02391049_1.JPEG"]))
	if err != nil || cfg.Width < 280 || cfg.Height < 280 {
		t.Errorf("a train image is %v, %v", cfg, err)
	}

	val, names := members(t, open(t, filepath.Join(dir, ValTar)))
	if len(val) != 16 || val["ILSVRC2012_val_00000001.JPEG"] == nil || val["ILSVRC2012_val_00000016.JPEG"] == nil {
		t.Errorf("val tar holds %v", names)
	}
	if slices.IsSorted(names) {
		t.Error("the val tar is in the order of its names; the real one is not")
	}
	if test, names := members(t, open(t, filepath.Join(dir, TestTar))); len(test) != 3 || test["ILSVRC2012_test_00000003.JPEG"] == nil {
		t.Errorf("test tar holds %v", names)
	}

	z, err := gzip.NewReader(open(t, filepath.Join(dir, Devkit)))
	if err != nil {
		t.Fatal(err)
	}
	kit, _ := members(t, z)
	if kit["ILSVRC2012_devkit_t12/data/meta.mat"] == nil {
		t.Error("devkit without meta.mat")
	}
	// Line k is the id of the k-th image by name: the image must be the
	// one that synset draws.
	truth := strings.Fields(string(kit["ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"]))
	byID := map[string]Synset{}
	for _, s := range synsets {
		byID[string(rune('0'+s.ILSVRC2012ID))] = s
	}
	for _, k := range []int{0, 5, 15} {
		want := val["ILSVRC2012_val_000000"+[]string{"01", "06", "16"}[map[int]int{0: 0, 5: 1, 15: 2}[k]]+".JPEG"]
		found := false
		for n := range o.ValPerSynset {
			b, err := Image(byID[truth[k]], "val", n, o.Seed)
			if err != nil {
				t.Fatal(err)
			}
			found = found || bytes.Equal(b, want)
		}
		if !found {
			t.Errorf("validation image %d is not one of %s", k+1, byID[truth[k]].WNID)
		}
	}
}

func TestIDsAreNotInSynsetOrder(t *testing.T) {
	var ids []int
	for _, s := range Synsets() {
		ids = append(ids, s.ILSVRC2012ID)
	}
	if !slices.IsSortedFunc(Synsets(), func(a, b Synset) int { return strings.Compare(a.WNID, b.WNID) }) {
		t.Error("synsets are not sorted")
	}
	if slices.IsSorted(ids) {
		t.Error("ids are in synset order: a mix-up of the two would go unseen")
	}
	slices.Sort(ids)
	if !slices.Equal(ids, []int{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("ids are %v, want 1 to 8", ids)
	}
}

func TestSameBytesWhateverTheWorkers(t *testing.T) {
	read := func(workers int, seed uint64) map[string]string {
		dir := t.TempDir()
		paths, err := Write(t.Context(), dir, Options{TrainPerSynset: 1, ValPerSynset: 1, Test: 1, Seed: seed, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Base(p)] = string(b)
		}
		return out
	}
	one, four, other := read(1, 3), read(4, 3), read(4, 4)
	for name := range one {
		if one[name] != four[name] {
			t.Errorf("%s differs between 1 and 4 workers", name)
		}
	}
	if one[TrainTar] == other[TrainTar] {
		t.Error("another seed drew the same images")
	}
}

func TestWriteStopsAndRefuses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := Write(ctx, dir, Options{TrainPerSynset: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Write gave %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("a cancelled Write left %v", left)
	}
	if _, err := Write(t.Context(), dir, Options{Test: -1}); err == nil {
		t.Error("a negative number was taken")
	}
	if _, err := Image(Synset{WNID: "n00000001"}, "train", 0, 1); err == nil {
		t.Error("an unknown synset was drawn")
	}
}
