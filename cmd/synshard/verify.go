package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard"
	checks "github.com/synshard/synshard/shard/check"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/wordnet"
)

// verifyOptions are verify's flags.
type verifyOptions struct {
	fast, duplicates   bool
	repair, acceptLoss bool
	workers            int
	wordnet            string
	nearOptions
}

// AddFlags adds them to the verb.
func (o *verifyOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.fast, "fast", false, "look at sizes, footers and counts only")
	f.BoolVar(&o.duplicates, "duplicates", false, "list images with the same bytes instead")
	f.BoolVar(&o.repair, "repair", false, "write indexes, lists, manifest and class list anew from good shards")
	f.BoolVar(&o.acceptLoss, "accept-loss", false, "with --repair: make a dataset of what is left where something is lost")
	workersVar(f, &o.workers, "images read at a time (0: one a CPU)")
	wordnetVar(cmd, &o.wordnet)
	o.nearOptions.AddFlags(cmd)
}

func newVerifyCmd(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify DATASET",
		Short: "Check every byte of a dataset, or repair what can be",
		Long: `Reads a dataset again and holds it to its sums: the manifest to its own, class
list, indexes and lists to the manifest, every shard to its sum, to the rows that
lie in it and to the split and class where it lies, every image to its CRC-32C
and SHA-256, refused images to theirs, names to UTF-8. Says nothing of a sound
dataset on stdout; else what is wrong, a line each, and exit code 4. Files that
are no part of the dataset are named on stderr.

--fast looks at sizes, footers and counts and reads no image. --duplicates
lists images with the same bytes, within and across splits, with their labels,
and checks nothing. --near lists images that look alike, in groups, whatever
their bytes: resized, recompressed and slightly cropped copies; with --against
those that another dataset has, too. Finding some is no damage: exit code 0.
docs/HYGIENE.md says what is found, and what not.

--repair writes indexes, lists, manifest and class list anew from the shards,
where all of these are good; it never changes a shard. Where shards, images,
classes or splits are fewer than manifest, lists, indexes and class list say, it
names what is lost, writes nothing and ends with 4; --accept-loss makes a dataset
of what is left. While an ingest is unfinished it is refused: the same ingest
continues.`,
		Example: "  synshard verify imagenet\n  synshard verify imagenet --fast --json\n  synshard verify imagenet --duplicates\n  synshard verify imagenet --near --against web --out leaks.csv",
		Args:    exactly(1, 1, "a dataset"),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return o.check(cmd) },
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runVerify(cmd.Context(), args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runVerify(ctx context.Context, name string, o verifyOptions) error {
	switch {
	case count(o.fast, o.duplicates, o.near, o.repair) > 1:
		return usagef("--fast, --duplicates, --near and --repair exclude each other")
	case o.acceptLoss && !o.repair:
		return usagef("--accept-loss has no effect without --repair")
	case o.workers < 0:
		return usagef("--workers %d: want 0 (one a CPU) or more", o.workers)
	case o.duplicates:
		return a.listDuplicates(name)
	case o.near:
		return a.listNear(ctx, name, o)
	}
	dir, err := a.openDir(name)
	if err != nil {
		return err
	}
	if o.repair {
		return a.repairDataset(ctx, dir, o)
	}
	return a.verify(ctx, dir, o)
}

func count(flags ...bool) (n int) {
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

// imageBytes is what a dataset's manifest says is to be read, -1 if unknown.
func imageBytes(dir files.Dir) int64 {
	m, err := shard.ReadManifest(dir)
	if err != nil {
		return -1 // whoever reads it in earnest says what is wrong
	}
	return m.ImageBytes()
}

func (a *app) verify(ctx context.Context, dir files.Dir, f verifyOptions) error {
	o := checks.VerifyOptions{Fast: f.fast, Workers: f.workers}
	if !f.fast {
		bar := a.imageByteBar(imageBytes(dir), "verifying")
		defer bar.Finish()
		o.OnBytes = bar.Add64
	}
	var foreign []string
	o.OnForeign = func(file string) { foreign = append(foreign, file) }
	found, err := checks.Verify(ctx, dir, o)
	if err != nil {
		return err
	}
	if m, err := shard.ReadManifest(dir); err == nil { // else that is among what was found
		a.metrics.Images.Set(m.Images())
	}
	for _, file := range foreign {
		a.Warnf("%s: no part of the dataset", ui.Text(file))
	}
	return a.printVerified(verified{Dataset: dir.String(), Problems: found, Foreign: foreign})
}

// verified is the result of verify and of a repair.
type verified struct {
	Dataset  string           `json:"dataset"`
	Sound    bool             `json:"sound"`
	Problems []checks.Problem `json:"problems"`
	Foreign  []string         `json:"foreign,omitempty"` // files that are no part of the dataset
	Lost     []checks.Problem `json:"lost,omitempty"`    // to repair
	Wrote    []string         `json:"wrote,omitempty"`   // by repair
	Forgot   bool             `json:"forgot,omitempty"`  // what the dataset was made from
}

// printVerified prints what is wrong with a dataset, what is lost and what was
// written, and makes the error for exit code 4.
func (a *app) printVerified(out verified) error {
	refused := len(out.Lost) > 0 && len(out.Wrote) == 0
	out.Sound = len(out.Problems) == 0 && !refused
	if out.Problems == nil {
		out.Problems = []checks.Problem{}
	}
	err := a.Result(out, func(w io.Writer) {
		for _, p := range out.Problems {
			fmt.Fprintln(w, ui.Text(fmt.Sprint(p)))
		}
		for _, p := range out.Lost {
			fmt.Fprintf(w, "lost: %s\n", ui.Text(fmt.Sprint(p)))
		}
		for _, name := range out.Wrote {
			fmt.Fprintf(w, "wrote %s\n", ui.Text(name))
		}
		if out.Forgot {
			fmt.Fprintln(w, "the manifest no longer says what the dataset was made from: the same ingest is refused, or makes it anew with --overwrite")
		}
	})
	switch {
	case err != nil || out.Sound:
		return err
	case refused:
		return corrupt(fmt.Errorf("%s: %s lost, and nothing was written: bring back what is listed, or take what is left with --accept-loss", out.Dataset, things(len(out.Lost))))
	}
	return corrupt(fmt.Errorf("%s: %s wrong", out.Dataset, things(len(out.Problems))))
}

func things(n int) string {
	if n == 1 {
		return "1 thing is"
	}
	return fmt.Sprintf("%d things are", n)
}

func (a *app) repairDataset(ctx context.Context, dir files.Dir, f verifyOptions) error {
	var g *wordnet.Graph
	if f.wordnet != "" || a.hasWordNet() {
		var err error
		if g, err = a.openWordNet(f.wordnet); err != nil {
			return err
		}
	}
	bar := a.imageByteBar(imageBytes(dir), "reading shards")
	defer bar.Finish()
	r, err := checks.Repair(ctx, dir, checks.RepairOptions{Workers: f.workers, WordNet: g, AcceptLoss: f.acceptLoss, OnBytes: bar.Add64})
	bar.Finish()
	if err != nil {
		return err
	}
	return a.printVerified(verified{Dataset: dir.String(), Problems: r.Problems, Lost: r.Lost, Wrote: r.Wrote, Forgot: r.Forgot})
}

func (a *app) hasWordNet() bool {
	_, err := a.findWordNet("")
	return err == nil
}

func (a *app) listDuplicates(dir string) error {
	set, err := a.openSet(dir)
	if err != nil {
		return err
	}
	defer set.Close()
	found, err := checks.FindDuplicates(set)
	if err != nil {
		return err
	}
	out := struct {
		Dataset    string              `json:"dataset"`
		Duplicates []checks.Duplicates `json:"duplicates"`
	}{set.Dir, found}
	return a.Result(out, func(w io.Writer) {
		for _, d := range found {
			for _, c := range d.Copies {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", d.SHA256, ui.Text(c.Split), ui.Text(c.Path), ui.Text(labelText(c)))
			}
		}
	})
}

func labelText(c checks.Copy) string {
	if c.Label < 0 {
		return "-"
	}
	return c.Synset
}
