// Order tells which images a run of 'synshard train' is fed, and how each is cut: a line of JSON an image, in the run's
// order, for others to train on the same.
//
//	go run ./scripts/learning/order DATASET RUN
//
// RUN's config.yaml says the rest. Of each image: its epoch and step, counted from 0 and over the run, its synset and
// path, and the part of it in pixels, mirrored or not, of which the recipe makes the input. Recipes that distort an
// image further are refused: that is not told.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/synshard/synshard/loader"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/views"
)

// line is one image as a step is fed it.
type line struct {
	Epoch    int    `json:"epoch"`
	Step     int    `json:"step"`
	Synset   string `json:"synset"`
	Path     string `json:"path"`
	X        int    `json:"x"`
	Y        int    `json:"y"`
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	Mirrored bool   `json:"mirrored"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: order DATASET RUN")
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	if err := errors.Join(tell(out, os.Args[1], os.Args[2]), out.Flush()); err != nil {
		fmt.Fprintln(os.Stderr, "order:", err)
		os.Exit(1)
	}
}

func tell(w io.Writer, dataset, run string) error {
	text, err := os.ReadFile(filepath.Join(run, "config.yaml"))
	if err != nil {
		return err
	}
	r, err := recipe.Parse(text)
	if err != nil {
		return err
	}
	set, err := shard.Open(dataset)
	if err != nil {
		return err
	}
	defer set.Close()
	v, err := views.Open(set, views.Options{Split: "train"})
	if err != nil {
		return err
	}
	cut := *v.Data(r, 1, nil).TrainOptions.Train
	if err := onlyCuts(r, cut); err != nil {
		return err
	}
	out, steps := json.NewEncoder(w), v.Train.Len()/r.Batch
	for epoch := range r.Epochs {
		perm := loader.Permutation(int64(v.Train.Len()), r.Seed, epoch)
		for place := range steps * r.Batch {
			row := perm.At(int64(place))
			pcg := loader.Randomness(r.Seed, epoch, row)
			width, height, _, _ := v.Train.Shape(int(row))
			if width < 1 || height < 1 {
				return fmt.Errorf("%s: the index has not its size", v.Train.Path(int(row)))
			}
			part, mirrored := cut.Region(int(width), int(height), rand.New(&pcg))
			if err := out.Encode(line{
				epoch, epoch*steps + place/r.Batch, v.Train.Synset(int(row)), v.Train.Path(int(row)),
				part.Min.X, part.Min.Y, part.Dx(), part.Dy(), mirrored,
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// onlyCuts refuses what makes more of an image than a part of it, or of a row more than one image.
func onlyCuts(r recipe.Recipe, cut pixel.Train) error {
	cut.Size, cut.AreaMin, cut.AreaMax, cut.AspectMin, cut.AspectMax = 0, 0, 0, 0, 0
	cut.Flip, cut.Exact, cut.Interpolation, cut.Crop = false, false, "", ""
	cut.PolicyOps, cut.PolicyMagnitude, cut.EraseWith = 0, 0, [3]byte{} // nothing without a policy, and without erasing
	if cut != (pixel.Train{}) || r.Loss.Mixup > 0 || r.Loss.CutMix > 0 || r.Augment.Repeats > 1 || r.Sampling != "shuffle" || len(r.Augment.Sizes) > 0 {
		return errors.New("the recipe distorts, mixes, repeats or draws images, or changes their size: only crops and flips are told")
	}
	return nil
}
