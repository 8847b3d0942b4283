package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/shard"
)

// classForms are the forms in which others keep ImageNet's class list.
var classForms = []struct {
	name  string
	write func(w io.Writer, c []shard.Class) error
}{
	{"tsv", classesTSV},
	{"torchvision", classesTorchvision},
	{"tf1001", classesTF1001},
	{"ilsvrc", classesILSVRC},
	{"kaggle", classesKaggle},
	{"hf", classesHF},
}

// classesOptions are classes' flags.
type classesOptions struct{ to string }

// AddFlags adds them to the verb.
func (o *classesOptions) AddFlags(cmd *cobra.Command) {
	var names []string
	for _, f := range classForms {
		names = append(names, f.name)
	}
	choiceVar(cmd, &o.to, "to", "tsv", oneOf(names), names...)
	cmd.Flags().Var(cmd.Flags().Lookup("to").Value, "format", "--to's name of before")
	cobra.CheckErr(cmd.Flags().MarkHidden("format"))
}

func newClassesCmd(a *app) *cobra.Command {
	var o classesOptions
	cmd := &cobra.Command{
		Use:   "classes DATASET",
		Short: "Print the class list, in anybody's order",
		Long: `Prints the classes of a dataset. A class's label is its place in ascending
order of synset, as in torchvision, Keras and timm. The forms are

  tsv          label, synset, ILSVRC2012_ID, words and gloss, with a heading
  torchvision  the JSON of imagenet_class_index.json: {"0": ["n01440764", "tench"], ...}
  tf1001       a first word a line for TensorFlow's 1001 outputs, "background" first
  ilsvrc       the devkit's order: ILSVRC2012_ID, synset and words, by the ID
  kaggle       LOC_synset_mapping.txt: synset, space, words
  hf           the JSON of Hugging Face's ClassLabel

With --json the classes are a JSON array, hypernym paths included.`,
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
	set, err := shard.Open(dir)
	if err != nil {
		return err
	}
	defer set.Close()
	for _, f := range classForms {
		if f.name == o.to {
			return a.printClasses(set.Classes(), f.write)
		}
	}
	panic("a form that its flag took is not there: " + o.to)
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

func (a *app) printClasses(c []shard.Class, write func(w io.Writer, c []shard.Class) error) error {
	out := make([]classJSON, len(c))
	for i := range c {
		out[i] = classJSON(c[i])
	}
	var failed error
	if err := a.Result(out, func(w io.Writer) { failed = write(w, c) }); err != nil {
		return err
	}
	return failed
}

func classesTSV(w io.Writer, c []shard.Class) error {
	fmt.Fprintln(w, "label\tsynset\tilsvrc2012_id\twords\tgloss")
	for i := range c {
		id := ""
		if c[i].ILSVRC2012ID > 0 {
			id = fmt.Sprint(c[i].ILSVRC2012ID)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", c[i].Label, ui.Text(c[i].Synset), id, ui.Text(strings.Join(c[i].Words, ", ")), ui.Text(c[i].Gloss))
	}
	return nil
}

// classesTorchvision writes by hand what a map would put in another order.
func classesTorchvision(w io.Writer, c []shard.Class) error {
	fmt.Fprint(w, "{")
	for i := range c {
		pair, err := json.Marshal([]string{c[i].Synset, strings.ReplaceAll(firstWord(c[i]), " ", "_")})
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprint(w, ", ")
		}
		fmt.Fprintf(w, "%q: %s", fmt.Sprint(i), pair)
	}
	fmt.Fprintln(w, "}")
	return nil
}

func classesTF1001(w io.Writer, c []shard.Class) error {
	fmt.Fprintln(w, "background")
	for i := range c {
		fmt.Fprintln(w, ui.Text(firstWord(c[i])))
	}
	return nil
}

func classesILSVRC(w io.Writer, c []shard.Class) error {
	c = slices.Clone(c)
	for i := range c {
		if c[i].ILSVRC2012ID == 0 {
			return fmt.Errorf("class %s has no ILSVRC2012_ID: the dataset was made without the devkit, or is not ILSVRC2012", c[i].Synset)
		}
	}
	slices.SortFunc(c, func(a, b shard.Class) int { return cmp.Compare(a.ILSVRC2012ID, b.ILSVRC2012ID) })
	for i := range c {
		fmt.Fprintf(w, "%d\t%s\t%s\n", c[i].ILSVRC2012ID, ui.Text(c[i].Synset), ui.Text(strings.Join(c[i].Words, ", ")))
	}
	return nil
}

func classesKaggle(w io.Writer, c []shard.Class) error {
	for i := range c {
		fmt.Fprintf(w, "%s %s\n", ui.Text(c[i].Synset), ui.Text(classWords(c[i])))
	}
	return nil
}

func classesHF(w io.Writer, c []shard.Class) error {
	names := make([]string, len(c))
	for i := range c {
		names[i] = classWords(c[i])
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Names []string `json:"names"`
		Type  string   `json:"_type"`
	}{names, "ClassLabel"})
}

// classWords are a class's words, or its name where it has none.
func classWords(c shard.Class) string {
	if len(c.Words) == 0 {
		return c.Synset
	}
	return strings.Join(c.Words, ", ")
}

func firstWord(c shard.Class) string {
	if len(c.Words) == 0 {
		return c.Synset
	}
	return c.Words[0]
}
