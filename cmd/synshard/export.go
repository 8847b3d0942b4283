package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard/export"
	"github.com/synshard/synshard/storage"
)

// exportOptions are export's flags.
type exportOptions struct {
	to, out    string
	splits     []string
	shardBytes int64
	selection  *selectionOptions
	changed    func(flag string) bool
}

// AddFlags adds them to the verb.
func (o *exportOptions) AddFlags(cmd *cobra.Command) {
	o.selection = addSelectionFlags(cmd)
	choiceVar(cmd, &o.to, "to", "", oneOf(export.Forms), export.Forms...)
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "directory for what is made")
	splitsVar(cmd, &o.splits, "split", "only these splits (default: all)")
	cmd.Flags().Int64Var(&o.shardBytes, "shard-bytes", 256<<20, "webdataset, hf: bytes of images where a file is cut")
	o.changed = cmd.Flags().Changed
	cobra.CheckErr(cmd.MarkFlagRequired("to"))
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	cobra.CheckErr(cmd.MarkFlagDirname("out"))
}

func newExportCmd(a *app) *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use:   "export DATASET --to FORM --out DIR",
		Short: "Write the images in a form that other tools read",
		Long: `Writes the images of a dataset, or of a selection, with their labels, byte for
byte as they are stored:

  folder      DIR/SPLIT/SYNSET/NAME
  webdataset  DIR/SPLIT-000000.tar with KEY.jpg, KEY.cls and KEY.json
  hf          DIR/data/SPLIT-00000-of-00001.parquet: load_dataset("DIR"); a dataset
              card, README.md, and Croissant's metadata, croissant.json, beside it
  tar         DIR/SPLIT.tar with SYNSET/NAME

Names have the bytes that they had in the source. In folders and tars, names that
no file can have on some system (.., con, a:b, longer than 240 bytes ...) become
others, %HH for what is unfit, and DIR/.synshard-export keeps what they were; names
that differ by the case of letters alone stay and are counted. Cards are for you to
go on writing: one that is there stays as it is. Beside folders and
tars LOC_synset_mapping.txt lists the classes in the order of their labels. A split
without images gives no files. "synshard ingest DIR" makes the same dataset again.

DIR is made where it is missing. The same command goes on where it was
interrupted; another export into the same directory is refused.`,
		Example: "  synshard export imagenet --to folder --split val --out val\n  synshard export imagenet --to webdataset --synset dog --out dogs",
		Args:    exactly(1, 1, "a dataset"),
		PreRunE: func(*cobra.Command, []string) error { return o.check() },
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runExport(cmd.Context(), args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

// exported is the result.
type exported struct {
	Out    string   `json:"out"`
	To     string   `json:"to"`
	Images int64    `json:"images"`
	Bytes  int64    `json:"bytes"`
	Made   []string `json:"made"`
	// Renamed is there where it counts something.
	Renamed *export.Renamed `json:"renamed,omitempty"`
	// Written is what was asked of --out at a URL.
	Written *storage.Figures `json:"storage_out,omitempty"`
}

func (o *exportOptions) check() error {
	switch {
	case o.shardBytes < 1:
		return usagef("--shard-bytes %d: want 1 or more", o.shardBytes)
	case o.changed("shard-bytes") && (o.to == "folder" || o.to == "tar"):
		return usagef("--shard-bytes has no effect with --to %s, which cuts no files", o.to)
	}
	return nil
}

func (a *app) runExport(ctx context.Context, dir string, o exportOptions) error {
	set, views, err := a.openViews(dir, o.splits, o.selection)
	if err != nil {
		return err
	}
	defer set.Close()
	var selected []export.Split
	var images, size int64
	for _, v := range views {
		selected = append(selected, export.Split{Name: v.Split, View: v.View})
		images += int64(v.Len())
		for i := range v.Len() {
			size += v.Length(i)
		}
	}
	bar := a.imageByteBar(size, "exporting")
	defer bar.Finish()
	result := exported{Out: storage.Shown(o.out), To: o.to, Images: images, Bytes: size, Made: []string{}}
	to, err := a.openWritten(o.out)
	if err != nil {
		return err
	}
	err = export.Write(ctx, to, selected, export.Options{
		To: o.to, Name: datasetName(dir), ShardBytes: o.shardBytes, OnBytes: bar.Add64,
		Made: func(name string) { result.Made = append(result.Made, name) },
		Renamed: func(n export.Renamed) {
			if n != (export.Renamed{}) {
				result.Renamed = &n
			}
		},
	})
	if err != nil {
		return err
	}
	bar.Finish()
	a.metrics.Images.Set(images)
	if n := result.Renamed; n != nil {
		a.toldRenamed(n)
	}
	result.Written = a.outFigures()
	return a.Result(result, func(w io.Writer) {
		for _, name := range result.Made {
			fmt.Fprintln(w, ui.Text(result.Out+"/"+name))
		}
	})
}

// toldRenamed tells of names that could not stay, and of those that may be one.
func (a *app) toldRenamed(n *export.Renamed) {
	if n.Classes+n.Images > 0 {
		a.Logf("%d classes and %d images have other names here, which any system can give files; ingest gives them back theirs", n.Classes, n.Images)
	}
	if n.Alike > 0 {
		a.Warnf("%d names differ from others by the case of letters alone: where that makes no difference, files are lost (--to webdataset and hf have no such names)", n.Alike)
	}
}
