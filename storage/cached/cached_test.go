package cached_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/cached"
	"github.com/synshard/synshard/storage/storagetest"
)

// made writes a dataset of n JPEGs into a directory: the images of the frozen one, with
// something behind their ends that makes each another.
func made(t *testing.T, dir string, n int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	from := shardtest.OpenSplit(t, "../../shard/testdata/v1", "train")
	s := shardtest.Split{Name: "train", BySynset: true}
	for i := range n {
		b, err := from.Read(i%from.Len(), nil)
		if err != nil {
			t.Fatal(err)
		}
		tail := make([]byte, 3000+rand.IntN(3000))
		row := from.Row(i % from.Len())
		row.Path, row.SHA256 = fmt.Sprintf("%04d.jpg", i), [32]byte{}
		row.Synset, row.Label = []string{"n01440764", "n01443537"}[i%2], int64(i%2)
		s.Images = append(s.Images, &shard.Image{Row: row, Bytes: append(bytes.Clone(b), tail...)})
	}
	shardtest.Write(t, dir, []string{"n01440764", "n01443537"}, s)
}

// epoch reads the images of an epoch as training does and gives their pixels.
func epoch(t *testing.T, v *shard.View, n int, a loader.Advisor) []byte {
	t.Helper()
	l, err := loader.New(t.Context(), v, loader.Options{
		Batch: 16, Workers: 4, Shuffle: true, Seed: 7, Epoch: n, Advisor: a,
		Train: &pixel.Train{Size: 32, AreaMin: 0.5, AreaMax: 1, AspectMin: 1, AspectMax: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var all []byte
	for {
		b, err := l.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Images...)
		b.Release()
	}
}

// keeper is what a run gives the loader.
type keeper struct {
	f *cached.Files
	v *shard.View
}

func (k keeper) WillNeed(i int) { r := k.v.Row(i); k.f.Want(r.File, r.Offset, r.Length) }
func (k keeper) DontNeed(int)   {}
func (k keeper) Keep(i int, next int64) {
	r := k.v.Row(i)
	k.f.Used(r.File, r.Offset, next)
}

type remote struct {
	f *cached.Files
	v *shard.View
}

func open(t *testing.T, url, dir string, budget int64) remote {
	t.Helper()
	f, err := cached.Open(t.Context(), url, dir, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	set, err := shard.OpenRemote(url, f)
	if err != nil {
		t.Fatal(err)
	}
	s, err := set.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	r := remote{f, shardtest.View(t, s)}
	if budget > 0 {
		if err := f.Keep("test", budget); err != nil {
			t.Fatal(err)
		}
		for i := range r.v.Len() {
			row := r.v.Row(i)
			f.Adopt(row.File, row.Offset, row.Length, 1<<40)
		}
	}
	return r
}

// TestTraining reads epochs of a dataset in a bucket, through faults: the pixels are
// those of the same dataset in a directory, an epoch of what fits asks for nothing, nor
// does another run, and of what does not fit as much is kept as can be.
func TestTraining(t *testing.T) {
	const n = 240
	s := storagetest.Start(t)
	dir := filepath.Join(s.Dir, "set")
	made(t, dir, n)
	proxy := storagetest.Before(t, s, storagetest.Faults{Refuse: 0.05, Cut: 0.05, Seed: 5})
	url := s.Via(proxy, "set")
	local := shardtest.View(t, shardtest.OpenSplit(t, dir, "train"))
	var total int64
	for i := range n {
		total += local.Row(i).Length
	}
	want := make([][]byte, 3)
	for e := range want {
		want[e] = epoch(t, local, e, nil)
	}
	kept := t.TempDir()
	whole := open(t, url, kept, total)
	for e := range want {
		before := whole.f.Figures()
		if got := epoch(t, whole.v, e, keeper(whole)); !bytes.Equal(got, want[e]) {
			t.Errorf("epoch %d: other pixels", e)
		}
		after := whole.f.Figures()
		if e == 0 {
			continue
		}
		if diff := cmp.Diff([]int64{0, n}, []int64{after.Requests - before.Requests, after.Hits - before.Hits}); diff != "" {
			t.Errorf("epoch %d: requests and hits (-want +got):\n%s", e, diff)
		}
	}
	again := open(t, url, kept, total)
	before := again.f.Figures()
	if got := epoch(t, again.v, 0, keeper(again)); !bytes.Equal(got, want[0]) {
		t.Error("another run: other pixels")
	}
	if after := again.f.Figures(); after.Requests != before.Requests {
		t.Errorf("another run asked %d times", after.Requests-before.Requests)
	}
	// What was damaged here is had from there.
	damaged := 0
	filepath.WalkDir(filepath.Join(kept, "ranges"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			for i := range b {
				b[i] ^= 0x40
			}
			damaged++
			return os.WriteFile(path, b, 0o666)
		}
		return err
	})
	if got := epoch(t, again.v, 1, keeper(again)); damaged == 0 || !bytes.Equal(got, want[1]) {
		t.Error("damaged: other pixels")
	}

	// Half of it: keeping what is asked for first serves more than half of the images
	// that any order of throwing away by age would.
	half := open(t, url, t.TempDir(), total/2)
	for e := range want {
		before := half.f.Figures()
		if got := epoch(t, half.v, e, keeper(half)); !bytes.Equal(got, want[e]) {
			t.Errorf("half, epoch %d: other pixels", e)
		}
		after := half.f.Figures()
		if hits := after.Hits - before.Hits; e > 0 && hits < n*45/100 {
			t.Errorf("half, epoch %d: %d hits of %d", e, hits, n)
		}
	}
}

// TestInOrder reads a dataset in order: large ranges, and the index once.
func TestInOrder(t *testing.T) {
	s := storagetest.Start(t)
	dir := filepath.Join(s.Dir, "set")
	made(t, dir, 300)
	kept := t.TempDir()
	for range 2 {
		r := open(t, s.URL("set"), kept, 0)
		local := shardtest.View(t, shardtest.OpenSplit(t, dir, "train"))
		for i := range local.Len() {
			got, err := r.v.Read(i, nil)
			want, werr := local.Read(i, nil)
			if err != nil || werr != nil || !bytes.Equal(got, want) {
				t.Fatal(i, err, werr)
			}
		}
		// dataset.json is looked at and read, so is each shard, in few ranges.
		if f := r.f.Figures(); f.Requests > 30 {
			t.Errorf("%d requests", f.Requests)
		}
	}
}
