package layout

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
)

// files tells names apart by source's lists, and remembers what it asked: there are
// millions of names, and few directories and extensions.
type files struct {
	kinds map[string]fileKind // by extension
	junk  map[string]bool     // by directory
	dir   string              // the last one asked for
	isIn  bool                // and whether it is junk
}

// kind says what a name says of its file.
func (f *files) kind(name string) fileKind {
	dir, base := split(name)
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
	return k
}

// byExtension is kind for what is no junk.
func (f *files) byExtension(base string) fileKind {
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

// leftOut is what a file that is no image to take is; ok is false for one that is.
func (f *files) leftOut(name string) (s spot, ok bool) {
	switch f.kind(name) {
	case junkFile:
		return spot{reason: source.JunkReason}, true
	case otherFile:
		return spot{reason: notAnImage}, true
	case archiveFile:
		return spot{reason: "an archive that is not read where it is: unpack it", image: true}, true
	case undecoded:
		return spot{reason: source.UnsupportedImage(name) + " images are not decoded", image: true}, true
	}
	return spot{}, false
}

// archiveName knows the endings of archives' names.
func archiveName(name string) bool {
	name = strings.ToLower(name)
	for _, end := range []string{".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".zip", ".7z", ".rar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

const notAnImage = "not an image"
