package shard_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
)

// TestBrowse: a browser says of every row, and of every synset, what the whole index says.
func TestBrowse(t *testing.T) {
	d := shardtest.Open(t, "testdata/v1")
	for _, name := range d.Splits() {
		whole, err := d.Split(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := d.Browse(name)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		counts := map[string]shard.SynsetRows{}
		rows := map[string][]int{}
		for i := range whole.Len() {
			want := whole.Row(i)
			got, err := b.Row(i)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s: row %d (-whole +browser):\n%s", name, i, diff)
			}
			image, err := b.Read(&got, nil)
			wantImage, wantErr := whole.Read(i, nil)
			if diff := gocmp.Diff(wantImage, image); diff != "" || err != nil || wantErr != nil {
				t.Errorf("%s: image %d: %v, %v\n%s", name, i, err, wantErr, diff)
			}
			c := counts[want.Synset]
			counts[want.Synset] = shard.SynsetRows{Synset: want.Synset, Images: c.Images + 1, Bytes: c.Bytes + want.Length}
			rows[want.Synset] = append(rows[want.Synset], i)
		}
		got, gotRows := map[string]shard.SynsetRows{}, map[string][]int{}
		for n, s := range b.Synsets() {
			got[s.Synset] = s
			for k := range int(s.Images) {
				row := b.RowOf(n, k)
				gotRows[s.Synset] = append(gotRows[s.Synset], row)
				if at := b.PlaceOf(n, row); at != k {
					t.Errorf("%s: row %d of %s is at %d, want %d", name, row, s.Synset, at, k)
				}
			}
		}
		if diff := gocmp.Diff(counts, got) + gocmp.Diff(rows, gotRows); diff != "" {
			t.Errorf("%s (-counted +browser):\n%s", name, diff)
		}
	}
	if _, err := d.Browse("no such"); !errors.Is(err, shard.ErrNoSplit) {
		t.Errorf("no such split: %v", err)
	}
}

// TestBrowseDamaged: an index that is not the manifest's is damage, wherever a bit flipped.
func TestBrowseDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(filepath.Join(dir, "val", shard.IndexName))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(sound); at += 97 {
		shardtest.Edit(t, dir, "val/"+shard.IndexName, func([]byte) []byte {
			b := append([]byte(nil), sound...)
			b[at] ^= 4
			return b
		})
		if _, err := shardtest.Open(t, dir).Browse("val"); !errors.Is(err, shard.ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v", at, err)
		}
	}
}
