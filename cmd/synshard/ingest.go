package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/ingest"
)

func newIngestCmd(a *app) *cobra.Command {
	var o ingest.Options
	var wordnet, classes string
	cmd := &cobra.Command{
		Use:   "ingest [SOURCE...] --out DIR",
		Short: "Turn archives or folders of images into a dataset",
		Long: `Sources are told apart by looking into them; a flag names one that cannot be, or a
pipe. A directory of archives stands for the archives in it.

Reads ILSVRC2012's archives in place, in parallel, without extracting them, and
writes Arrow shards by synset, an index, the classes and a manifest. Archives of
ImageNet-21k are read the same way. A compressed archive, or one from a pipe (-),
is read front to back; a pipe needs --devkit or --classes, because labels depend
on all classes. Other sources: a folder or zip with a directory a class, Kaggle's
tree or zip, WebDataset tars, Hugging Face's Parquet files, a list of files.
A split that a dataset does not have is added to it.

Labels of the validation set go from the ground
truth's ILSVRC2012_ID through the development kit to the synset and from there
to the class index, which is the place in ascending synset order.

An image that is not one, or cannot be decoded, is kept under rejected/ with the
reason in rejected.ndjson (exit 3). The same command continues what was
interrupted and does nothing when all is done; the result is the same bytes
whatever -j.`,
		Example: `  synshard ingest --train ILSVRC2012_img_train.tar --val ILSVRC2012_img_val.tar \
      --devkit ILSVRC2012_devkit_t12.tar.gz --out imagenet
  curl -s https://example.org/train.tar | synshard ingest --train - --devkit kit.tar.gz --out imagenet
  synshard ingest archives/*.tar archives/*.tar.gz --out imagenet
  synshard ingest imagenet-object-localization-challenge.zip --out imagenet
  synshard ingest images --out mine --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ingest.Detect(args, &o); err != nil {
				return fmt.Errorf("ingest: %w", err)
			}
			return a.ingest(cmd, o, wordnet, classes)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Train, "train", "", "training archive: a tar of one tar a synset")
	f.StringVar(&o.Val, "val", "", "validation archive: a flat tar; needs --devkit")
	f.StringVar(&o.Test, "test", "", "test archive: a flat tar, without labels")
	f.StringVar(&o.Devkit, "devkit", "", "development kit: labels of the validation archive, ILSVRC2012_IDs")
	f.StringVar(&o.Folder, "folder", "", "folder with a directory a class, instead of --train")
	f.StringVar(&o.Kaggle, "kaggle", "", "Kaggle's tree (with ILSVRC/Data/CLS-LOC below it) or its zip: every split")
	f.StringArrayVar(&o.WebDataset, "webdataset", nil, "WebDataset tar with .jpg and .cls or .json; repeatable")
	f.StringArrayVar(&o.Parquet, "parquet", nil, "Parquet file as Hugging Face has them; repeatable")
	f.StringVar(&o.List, "list", "", "CSV or TSV of path,label")
	splitVar(cmd, &o.Split, "split", "train", "split that --webdataset, --parquet and --list fill")
	f.StringArrayVar(&o.Boxes, "boxes", nil, "archive or directory of bounding boxes; repeatable")
	f.StringVar(&classes, "classes", "", "file with a class a line: all there are, and what numbers as labels mean")
	f.IntVar(&o.Resize, "resize", 0, "make images smaller whose shorter side is longer (0: keep the originals)")
	f.IntVar(&o.Quality, "quality", 90, "JPEG quality of images made smaller")
	f.StringVarP(&o.Out, "out", "o", "", "directory of the dataset; made when missing, continued when there")
	f.IntVarP(&o.Workers, "workers", "j", 0, "synsets worked on at a time (0: one more than CPUs)")
	f.Int64Var(&o.ShardBytes, "shard-bytes", 256<<20, "bytes of images where a shard is cut")
	f.StringVar(&o.Check, "check", "decode", "what an image must survive: header or decode")
	f.StringVar(&o.OnBad, "on-bad", "quarantine", "an image that does not: fail, skip or quarantine")
	f.BoolVar(&o.DryRun, "dry-run", false, "print the plan and stop")
	wordnetVar(cmd, &wordnet)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	return cmd
}

func (a *app) ingest(cmd *cobra.Command, o ingest.Options, wordnet, classes string) error {
	switch {
	case o.Train == "" && o.Val == "" && o.Test == "" && o.Folder == "" && o.Kaggle == "" && len(o.WebDataset)+len(o.Parquet) == 0 && o.List == "":
		return usagef("ingest: nothing to read: give a source, or --train, --val, --test, --folder, --kaggle, --webdataset, --parquet or --list")
	case o.Resize < 0 || o.Quality < 1 || o.Quality > 100:
		return usagef("ingest: --resize %d, --quality %d", o.Resize, o.Quality)
	case o.Split != "train" && o.Split != "val" && o.Split != "test":
		return usagef("ingest: --split %q: want train, val or test", o.Split)
	case o.Train != "" && o.Folder != "":
		return usagef("ingest: --train and --folder are two sources for one split")
	case o.Val != "" && o.Devkit == "":
		return usagef("ingest: --val has no labels in it: give --devkit too")
	case o.Workers < 0 || o.ShardBytes < 1:
		return usagef("ingest: --workers %d, --shard-bytes %d", o.Workers, o.ShardBytes)
	case o.Check != "header" && o.Check != "decode":
		return usagef("ingest: --check %q: want header or decode", o.Check)
	case o.OnBad != "fail" && o.OnBad != "skip" && o.OnBad != "quarantine":
		return usagef("ingest: --on-bad %q: want fail, skip or quarantine", o.OnBad)
	}
	var err error
	if o.WordNet, err = a.openWordNet(wordnet); err != nil {
		return err
	}
	if classes != "" {
		b, err := os.ReadFile(classes)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(string(b), "\n") {
			if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); name != "" {
				o.Classes = append(o.Classes, name)
			}
		}
		if len(o.Classes) == 0 {
			return fmt.Errorf("%s: no classes in it", classes)
		}
	}
	o.Stdin = a.stdin
	ctx := cmd.Context()
	var bar progress = noProgress{}
	var images atomic.Int64
	o.OnPlan = func(p ingest.Plan) {
		var total int64
		streams := false
		for _, s := range p.Splits {
			total += s.Bytes
			if s.Stream {
				streams = true
			}
		}
		if streams {
			total = -1 // nobody knows what is in a pipe
		}
		if !o.DryRun {
			bar = a.byteBar(total, "ingesting")
		} else {
			err = a.printPlan(p)
		}
	}
	o.OnRead = func(n int64, k int) {
		bar.Describe(fmt.Sprintf("%d images", images.Add(int64(k))))
		bar.Add64(n)
	}
	sum, runErr := ingest.Run(ctx, o)
	bar.Finish()
	switch {
	case runErr != nil && ctx.Err() != nil:
		return stopped(errors.New("ingest: stopped; the same command continues"))
	case runErr != nil:
		return runErr
	case err != nil || o.DryRun:
		return err
	}
	if err := a.printIngest(sum); err != nil {
		return err
	}
	if sum.Rejected > 0 {
		return refused(fmt.Errorf("ingest: %d images were refused; see %s/rejected.ndjson", sum.Rejected, o.Out))
	}
	return nil
}

func (a *app) printPlan(p ingest.Plan) error {
	if a.jsonOut {
		return json.NewEncoder(a.stdout).Encode(p)
	}
	for _, s := range p.Splits {
		if _, err := fmt.Fprintf(a.stdout, "%s\t%d groups, %d done, %d bytes to read\t%s\n", s.Split, s.Groups, s.Done, s.Bytes, s.Source); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printIngest(s ingest.Summary) error {
	if a.jsonOut {
		return json.NewEncoder(a.stdout).Encode(s)
	}
	already := ""
	if s.Already {
		already = " (nothing to do)"
	}
	if s.Inner > 0 {
		a.logf("ingest: %d of the classes are ancestors of others", s.Inner)
	}
	for _, note := range s.Notes {
		a.logf("ingest: %s", note)
	}
	_, err := fmt.Fprintf(a.stdout, "%s: %d images in %d classes, %d bytes, %d refused%s\n", s.Out, s.Images, s.Classes, s.Bytes, s.Rejected, already)
	return err
}
