package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/sample"
	"github.com/synshard/synshard/internal/ui"
)

// sampleOptions are sample's flags.
type sampleOptions struct {
	sample.Options
	out string
}

// AddFlags adds them to the verb.
func (o *sampleOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.out, "out", "o", "", "directory for the archives; made when missing")
	f.IntVar(&o.TrainPerSynset, "train-per-synset", 100, "train images a synset")
	f.IntVar(&o.ValPerSynset, "val-per-synset", 25, "validation images a synset")
	f.IntVar(&o.Test, "test-images", 20, "test images in all")
	f.Uint64Var(&o.Seed, "seed", 1, "what is drawn depends on this alone")
	workersVar(f, &o.Workers, "images drawn at a time (0: one a CPU)")
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	cobra.CheckErr(cmd.MarkFlagDirname("out"))
}

func newSampleCmd(a *app) *cobra.Command {
	var o sampleOptions
	cmd := &cobra.Command{
		Use:   "sample --out DIR",
		Short: "Draw a small ImageNet-shaped set of images",
		Long: `Draws images of eight real synsets (tiger, ladybug, zebra, strawberry,
orange, lemon, banana, volcano) and packs them exactly as ILSVRC2012 is packed:
a train tar of per-synset tars, a flat val tar, a flat test tar, and the devkit
with meta.mat and the validation ground truth. For trying, testing and
benchmarking without ImageNet. The same seed gives the same bytes.`,
		Example: `  synshard sample --out sample
  synshard sample --out big --train-per-synset 1000 --val-per-synset 50 --seed 7`,
		Args: exactly(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runSample(cmd.Context(), o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runSample(ctx context.Context, o sampleOptions) error {
	if o.TrainPerSynset < 0 || o.ValPerSynset < 0 || o.Test < 0 || o.Workers < 0 {
		return usagef("numbers of images and workers cannot be negative")
	}
	bar := a.imageBar(int64(o.Total()), "drawing")
	defer bar.Finish()
	o.Progress = func(n int) { bar.Add64(int64(n)) }
	paths, err := sample.Write(ctx, o.out, o.Options)
	if err != nil {
		return err
	}
	bar.Finish()
	return a.printFiles(o.out, paths)
}

// printFiles prints the files a verb made, with their sizes.
func (a *app) printFiles(out string, paths []string) error {
	type file struct {
		Path  string `json:"path"`
		Bytes int64  `json:"bytes"`
	}
	files := make([]file, len(paths))
	for i, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		files[i] = file{p, info.Size()}
	}
	return a.Result(map[string]any{"out": out, "files": files}, func(w io.Writer) {
		for _, f := range files {
			fmt.Fprintf(w, "%12d  %s\n", f.Bytes, ui.Text(f.Path))
		}
	})
}
