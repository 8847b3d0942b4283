package shard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/storage/files"
	"github.com/synshard/synshard/wordnet"
)

// Describe fills in what WordNet says of a class: words, gloss and the shortest
// way from the root. A class that is no synset of g stays as it is; g may be nil.
func (c *Class) Describe(g *wordnet.Graph) {
	id, err := wordnet.ParseID(c.Synset)
	if g == nil || err != nil {
		return
	}
	s, ok := g.Synset(id)
	if !ok {
		return
	}
	c.Words, c.Gloss, c.Path = s.Lemmas, s.Gloss, nil
	for _, p := range g.HypernymPath(id) {
		c.Path = append(c.Path, p.String())
	}
}

// WriteClasses writes the class list of the dataset in dir and gives the
// SHA-256 of the file in hex, for the manifest. Classes are in the order
// of their labels, 0, 1, 2 and so on, and every synset is there once. Text that is not
// UTF-8 is escaped, as utf8name.Ensure does.
func WriteClasses(dir files.Dir, classes []Class) (string, error) {
	classes = ensureText(classes)
	if err := checkClasses(classes); err != nil {
		return "", fmt.Errorf("write classes: %w", err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, plainSchema("classes", classFields))
	defer b.Release()
	strings := func(i int, values []string) {
		list := b.Field(i).(*array.ListBuilder)
		list.Append(true)
		for _, v := range values {
			list.ValueBuilder().(*array.StringBuilder).Append(v)
		}
	}
	for _, c := range classes {
		b.Field(0).(*array.Int64Builder).Append(int64(c.Label))
		b.Field(1).(*array.StringBuilder).Append(c.Synset)
		number(b.Field(2).(*array.Int32Builder), c.ILSVRC2012ID)
		strings(3, c.Words)
		b.Field(4).(*array.StringBuilder).Append(c.Gloss)
		strings(5, c.Path)
	}
	rec := b.NewRecord()
	defer rec.Release()
	sum := sha256.New()
	out, err := createArrow(dir, ClassesName, rec.Schema(), sum)
	if err == nil {
		if err = out.write(rec); err == nil {
			err = out.commit(rec.Schema(), 1)
		} else {
			out.f.Abort()
		}
	}
	if err != nil {
		return "", fmt.Errorf("write classes: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// ReadClasses reads the class list of the dataset in dir, whose SHA-256 the
// manifest gives in hex. A list that is missing or another one is ErrCorrupt.
func ReadClasses(dir files.Dir, sum string) ([]Class, error) {
	return readClasses(dir, ClassesName, sum)
}

func readClasses(dir files.Dir, name, sum string) ([]Class, error) {
	b, err := readChecked(dir, name, sum)
	if err != nil {
		return nil, err
	}
	c, err := parseClasses(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir.Path(name), err)
	}
	return c, nil
}

// ReadExportClasses reads the class list that an export into a directory keeps,
// so that what is made of the export again has the same; nil where there is
// none, and of what is no directory. A list that is damaged is ErrCorrupt.
func ReadExportClasses(dir files.Dir) ([]Class, error) {
	text, err := readKept(dir, ClassesName)
	if text == nil || err != nil {
		return nil, err
	}
	c, err := parseClasses(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir.Path(ExportName+"/"+ClassesName), err)
	}
	return c, nil
}

func parseClasses(b []byte) ([]Class, error) {
	records, err := decodeFile(b, classFields)
	if err != nil {
		return nil, err
	}
	var out []Class
	for _, rec := range records {
		label, synset, id := rec.Column(0).(*array.Int64), rec.Column(1).(*array.String), rec.Column(2).(*array.Int32)
		words, gloss, path := rec.Column(3).(*array.List), rec.Column(4).(*array.String), rec.Column(5).(*array.List)
		for i := range int(rec.NumRows()) {
			if label.IsNull(i) {
				return nil, corruptf("class %d has no label", i)
			}
			out = append(out, Class{
				Label: int(label.Value(i)), Synset: str(synset, i), ILSVRC2012ID: i32(id, i),
				Words: strs(words, i), Gloss: str(gloss, i), Path: strs(path, i),
			})
		}
	}
	if err := checkClasses(out); err != nil {
		return nil, corruptf("%v", err)
	}
	return out, nil
}

// ensureText gives classes whose text is UTF-8.
func ensureText(classes []Class) []Class {
	classes = slices.Clone(classes)
	for i := range classes {
		c := &classes[i]
		c.Synset, c.Gloss = utf8name.Ensure(c.Synset), utf8name.Ensure(c.Gloss)
		for _, list := range []*[]string{&c.Words, &c.Path} {
			for k, s := range *list {
				if !utf8.ValidString(s) {
					*list = slices.Clone(*list)
					(*list)[k] = utf8name.Escape(s)
				}
			}
		}
	}
	return classes
}

func checkClasses(c []Class) error {
	seen := make(map[string]bool, len(c))
	for i := range c {
		switch {
		case c[i].Label != i:
			return fmt.Errorf("class %q has label %d, want %d", c[i].Synset, c[i].Label, i)
		case c[i].Synset == "":
			return fmt.Errorf("class %d has no synset", i)
		case seen[c[i].Synset]:
			return fmt.Errorf("class %q appears twice", c[i].Synset)
		}
		seen[c[i].Synset] = true
	}
	return nil
}
