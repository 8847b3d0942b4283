package ingest

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/ingest/imagenet"
	"github.com/synshard/synshard/shard"
)

// entry is a file that can be read whole, whatever it lies in.
type entry struct {
	name  string // with slashes, in its source; the class's directory is cut off
	class string // "" = none
	size  int64
	read  func() ([]byte, error)
}

// openTree lists the files of a directory, or of a zip in place, by name.
func (j *job) openTree(root string) ([]entry, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return dirEntries(root)
	}
	f, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	j.files = append(j.files, f)
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: neither a directory nor a zip: %w", root, err)
	}
	var out []entry
	for _, m := range z.File {
		if m.Mode().IsRegular() {
			out = append(out, entry{name: m.Name, size: int64(m.UncompressedSize64), read: func() ([]byte, error) { return readZip(root, m) }})
		}
	}
	return sortEntries(root, out)
}

func readZip(root string, m *zip.File) ([]byte, error) {
	if m.UncompressedSize64 > maxImage {
		return nil, fmt.Errorf("%s: member %s: %d bytes, more than an image has", root, m.Name, m.UncompressedSize64)
	}
	r, err := m.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: member %s: %w", root, m.Name, err)
	}
	defer r.Close()
	b := make([]byte, m.UncompressedSize64)
	if _, err = io.ReadFull(r, b); err == nil {
		// The checksum is compared where the member ends.
		if _, err = r.Read(make([]byte, 1)); err == io.EOF {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%s: member %s: %w", root, m.Name, unexpected(err))
}

func dirEntries(root string) ([]entry, error) {
	var out []entry
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && p != root {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		info, err := os.Stat(p) // through links: trees of them are common
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(root, p)
		out = append(out, entry{name: filepath.ToSlash(rel), size: info.Size(), read: func() ([]byte, error) { return os.ReadFile(p) }})
		return err
	})
	if err != nil {
		return nil, err
	}
	return sortEntries(root, out)
}

// sortEntries puts entries in order of their names, which must differ.
func sortEntries(from string, list []entry) ([]entry, error) {
	slices.SortFunc(list, func(a, b entry) int { return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.name, b.name)) })
	for i := 1; i < len(list); i++ {
		if list[i].name == list[i-1].name && list[i].class == list[i-1].class {
			return nil, fmt.Errorf("%s: %s is there twice", from, list[i].name)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no files in it", from)
	}
	return list, nil
}

// byClass makes a group of each class.
func byClass(split, from string, list []entry) []group {
	classes := map[string][]entry{}
	var names []string
	for _, e := range list {
		if classes[e.class] == nil {
			names = append(names, e.class)
		}
		classes[e.class] = append(classes[e.class], e)
	}
	slices.Sort(names)
	var groups []group
	for _, c := range names {
		groups = append(groups, group{split: split, name: c, synset: c, from: from, bytes: total(classes[c]), each: eachEntry(classes[c])})
	}
	return groups
}

// pieces cuts a list into groups of about a shard each.
func pieces(split, from string, list []entry, shardBytes int64) []group {
	var groups []group
	for len(list) > 0 {
		n, size := 0, int64(0)
		for n < len(list) && (n == 0 || size+list[n].size <= shardBytes) {
			size += list[n].size
			n++
		}
		piece := list[:n]
		list = list[n:]
		var classes []string
		for _, e := range piece {
			if e.class != "" {
				classes = append(classes, e.class)
			}
		}
		groups = append(groups, group{split: split, name: fmt.Sprintf("piece-%05d", len(groups)), from: from, bytes: size, classes: classes, each: eachEntry(piece)})
	}
	return groups
}

// split makes groups by class of a training set whose images all have one, and
// pieces of anything else.
func groupsOf(split, from string, list []entry, shardBytes int64) []group {
	if split == "train" && !slices.ContainsFunc(list, func(e entry) bool { return e.class == "" }) {
		return byClass(split, from, list)
	}
	return pieces(split, from, list, shardBytes)
}

func total(list []entry) (n int64) {
	for _, e := range list {
		n += e.size
	}
	return n
}

func eachEntry(list []entry) func(context.Context, func(item) error) error {
	return func(ctx context.Context, f func(item) error) error {
		for _, e := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			b, err := e.read()
			if err != nil {
				return err
			}
			if err := f(item{e.name, b, e.class}); err != nil {
				return err
			}
		}
		return nil
	}
}

// folderGroups makes a group of each directory of a tree root/CLASS/images.
func (j *job) folderGroups(root string) ([]group, error) {
	list, err := j.openTree(root)
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, e := range list {
		class, rest, ok := strings.Cut(e.name, "/")
		if ok {
			e.class, e.name = class, rest
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no directories in it; want one a class", root)
	}
	return byClass("train", root, out), nil
}

// kaggleGroups reads the competition's tree, extracted or as its zip: train by
// synset, val with its solution, test; boxes from the solutions.
func (j *job) kaggleGroups(root string) (map[string][]group, error) {
	list, err := j.openTree(root)
	if err != nil {
		return nil, err
	}
	truth := map[string]string{}
	found := map[string][]entry{}
	for _, e := range list {
		switch base := path.Base(e.name); base {
		case "LOC_train_solution.csv", "LOC_val_solution.csv":
			b, err := e.read()
			if err == nil {
				err = imagenet.Solution(bytes.NewReader(b), func(id string, boxes []shard.Object) {
					truth[id], j.boxes[id] = boxes[0].Synset, boxes
				})
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", root, e.name, err)
			}
		case "LOC_synset_mapping.txt":
			if err := j.mapping(root, e); err != nil {
				return nil, err
			}
		}
		_, rest, ok := strings.Cut("/"+e.name, "/Data/CLS-LOC/")
		if !ok {
			continue
		}
		split, name, _ := strings.Cut(rest, "/")
		switch split {
		case "train":
			e.class, e.name, ok = strings.Cut(name, "/")
		case "val", "test":
			e.name = name
		default:
			ok = false
		}
		if ok {
			found[split] = append(found[split], e)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: not the Kaggle tree: nothing under Data/CLS-LOC/", root)
	}
	groups := map[string][]group{}
	for split, list := range found {
		for i := range list {
			if split != "val" {
				continue
			}
			if list[i].class = truth[stem(list[i].name)]; list[i].class == "" {
				return nil, fmt.Errorf("%s: %s: no line of LOC_val_solution.csv is its own", root, list[i].name)
			}
		}
		groups[split] = groupsOf(split, root, list, j.o.ShardBytes)
	}
	return groups, nil
}

// mapping takes the classes from LOC_synset_mapping.txt: "n01440764 tench, ...".
func (j *job) mapping(root string, e entry) error {
	b, err := e.read()
	if err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		synset, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if synset == "" {
			return fmt.Errorf("%s: %s: line %d has no synset", root, e.name, i+1)
		}
		j.given = append(j.given, synset)
	}
	return nil
}

// stem is a file's name without directories and extension.
func stem(name string) string {
	base := path.Base(name)
	return strings.TrimSuffix(base, path.Ext(base))
}
