package layout

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
	"github.com/synshard/synshard/source/layout/labelfile"
	"github.com/synshard/synshard/source/layout/naming"
)

// labelFiles are the files of a tree that say the classes of images or what classes
// there are.
type labelFiles struct {
	kaggle   *labels            // LOC_val_solution.csv, of ILSVRC's validation images wherever they lie
	beside   map[string]*labels // val_annotations.txt, of images in and below its directory
	metadata map[string]*labels // Hugging Face's metadata.csv or .jsonl, the same
	consumed map[place]bool
}

type place struct {
	input int
	name  string
}

// labels are the classes of images, by path in the tree or by name.
type labels struct {
	name   string // of the file
	byPath bool
	class  map[string]string
	splits *source.Column   // says the split of each row; nil: none does
	row    map[string]int32 // by path: its place in the values of splits
}

func (l *labels) of(virtual string) (string, bool) {
	if !l.byPath {
		virtual = naming.Base(virtual)
		if c, ok := l.class[virtual]; ok {
			return c, true
		}
		virtual = naming.Stem(virtual)
	}
	c, ok := l.class[virtual]
	return c, ok
}

// labelsAt is the metadata of a directory: its own, or of one above.
func (t *tree) labelsAt(v int32) *labels { return t.above(t.labels.metadata, v) }

// labelsFor are the labels of images that lie flat in a directory.
func (t *tree) labelsFor(v int32) *labels {
	if l := t.above(t.labels.beside, v); l != nil {
		return l
	}
	if t.nodes[v].val > 0 {
		return t.labels.kaggle
	}
	return nil
}

func (t *tree) above(files map[string]*labels, v int32) *labels {
	if len(files) == 0 {
		return nil
	}
	for ; v >= 0; v = t.nodes[v].parent {
		if l := files[t.nodes[v].path]; l != nil {
			return l
		}
	}
	return nil
}

// readLabelFiles reads the files of labels among the entries.
func (t *tree) readLabelFiles(inputs []int) (labelFiles, error) {
	f := labelFiles{beside: map[string]*labels{}, metadata: map[string]*labels{}, consumed: map[place]bool{}}
	if t.m.o.Read == nil {
		return f, nil
	}
	for _, i := range inputs {
		var files []*source.Entry
		for k := range t.m.inputs[i].Entries {
			e := &t.m.inputs[i].Entries[k]
			switch name := naming.Base(e.Name); {
			case e.Archive || source.Junk(e.Name):
			case name == "LOC_train_solution.csv": // Kaggle's boxes; the directories say its classes
				f.consumed[place{i, e.Name}] = true
			case labelFile(name):
				files = append(files, e)
			}
		}
		slices.SortFunc(files, func(a, b *source.Entry) int { return strings.Compare(a.Name, b.Name) })
		for _, e := range files {
			read, err := f.file(t, i, e)
			if err != nil {
				return f, within(t.m.inputs[i].Info.Path+": "+e.Name, err)
			}
			if read {
				f.consumed[place{i, e.Name}] = true
			}
		}
	}
	return f, nil
}

// labelFile knows the names of files of labels.
func labelFile(name string) bool {
	switch name {
	case "LOC_synset_mapping.txt", "wnids.txt", "LOC_val_solution.csv", "val_annotations.txt", "metadata.csv", "metadata.jsonl", "metadata.parquet":
		return true
	}
	return false
}

// file reads a file of labels; read is false where it says no class of any image.
func (f *labelFiles) file(t *tree, i int, e *source.Entry) (read bool, err error) {
	dir, name := naming.Cut(e.Name)
	dir = t.virtual(i, dir)
	if t.m.o.Kept != nil {
		if l := t.m.o.Kept(*e); l != nil {
			return true, t.m.table.add(l)
		}
	}
	b, err := t.m.o.Read(*e)
	if err != nil {
		return false, err
	}
	switch name {
	case "LOC_synset_mapping.txt":
		l, err := classlist.Parse(b)
		if err != nil && t.m.o.LabelsOptional {
			t.m.note("%s/%s is not read as a list of classes: %v", t.path, e.Name, err)
			return true, nil
		}
		if err != nil {
			return false, err
		}
		l.Source = t.path + "/" + e.Name
		return true, t.m.table.add(l)
	case "wnids.txt": // of tiny-imagenet, in no order: everybody sorts the directories
		_, err := classlist.Parse(b)
		return err == nil, err
	case "LOC_val_solution.csv":
		if f.kaggle != nil {
			return false, fmt.Errorf("a second file %s", name)
		}
		f.kaggle = &labels{name: name}
		f.kaggle.class, err = labelfile.Solution(b)
	case "val_annotations.txt":
		l := &labels{name: name}
		l.class, err = labelfile.Annotations(b)
		f.beside[dir] = l
	default:
		if f.metadata[dir] != nil {
			return false, errors.New("two files of metadata in one directory: it cannot be told which of them applies")
		}
		var l *labels
		if l, err = t.m.readMetadata(b, name, dir, t.path); l == nil {
			return false, err
		}
		f.metadata[dir] = l
	}
	return true, err
}

// readMetadata reads Hugging Face's metadata of the images in and below a directory: a
// list of file names and what goes with them. It is nil where no column is the class:
// then the directories are.
func (m *mapper) readMetadata(b []byte, name, dir, from string) (*labels, error) {
	t, err := labelfile.Metadata(name, b)
	if err != nil {
		return nil, err
	}
	c := &columns{m: m, from: from + "/" + path.Join(dir, name)}
	m.noteComments(c.from, t.Comments)
	info := source.Info{Columns: t.Columns, Others: t.Others}
	if err := m.promote(&info, c.from); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(info.Columns, says) {
		return nil, nil
	}
	if _, err := c.choose(&info); err != nil {
		return nil, err
	}
	if err := c.take(c.column.ClassNames); err != nil {
		return nil, err
	}
	l := &labels{name: name, byPath: true, class: map[string]string{}, splits: splitColumn(t.Splits)}
	if l.splits != nil {
		l.row = map[string]int32{}
	}
	rows := repeats{}
	for n, file := range t.Paths {
		class, err := m.className(c.label(n, &source.Entry{}), c.names, c.from)
		if err != nil {
			return nil, within(file, err)
		}
		at := path.Join(dir, file)
		split := ""
		if l.splits != nil {
			split, _ = splitOfValue(l.splits, int(l.splits.Rows[n]))
		}
		again, err := rows.again(at, rowOf(c.from, t.Lines, n, class, split))
		if err != nil {
			return nil, fmt.Errorf("%w: take one of them out", err)
		}
		if again {
			m.lost(spot{reason: RepeatReason}, file)
			continue
		}
		l.class[at] = class
		if l.splits != nil {
			l.row[at] = l.splits.Rows[n]
		}
	}
	return l, nil
}
