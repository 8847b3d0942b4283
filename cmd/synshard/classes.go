package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/export"
)

// classesOptions are classes' flags.
type classesOptions struct{ to string }

// AddFlags adds them to the verb.
func (o *classesOptions) AddFlags(cmd *cobra.Command) {
	choiceVar(cmd, &o.to, "to", string(export.ClassTSV), oneOf(export.ClassForms), export.ClassForms...)
}

func newClassesCmd(a *app) *cobra.Command {
	var o classesOptions
	cmd := &cobra.Command{
		Use:   "classes DATASET",
		Short: "Print the class list, in the order and form that other tools use",
		Long: `Prints the classes of a dataset. A class's label is its place in ascending
order of synset, as in torchvision, Keras and timm. The forms are

  tsv          label, synset, ILSVRC2012_ID, words and gloss, with a heading
  torchvision  the JSON of imagenet_class_index.json: {"0": ["n01440764", "tench"], ...}
  tf1001       a line a class, its first word: for TensorFlow's 1001 outputs, "background" first
  ilsvrc       the devkit's order: ILSVRC2012_ID, synset and words, by the ID
  kaggle       LOC_synset_mapping.txt: synset, space, words
  hf           the JSON of Hugging Face's ClassLabel

With --json they come with their hypernym paths.`,
		Example: "  synshard classes imagenet\n  synshard classes imagenet --to kaggle > LOC_synset_mapping.txt",
		Args:    exactly(1, 1, "a dataset"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.runClasses(args[0], o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runClasses(dir string, o classesOptions) error {
	if a.JSON && o.to != "tsv" {
		return usagef("--json and --to %s exclude each other", o.to)
	}
	set, err := a.openSet(dir)
	if err != nil {
		return err
	}
	defer set.Close()
	return a.printClasses(set.Classes(), export.ClassForm(o.to))
}

// classJSON is a class with --json.
type classJSON struct {
	Label        int      `json:"label"`
	Synset       string   `json:"synset"`
	ILSVRC2012ID int32    `json:"ilsvrc2012_id,omitempty"`
	Words        []string `json:"words"`
	Gloss        string   `json:"gloss,omitempty"`
	Path         []string `json:"path,omitempty"`
}

func (a *app) printClasses(c []shard.Class, form export.ClassForm) error {
	out := make([]classJSON, len(c))
	for i := range c {
		out[i] = classJSON(c[i])
	}
	var failed error
	if err := a.Result(map[string]any{"classes": out}, func(w io.Writer) { failed = export.WriteClasses(w, form, c, ui.Text) }); err != nil {
		return err
	}
	return failed
}
