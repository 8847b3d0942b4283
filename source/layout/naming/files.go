package naming

import (
	"strings"

	"github.com/synshard/synshard/source"
)

// fileKind is what a name alone says of a file.
type fileKind uint8

const (
	imageFile   fileKind = iota
	undecoded            // an image of a format that is not decoded
	otherFile            // no image
	archiveFile          // which no container opened: there may be images in it
	junkFile
	hiddenImage // junk for a dot alone
	nearlyImage // an image's name with something behind it
)

// Files tells names apart by source's lists, and remembers what it asked: there are
// millions of names, and few directories and extensions.
type Files struct {
	kinds map[string]fileKind // by extension
	junk  map[string]bool     // by directory
	dir   string              // the last one asked for
	isIn  bool                // and whether it is junk
}

// kind says what a name says of its file.
func (f *Files) kind(name string) fileKind {
	dir, base := Cut(name)
	if f.junk == nil {
		f.junk, f.kinds = map[string]bool{"": false}, map[string]fileKind{}
	}
	if dir != f.dir {
		in, ok := f.junk[dir]
		if !ok {
			in = source.Junk(dir)
			f.junk[dir] = in
		}
		f.dir, f.isIn = dir, in
	}
	if f.isIn || strings.HasPrefix(base, ".") {
		if _, image := source.Junked(name); image {
			return hiddenImage
		}
		return junkFile
	}
	k := f.byExtension(base)
	if k != otherFile {
		return k
	}
	if source.Junk(base) {
		return junkFile
	}
	if archiveName(base) {
		return archiveFile
	}
	if source.NearlyImage(base) {
		return nearlyImage
	}
	return k
}

// byExtension is kind for what is no junk.
func (f *Files) byExtension(base string) fileKind {
	if f.kinds == nil {
		f.kinds = map[string]fileKind{}
	}
	i := strings.LastIndexByte(base, '.')
	if i < 0 {
		return otherFile
	}
	ext := base[i:]
	k, ok := f.kinds[ext]
	if !ok {
		switch {
		case source.UnsupportedImage(ext) != "":
			k = undecoded
		case source.ImageName(ext):
			k = imageFile
		default:
			k = otherFile
		}
		if len(f.kinds) < 1<<12 { // extensions are few, but names with points may be many
			f.kinds[ext] = k
		}
	}
	return k
}

// Image says whether a name is that of an image to take: no junk, and of a format that
// is decoded.
func (f *Files) Image(name string) bool { return f.kind(name) == imageFile }

// Undecoded says whether a name's ending is that of images of a format that is not decoded.
func (f *Files) Undecoded(name string) bool { return f.byExtension(Base(name)) == undecoded }

// LeftOut says why a file is left out, and whether that may lose an image; out is false for an
// image to take.
func (f *Files) LeftOut(name string) (reason string, image, out bool) {
	switch f.kind(name) {
	case junkFile:
		return source.JunkReason, false, true
	case hiddenImage:
		reason, _ = source.Junked(name)
		return reason, true, true
	case nearlyImage:
		return "an image by its name, with an ending that is none of an image's", true, true
	case otherFile:
		return NotAnImage, false, true
	case archiveFile:
		return "an archive that is not read where it is: unpack it", true, true
	case undecoded:
		return UndecodedReason(name), true, true
	}
	return "", false, false
}

// NotAnImage is the reason to leave out what is no image.
const NotAnImage = "not an image"

// Data says whether a file may say classes or splits, by its ending: a table, annotations, an
// array.
func Data(name string) bool {
	base := strings.ToLower(Base(name))
	switch base[strings.LastIndexByte(base, '.')+1:] {
	case "csv", "tsv", "json", "jsonl", "ndjson", "lst", "xml", "mat", "npy", "npz", "pkl", "h5", "xlsx", "db", "sqlite", "yaml", "yml":
		return true
	case "txt":
		return !strings.HasPrefix(base, "readme") && !strings.HasPrefix(base, "license")
	}
	return false
}

// ImageInside is the reason to leave out what is an image by its first bytes.
const ImageInside = "an image by its first bytes, with a name that is none of an image's"

// Endless says whether a name has no ending, or a number for one, so that only the bytes can tell
// what it is.
func Endless(name string) bool {
	base := Base(name)
	i := strings.LastIndexByte(base, '.')
	return i < 0 || Integer(base[i+1:])
}

// UndecodedReason is the reason to leave out an image of a format that is not decoded.
func UndecodedReason(name string) string {
	return source.UnsupportedImage(name) + " images are not decoded"
}

// archiveName knows the endings of archives' names.
func archiveName(name string) bool { return WithoutArchiveEnd(name) != name }
