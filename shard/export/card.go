package export

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/hubcard"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// Names of what lies beside Parquet files for Hugging Face and for Croissant's readers.
const (
	cardName      = "README.md"
	croissantName = "croissant.json"
)

// rowFiles are the Parquet files of a split.
type rowFiles struct {
	split string // as it is called there
	view  *shard.View
	files []string
}

// pattern names the files of a split and no others.
func (s *rowFiles) pattern() string {
	return fmt.Sprintf("data/%s-[0-9]*-of-%05d.parquet", s.split, len(s.files))
}

// published is what a card tells of an export.
type published struct {
	title   string
	classes []shard.Class
	splits  []publishedSplit
}

// publishedSplit is a split with its figures.
type publishedSplit struct {
	rowFiles
	figures
	stored int64 // bytes of its files
}

// documents writes the card and the metadata where they are not there: people write their
// licence and their citation into them.
func (e *exporter) documents() error {
	p := published{title: e.o.Name}
	for _, s := range e.rows {
		one := publishedSplit{rowFiles: s, figures: measure(s.view)}
		for _, name := range s.files {
			one.stored += e.mark.Files[name].Size
		}
		p.classes, p.splits = s.view.ClassList(), append(p.splits, one)
	}
	if len(p.splits) == 0 {
		return nil
	}
	return cmp.Or(e.document(cardName, p.card), e.document(croissantName, p.croissant))
}

func (e *exporter) document(name string, write func(io.Writer) error) error {
	_, err := e.out.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = files.Write(e.out, name, write)
	}
	if err == nil {
		e.o.Made(name)
	}
	return err
}

// figures are counts of a split's images.
type figures struct {
	images, bytes int64
	formats       map[string]int
	width, height spread // of those that have a size
	classes       spread // images of each class that has some
}

// spread is the least, the median (the lower one of two) and the most of some numbers.
type spread struct{ least, median, most int }

func spreadOf(values []int) (s spread) {
	if len(values) == 0 {
		return s
	}
	slices.Sort(values)
	return spread{values[0], values[(len(values)-1)/2], values[len(values)-1]}
}

// measure counts what the index says of a view's images.
func measure(v *shard.View) figures {
	f := figures{images: int64(v.Len()), formats: map[string]int{}}
	classes := map[int64]int{}
	var widths, heights []int
	for i := range v.Len() {
		r := v.Row(i)
		f.bytes += r.Length
		f.formats[r.Format]++
		if r.Width > 0 {
			widths, heights = append(widths, int(r.Width)), append(heights, int(r.Height))
		}
		if l := v.Label(i); l >= 0 {
			classes[l]++
		}
	}
	var counts []int
	for _, n := range classes {
		counts = append(counts, n)
	}
	f.width, f.height, f.classes = spreadOf(widths), spreadOf(heights), spreadOf(counts)
	return f
}

// card writes Hugging Face's dataset card: in front what its tools read, below for people.
func (p *published) card(w io.Writer) error {
	var b strings.Builder
	b.WriteString("---\n")
	fmt.Fprintf(&b, "pretty_name: %s\ntask_categories:\n- image-classification\nsize_categories:\n- %s\n", hubcard.Quoted(p.title), sizeCategory(p.images()))
	b.WriteString("configs:\n- config_name: default\n  data_files:\n")
	for i := range p.splits {
		fmt.Fprintf(&b, "  - split: %s\n    path: %s\n", hubcard.Quoted(p.splits[i].split), hubcard.Quoted(p.splits[i].pattern()))
	}
	p.features(&b)
	fmt.Fprintf(&b, "---\n\n# %s\n\n", hubcard.Text(p.title))
	p.figures(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// features writes the columns, and the sizes that datasets holds a copy to.
func (p *published) features(b *strings.Builder) {
	b.WriteString("dataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: label\n")
	if len(p.classes) == 0 {
		b.WriteString("    dtype: int64\n")
	} else {
		b.WriteString("    dtype:\n      class_label:\n        names:\n")
	}
	for i, c := range p.classes {
		fmt.Fprintf(b, "          '%d': %s\n", i, hubcard.Quoted(c.Synset))
	}
	b.WriteString("  - name: synset\n    dtype: string\n  splits:\n")
	var stored, bytes int64
	for _, s := range p.splits {
		fmt.Fprintf(b, "  - name: %s\n    num_bytes: %d\n    num_examples: %d\n", hubcard.Quoted(s.split), s.bytes, s.images)
		stored, bytes = stored+s.stored, bytes+s.bytes
	}
	fmt.Fprintf(b, "  download_size: %d\n  dataset_size: %d\n", stored, bytes)
}

// figures writes what people ask first of a set.
func (p *published) figures(b *strings.Builder) {
	b.WriteString("| split | images | bytes | images per class (min, median, max) | width, px (min, median, max) | height, px | formats |\n|---|---|---|---|---|---|---|\n")
	for _, s := range p.splits {
		fmt.Fprintf(b, "| %s | %d | %d | %s | %s | %s | %s |\n", hubcard.Text(s.split), s.images, s.bytes, s.classes, s.width, s.height, s.formatList())
	}
	b.WriteString("\n`image` has the bytes as they were in the source, and the image's name there; `label` counts the classes from 0, in the order below; `synset` is the class.\n")
	if n := len(p.classes); n > mostListed {
		fmt.Fprintf(b, "\nIt has %d classes; their names are in the front of this card.\n", n)
		return
	}
	if len(p.classes) > 0 {
		b.WriteString("\n| label | synset | words |\n|---|---|---|\n")
	}
	for i, c := range p.classes {
		fmt.Fprintf(b, "| %d | %s | %s |\n", i, hubcard.Text(c.Synset), hubcard.Text(strings.Join(c.Words, ", ")))
	}
}

// mostListed is how many classes a card lists for people.
const mostListed = 1000

// String is the three for people; "" of nothing.
func (s spread) String() string {
	if s.most == 0 {
		return ""
	}
	return fmt.Sprintf("%d, %d, %d", s.least, s.median, s.most)
}

// formatList counts the formats, the commonest first.
func (f *figures) formatList() string {
	names := slices.SortedFunc(maps.Keys(f.formats), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.formats[b], f.formats[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", hubcard.Text(name), f.formats[name])
	}
	return strings.Join(names, ", ")
}

func (p *published) images() (n int64) {
	for _, s := range p.splits {
		n += s.images
	}
	return n
}

// sizeCategory is Hugging Face's word for a number of rows.
func sizeCategory(n int64) string {
	names := []string{"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "n>1B"}
	for i, bound := 0, int64(1000); i < len(names)-1; i, bound = i+1, bound*10 {
		if n < bound {
			return names[i]
		}
	}
	return names[len(names)-1]
}
