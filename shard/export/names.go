package export

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
)

// namer gives the images of a view their names, each its own unless they may be the same.
// Names are given in the order of the images, so that they are the same whenever they are.
type namer struct {
	view *shard.View
	// choices are the names that an image may have, best first. One with a number
	// is made of the last where all are taken.
	choices func(v *shard.View, i int) ([]string, error)
	same    bool // the last is given again where all are taken

	next  int // image that is named next
	files map[string]bool
	dirs  map[string]bool // of files
}

func newNamer(v *shard.View, choices func(v *shard.View, i int) ([]string, error)) *namer {
	return &namer{view: v, choices: choices, files: map[string]bool{}, dirs: map[string]bool{}}
}

// name is that of image i. It is asked for in ascending order of i.
func (n *namer) name(i int) (name string, err error) {
	for ; n.next <= i; n.next++ {
		choices, err := n.choices(n.view, n.next)
		if err != nil {
			return "", err
		}
		name = n.take(choices)
	}
	return name, nil
}

func (n *namer) take(choices []string) string {
	free := slices.IndexFunc(choices, n.free)
	name := ""
	last := choices[len(choices)-1]
	switch {
	case free >= 0:
		name = choices[free]
	case n.same:
		name = last
	default:
		ext := path.Ext(last)
		for k := 2; name == "" || !n.free(name); k++ {
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(last, ext), k, ext)
		}
	}
	n.files[name] = true
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		n.dirs[dir] = true
	}
	return name
}

// free says whether nothing has the name, nor a file that of a directory of it.
func (n *namer) free(name string) bool {
	if n.files[name] || n.dirs[name] {
		return false
	}
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if n.files[dir] {
			return false
		}
	}
	return true
}

// rowChoices are names in a table: the image's own, and where another image has
// it too, CLASS/NAME: readers take the class from the beginning of a name, and so a
// name that begins with it has it twice.
func rowChoices(v *shard.View, i int) ([]string, error) {
	if class := v.Synset(i) + "/"; strings.HasPrefix(v.Path(i), class) {
		return []string{class + v.Path(i)}, nil
	}
	return []string{v.Path(i), v.Synset(i) + "/" + v.Path(i)}, nil
}

// tree gives the names in a tree: CLASS/NAME with the bytes that the name had in
// its source.
type tree struct {
	dirs map[string]string // of classes
}

// newTree names the directories of the classes of all splits. A class whose name a
// directory can have everywhere has it, before one that gets another.
func newTree(splits []Split) tree {
	var classes []string
	seen := map[string]bool{"": true}
	add := func(class string) {
		if !seen[class] {
			seen[class] = true
			classes = append(classes, class)
		}
	}
	for _, s := range splits {
		for _, class := range s.View.Classes() {
			add(class)
		}
		for i := range s.View.Len() {
			add(s.View.Synset(i))
		}
	}
	t := tree{map[string]string{"": ""}}
	taken := newNamer(nil, nil)
	for _, fit := range []bool{true, false} {
		for _, class := range classes {
			raw := utf8name.Unescape(class)
			if name := utf8name.FileName(raw); (name == raw) == fit {
				t.dirs[class] = taken.take([]string{name})
			}
		}
	}
	return t
}

// choices are the names that an image may have. NAME is the whole of its path where
// that can be a file's, else its last element, else all of it as one; what a
// file's name cannot have is escaped. An image without a class lies flat, since a
// directory would be its class.
func (t tree) choices(v *shard.View, i int) ([]string, error) {
	class, whole := t.dirs[v.Synset(i)], withExt(utf8name.Unescape(v.Path(i)), v, i)
	var out []string
	if class != "" && isClean(whole) {
		out = append(out, whole)
	} else if last := path.Base(whole); !strings.HasPrefix(last, ".") && len(last) <= utf8name.Longest {
		out = append(out, utf8name.FileName(last))
	}
	out = append(out, flat(whole))
	for k := range out {
		out[k] = path.Join(class, out[k])
	}
	return out, nil
}

// isClean says whether a path can be that of a file below a directory on every
// system, and is not what readers pass over: hidden files.
func isClean(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if element != utf8name.FileName(element) {
			return false
		}
	}
	return true
}

// flat makes a path one element.
func flat(name string) string {
	name = strings.ReplaceAll(name, "/", "_")
	if strings.HasPrefix(name, ".") {
		name = "_" + name
	}
	return utf8name.FileName(name)
}

// extensions are those of images' names. Others are not seen as images by
// whoever reads trees.
var extensions = []string{".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}

// withExt gives a name the extension of its image's format where it has none of
// an image.
func withExt(name string, v *shard.View, i int) string {
	if slices.Contains(extensions, strings.ToLower(path.Ext(name))) {
		return name
	}
	return name + extOf(v.Row(i).Format)
}

// extOf is the extension of a format's files.
func extOf(format string) string {
	switch format {
	case "JPEG", "":
		return ".jpg"
	}
	return "." + strings.ToLower(format)
}
