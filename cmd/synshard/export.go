package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/export"
)

func newExportCmd(a *app) *cobra.Command {
	var splits []string
	var out string
	o := export.Options{}
	var mib int64
	cmd := &cobra.Command{
		Use:   "export DATASET --to FORM --out DIR",
		Short: "Hand the images on in a form that others read",
		Long: `Writes the images of a dataset, or of a selection, with their labels, byte for
byte as they are stored:

  folder      DIR/SPLIT/SYNSET/NAME
  webdataset  DIR/SPLIT-000000.tar with KEY.jpg, KEY.cls and KEY.json
  hf          DIR/data/SPLIT-00000-of-00001.parquet: load_dataset("DIR")
  tar         DIR/SPLIT.tar with SYNSET/NAME

DIR is made where it is missing. The same command goes on where it was
interrupted; another export into the same directory is refused.`,
		Example: "  synshard export imagenet --to folder --split val --out val\n  synshard export imagenet --to webdataset --synset dog --out dogs",
		Args:    exactly(1, 1, "a dataset"),
	}
	sel := addSelectionFlags(cmd)
	f := cmd.Flags()
	choiceVar(cmd, &o.To, "to", "", "folder, webdataset, hf or tar", export.Forms...)
	f.StringVarP(&out, "out", "o", "", "directory for what is made")
	splitsVar(cmd, &splits, "split", "only these splits (default: all)")
	f.Int64Var(&mib, "shard-mib", 256, "webdataset, hf: MiB of images a file")
	cobra.CheckErr(cmd.MarkFlagRequired("to"))
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	cobra.CheckErr(cmd.MarkFlagDirname("out"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if mib < 1 || mib > 1<<20 {
			return usagef("--shard-mib %d: want 1 to %d", mib, 1<<20)
		}
		o.ShardBytes = mib << 20
		return a.export(cmd.Context(), args[0], out, splits, sel, o)
	}
	return cmd
}

func (a *app) export(ctx context.Context, dir, out string, splits []string, sel *selectionFlags, o export.Options) error {
	set, err := shard.Open(dir)
	if err != nil {
		return err
	}
	defer set.Close()
	if len(splits) == 0 {
		splits = set.Splits()
	}
	var selected []export.Split
	var images, size int64
	for _, name := range splits {
		v, err := a.openView(set, name, sel)
		if err != nil {
			return err
		}
		selected = append(selected, export.Split{Name: name, View: v})
		images += int64(v.Len())
		for i := range v.Len() {
			size += v.Length(i)
		}
	}
	bar := a.byteBar(size, "exporting")
	defer bar.Finish()
	result := struct {
		Out    string   `json:"out"`
		To     string   `json:"to"`
		Images int64    `json:"images"`
		Bytes  int64    `json:"bytes"`
		Made   []string `json:"made"`
	}{out, o.To, images, size, []string{}}
	o.OnBytes = bar.Add64
	o.Made = func(name string) { result.Made = append(result.Made, name) }
	if err := export.Write(ctx, out, selected, o); err != nil {
		return err
	}
	bar.Finish()
	return a.result(result, func(w io.Writer) {
		for _, name := range result.Made {
			fmt.Fprintln(w, ui.Text(out+"/"+name))
		}
	})
}
