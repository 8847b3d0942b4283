package export

import (
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/shard"
)

// namer gives the images of a view their names, each its own. Names are given
// in the order of the images, so that they are the same whenever they are.
type namer struct {
	view *shard.View
	// choices are the names that an image may have, best first. One with a number
	// is made of the last where all are taken.
	choices func(v *shard.View, i int) ([]string, error)

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
	if free >= 0 {
		name = choices[free]
	} else {
		last := choices[len(choices)-1]
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

// rowChoices are names in a table: the image's own, and where another class has
// it too, CLASS/NAME.
func rowChoices(v *shard.View, i int) ([]string, error) {
	return []string{v.Path(i), path.Join(v.Synset(i), v.Path(i))}, nil
}

// treeChoices are names in a tree: CLASS/NAME with the bytes that the name had
// in its source. NAME is the whole of the image's path where that can be a file's,
// else its last element, else all of it with _ for what cannot be. An image
// without a class lies flat, since a directory would be its class.
func treeChoices(v *shard.View, i int) ([]string, error) {
	class, whole := utf8name.Unescape(v.Synset(i)), withExt(utf8name.Unescape(v.Path(i)), v, i)
	if class == "." || class == ".." || strings.ContainsAny(class, "/\x00") {
		return nil, fmt.Errorf("class %q cannot be the name of a directory", v.Synset(i))
	}
	var out []string
	if class != "" && isClean(whole) {
		out = append(out, whole)
	} else if last := path.Base(whole); isClean(last) {
		out = append(out, last)
	}
	out = append(out, flat(whole))
	for k := range out {
		out[k] = path.Join(class, out[k])
	}
	return out, nil
}

// longest is the most bytes of a name that every file system takes, with room
// for a number.
const longest = 240

// isClean says whether a path can be that of a file below a directory, and is
// not what readers pass over: hidden files.
func isClean(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element[0] == '.' || len(element) > longest || strings.Contains(element, "\x00") {
			return false
		}
	}
	return true
}

// flat makes a path one element.
func flat(name string) string {
	name = strings.NewReplacer("/", "_", "\x00", "_").Replace(name)
	if strings.HasPrefix(name, ".") {
		name = "_" + name
	}
	if len(name) > longest {
		ext := path.Ext(name)
		name = fmt.Sprintf("%s-%.6x%s", strings.ToValidUTF8(name[:150], ""), sha256.Sum256([]byte(name)), ext[:min(len(ext), 16)])
	}
	return name
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
