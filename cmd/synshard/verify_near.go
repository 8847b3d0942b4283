package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard/near"
)

// nearOptions are verify's flags of images that look alike.
type nearOptions struct {
	near         bool
	distance     int
	against, out string
}

// AddFlags adds them to the verb.
func (o *nearOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.near, "near", false, "list images that look alike instead: resized, recompressed, slightly cropped copies")
	f.IntVar(&o.distance, "max-distance", near.DefaultDistance, "with --near: how many of the 256 bits of two images' hashes may differ")
	f.StringVar(&o.against, "against", "", "with --near: another dataset; only what both have is listed")
	f.StringVar(&o.out, "out", "", "with --near: write the images into this file, too, in the format that its name says")
	cobra.CheckErr(cmd.MarkFlagDirname("against"))
}

// check refuses what cannot be, and what has no effect.
func (o *nearOptions) check(cmd *cobra.Command) error {
	for _, flag := range []string{"max-distance", "against", "out"} {
		if cmd.Flags().Changed(flag) && !o.near {
			return usagef("--%s has no effect without --near", flag)
		}
	}
	if o.distance < 0 || o.distance > near.MostDistance {
		return usagef("--max-distance %d: want 0 to %d", o.distance, near.MostDistance)
	}
	if o.out != "" {
		if _, err := formatOf("", o.out); err != nil {
			return err
		}
	}
	return nil
}

// alike is what verify --near prints.
type alike struct {
	Dataset string `json:"dataset"`
	Against string `json:"against,omitempty"`
	*near.Result
}

func (a *app) listNear(ctx context.Context, name string, o verifyOptions) error {
	set, err := a.openSet(name)
	if err != nil {
		return err
	}
	defer set.Close()
	out := alike{Dataset: set.Dir}
	total := set.Manifest.Images()
	find := near.Options{Distance: o.distance, Workers: o.workers}
	if o.against != "" {
		if find.Against, err = a.openSet(o.against); err != nil {
			return err
		}
		defer find.Against.Close()
		out.Against = find.Against.Dir
		total += find.Against.Manifest.Images()
	}
	bar := a.imageBar(total, "hashing")
	defer bar.Finish()
	find.OnImage = func() { bar.Add64(1) }
	find.OnError = func(split, path string, err error) error {
		a.Logf("%s: %s: %v; it is left out", ui.Text(split), ui.Text(path), err)
		return nil
	}
	if out.Result, err = near.Find(ctx, set, find); err != nil {
		return err
	}
	bar.Finish()
	a.cameTo(out.Images, out.Rejected)
	if o.out != "" {
		format, err := formatOf("", o.out)
		if err != nil {
			return err
		}
		if err := durable.WriteFile(o.out, func(w io.Writer) error { return near.Write(w, format, out.Groups) }); err != nil {
			return err
		}
	}
	err = a.Result(out, func(w io.Writer) { out.table(w) })
	if err == nil && out.Rejected > 0 {
		err = refused(fmt.Errorf("%d images could not be decoded", out.Rejected))
	}
	return err
}

// table writes a line an image, groups apart.
func (o *alike) table(w io.Writer) {
	images := 0
	for k, g := range o.Groups {
		images += len(g.Images)
		for _, im := range g.Images {
			where := im.Split
			if o.Against != "" {
				where = im.Dataset + "\t" + im.Split
			}
			synset := "-"
			if im.Synset != "" {
				synset = im.Synset
			}
			fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\n", k, im.Distance, where, ui.Text(im.Path), ui.Text(synset))
		}
	}
	fmt.Fprintf(w, "%d groups of %d images in all, of %d", len(o.Groups), images, o.Images)
	if o.Flat > 0 {
		fmt.Fprintf(w, "; %d have too little in them to be told apart", o.Flat)
	}
	fmt.Fprintln(w)
}
