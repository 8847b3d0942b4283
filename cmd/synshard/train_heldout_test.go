package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/train/views"
)

// TestHeldOutAsIngest: train --val-fraction takes the images that ingest's takes.
func TestHeldOutAsIngest(t *testing.T) {
	words := t.TempDir() // a WordNet of one synset
	check(t, os.WriteFile(filepath.Join(words, "data.noun"), []byte("01440764 05 n 01 tench 0 000 | a fish\n"), 0o666))
	t.Setenv("SYNSHARD_WORDNET", words)
	in, random := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	for i, class := range []string{"a", "b", "c"} {
		check(t, os.Mkdir(filepath.Join(in, class), 0o777))
		for k := range 12 {
			check(t, os.WriteFile(filepath.Join(in, class, fmt.Sprint(k, ".jpg")), colourImage(t, random, i, "").Bytes, 0o666))
		}
	}
	whole, split := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "split")
	runVerb(t, exitOK, "ingest", in, "--out", whole, "--as-split", "train", "--progress", "off")
	runVerb(t, exitOK, "ingest", in, "--out", split, "--val-fraction", "0.4", "--seed", "5", "--progress", "off")
	v, err := views.Open(shardtest.Open(t, whole), views.Options{Split: "train", HeldOut: views.HeldOut{Fraction: 0.4, Seed: 5}})
	check(t, err)
	names := func(v *shard.View) map[string]bool {
		out := map[string]bool{}
		for i := range v.Len() {
			out[v.Synset(i)+"/"+v.Path(i)] = true
		}
		return out
	}
	want := names(shardtest.View(t, shardtest.OpenSplit(t, split, "train")))
	if got := names(v.Train); len(want) == 0 || len(want) == 36 || !maps.Equal(got, want) {
		t.Errorf("%d images to learn, ingest has %d, or they are others", len(got), len(want))
	}
}

func TestHeldOutFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--val-fraction", "1"}, {"--val-fraction", "-0.1"}, {"--val-fraction", "0.1", "--fold", "0/5"}, {"--val-fraction", "0.1", "--val-split", "val"},
		{"--split-seed", "1"}, {"--fold", "5/5"}, {"--fold", "1"}, {"--fold", "a/b"}, {"--fold", "-1/3"}, {"--fold", "0/1"},
	} {
		runVerb(t, exitUsage, append([]string{"train", "nowhere", "--out", t.TempDir()}, args...)...)
	}
}
