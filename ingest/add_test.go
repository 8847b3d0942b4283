package ingest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/internal/raced"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/check"
	"github.com/synshard/synshard/storage/files"
)

const voc = `<annotation><object><name>n02391049</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>`

// TestBoxesLater adds boxes to a whole dataset, interrupted at every shard, and
// expects what boxes from the start give; shards without boxes are not touched.
func TestBoxesLater(t *testing.T) {
	raced.Skip(t, "TestAdd is watched")
	dir, o := drawn(t)
	names := rows(t, func() string { run(t, o); return o.Out.String() }(), "train")
	image := strings.Fields(names[0])[2]
	boxes := filepath.Join(dir, "boxes.tar")
	pack(t, boxes, "val/ILSVRC2012_val_00000003.xml", voc, "train/"+imagenet.Stem(image)+".xml", voc)
	with := o
	with.Boxes, with.Out = []string{boxes}, files.Local(filepath.Join(dir, "with"))
	run(t, with)
	want := tree(t, with.Out.String())

	other := filepath.Join(o.Out.String(), filepath.FromSlash(shard.ShardName("train", strings.Fields(names[len(names)-1])[0], 0)))
	before, err := os.Stat(other)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	later := Options{Boxes: []string{boxes}, Out: o.Out, Workers: 1, OnRead: func(int64, int) { cancel() }}
	if _, err := ingest(ctx, later); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if _, err := shard.Open(o.Out.String()); !errors.Is(err, shard.ErrNotDataset) {
		t.Errorf("a dataset half with boxes is one: %v", err)
	}
	if _, err := ingest(t.Context(), o); err == nil || !strings.Contains(err.Error(), "boxes") {
		t.Errorf("without the boxes in between: %v", err)
	}
	later.OnRead = nil
	run(t, later)
	if diff := cmp.Diff(want, tree(t, o.Out.String())); diff != "" {
		t.Error(diff)
	}
	if after, err := os.Stat(other); err != nil || !os.SameFile(before, after) {
		t.Errorf("a shard without boxes was written: %v", err)
	}
	if s := run(t, later); !s.Already {
		t.Errorf("again: %+v", s)
	}
	if p, err := check.Verify(t.Context(), o.Out, check.VerifyOptions{}); err != nil || len(p) > 0 {
		t.Error(p, err)
	}
	strangers := filepath.Join(dir, "strangers.tar")
	pack(t, strangers, "val/nobody.xml", voc)
	if _, err := ingest(t.Context(), Options{Boxes: []string{strangers}, Out: o.Out}); err == nil || !strings.Contains(err.Error(), "none of these is in the dataset") {
		t.Errorf("boxes of images that it does not have: %v", err)
	}
	if _, err := ingest(t.Context(), Options{Boxes: []string{boxes}, Out: files.Local(filepath.Join(dir, "nothing"))}); err == nil || !strings.Contains(err.Error(), "not a dataset") {
		t.Errorf("boxes without images: %v", err)
	}
}

// TestClassesLater adds classes to a dataset whose class list has them: the
// shards there are not read or written again, and labels stay.
func TestClassesLater(t *testing.T) {
	raced.Skip(t, "TestAdd is watched")
	dir, o := drawn(t)
	good := oneImage(t, o)
	root := filepath.Join(dir, "images")
	put(t, root, "b/1.jpg", good, "d/1.jpg", good)
	o = of(root)
	o.Out, o.Classes = files.Local(filepath.Join(dir, "grows")), list(t, "a", "b", "c", "d")
	run(t, o)
	there := filepath.Join(o.Out.String(), filepath.FromSlash(shard.ShardName("train", "b", 0)))
	before, err := os.Stat(there)
	if err != nil {
		t.Fatal(err)
	}
	more := filepath.Join(dir, "more")
	put(t, more, "a/1.jpg", good, "c/1.jpg", good, "c/2.jpg", "no image")
	o.Sources = of(more).Sources
	ctx, cancel := context.WithCancel(t.Context())
	cut := o
	cut.Workers, cut.OnRead = 1, func(int64, int) { cancel() }
	if _, err := ingest(ctx, cut); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	wantRun(t, o, Summary{Images: 4, Classes: 4, Rejected: 1})
	wantRows(t, o.Out.String(), "train", "a 0 1.jpg 0", "b 1 1.jpg 0", "c 2 1.jpg 0", "d 3 1.jpg 0")
	if after, err := os.Stat(there); err != nil || !os.SameFile(before, after) {
		t.Errorf("a class that was there was written again: %v", err)
	}
	if p, err := check.Verify(t.Context(), o.Out, check.VerifyOptions{}); err != nil || len(p) > 0 {
		t.Error(p, err)
	}
	wantRun(t, o, Summary{Images: 4, Classes: 4, Rejected: 1, Already: true})
	put(t, more, "a/2.jpg", good)
	if _, err := ingest(t.Context(), o); err == nil || !strings.Contains(err.Error(), "train") {
		t.Errorf("an image more in a class that is there: %v", err)
	}
	put(t, more, "e/1.jpg", good)
	if _, err := ingest(t.Context(), o); err == nil || !strings.Contains(err.Error(), `"e"`) {
		t.Errorf("a class that is not in the list: %v", err)
	}
}
