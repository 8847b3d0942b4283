package ingest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
)

// TestExportedKit hands on a dataset whose classes have the development kit's
// numbers, which no tree and no table holds: they come back.
func TestExportedKit(t *testing.T) {
	dir, o := drawn(t)
	run(t, o)
	set := shardtest.Open(t, o.Out)
	for _, c := range set.Classes() {
		if c.ILSVRC2012ID == 0 {
			t.Fatalf("%s has no number of the kit", c.Synset)
		}
	}
	exported(t, dir, o.Out)
}

// TestExportedTwice reads two exports that say different things of a class: it
// is described anew.
func TestExportedTwice(t *testing.T) {
	p := &Plan{}
	for i, gloss := range []string{"a large cat", "a tiger"} {
		dir := t.TempDir()
		classes := []shard.Class{{Label: 0, Synset: "n02129604", Gloss: gloss}, {Label: 1, Synset: "n07749582", ILSVRC2012ID: 3}}
		if _, err := shard.WriteClasses(mkdir(t, dir, shard.ExportName), classes[:2-i]); err != nil {
			t.Fatal(err)
		}
		p.o.Sources = append(p.o.Sources, Source{Path: dir})
	}
	if err := p.readExported(); err != nil {
		t.Fatal(err)
	}
	want := []shard.Class{{Label: 0, Synset: "n02129604"}, {Label: 1, Synset: "n07749582", ILSVRC2012ID: 3, Words: []string{}, Path: []string{}}}
	if diff := cmp.Diff(want, []shard.Class{p.class(0, "n02129604"), p.class(1, "n07749582")}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func mkdir(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}
