package export

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/synshard/synshard/shard"
)

// ClassForm is a form in which others keep ImageNet's class list.
type ClassForm string

// The forms. The words of a class that has none are its name.
const (
	ClassTSV         ClassForm = "tsv"         // label, synset, ILSVRC2012_ID, words and gloss, with a heading
	ClassTorchvision ClassForm = "torchvision" // imagenet_class_index.json: {"0": ["n01440764", "tench"], ...}
	ClassTF1001      ClassForm = "tf1001"      // first words for TensorFlow's 1001 outputs, "background" first
	ClassILSVRC      ClassForm = "ilsvrc"      // ILSVRC2012_ID, synset and words, in the devkit's order: by the ID
	ClassKaggle      ClassForm = "kaggle"      // LOC_synset_mapping.txt: synset, space, words
	ClassHF          ClassForm = "hf"          // the JSON of Hugging Face's ClassLabel, words as names
)

// ClassForms lists the forms of WriteClasses.
var ClassForms = []string{
	string(ClassTSV), string(ClassTorchvision), string(ClassTF1001), string(ClassILSVRC), string(ClassKaggle), string(ClassHF),
}

// WriteClasses writes classes, which are in label order, in a form. In the forms
// that have a class a line, line makes each text fit into one: it must leave
// neither newlines nor tabs. ClassILSVRC wants every class to have its ILSVRC2012_ID,
// else that is an error and nothing is written.
func WriteClasses(w io.Writer, form ClassForm, classes []shard.Class, line func(string) string) error {
	out := bufio.NewWriter(w)
	l := classLines{out, line}
	var err error
	switch form {
	case ClassTSV:
		l.tsv(classes)
	case ClassTorchvision:
		err = torchvisionClasses(out, classes)
	case ClassTF1001:
		l.tf1001(classes)
	case ClassILSVRC:
		err = l.ilsvrc(classes)
	case ClassKaggle:
		l.kaggle(classes)
	case ClassHF:
		err = hfClasses(out, classes)
	default:
		err = fmt.Errorf("classes as %q: want one of %s", form, strings.Join(ClassForms, ", "))
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// classLines writes the forms of a class a line. Errors of writing are kept by w
// for its Flush.
type classLines struct {
	w    *bufio.Writer
	line func(string) string
}

func (l classLines) tsv(classes []shard.Class) {
	fmt.Fprintln(l.w, "label\tsynset\tilsvrc2012_id\twords\tgloss")
	for i := range classes {
		c, id := &classes[i], ""
		if c.ILSVRC2012ID > 0 {
			id = fmt.Sprint(c.ILSVRC2012ID)
		}
		fmt.Fprintf(l.w, "%d\t%s\t%s\t%s\t%s\n", c.Label, l.line(c.Synset), id, l.line(strings.Join(c.Words, ", ")), l.line(c.Gloss))
	}
}

func (l classLines) tf1001(classes []shard.Class) {
	fmt.Fprintln(l.w, "background")
	for i := range classes {
		fmt.Fprintln(l.w, l.line(firstWord(&classes[i])))
	}
}

func (l classLines) ilsvrc(classes []shard.Class) error {
	classes = slices.Clone(classes)
	for i := range classes {
		if classes[i].ILSVRC2012ID == 0 {
			return fmt.Errorf("class %s has no ILSVRC2012_ID: the dataset was made without the devkit, or is not ILSVRC2012", classes[i].Synset)
		}
	}
	slices.SortFunc(classes, func(a, b shard.Class) int { return cmp.Compare(a.ILSVRC2012ID, b.ILSVRC2012ID) })
	for i := range classes {
		c := &classes[i]
		fmt.Fprintf(l.w, "%d\t%s\t%s\n", c.ILSVRC2012ID, l.line(c.Synset), l.line(strings.Join(c.Words, ", ")))
	}
	return nil
}

func (l classLines) kaggle(classes []shard.Class) {
	for i := range classes {
		fmt.Fprintf(l.w, "%s %s\n", l.line(classes[i].Synset), l.line(allWords(&classes[i])))
	}
}

// torchvisionClasses writes by hand what a map would put in another order.
func torchvisionClasses(w *bufio.Writer, classes []shard.Class) error {
	fmt.Fprint(w, "{")
	for i := range classes {
		pair, err := json.Marshal([]string{classes[i].Synset, strings.ReplaceAll(firstWord(&classes[i]), " ", "_")})
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

func hfClasses(w *bufio.Writer, classes []shard.Class) error {
	names := make([]string, len(classes))
	for i := range classes {
		names[i] = allWords(&classes[i])
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Names []string `json:"names"`
		Type  string   `json:"_type"`
	}{names, "ClassLabel"})
}

// allWords are a class's words, or its name where it has none.
func allWords(c *shard.Class) string {
	if len(c.Words) == 0 {
		return c.Synset
	}
	return strings.Join(c.Words, ", ")
}

func firstWord(c *shard.Class) string {
	if len(c.Words) == 0 {
		return c.Synset
	}
	return c.Words[0]
}
