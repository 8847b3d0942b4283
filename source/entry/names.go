package entry

import (
	"path"
	"regexp"
	"strings"

	"github.com/synshard/synshard/internal/utf8name"
)

// Junk says whether a name in a container, with slashes, is nobody's data: what
// operating systems, file servers and editors leave behind, and hidden files
// and folders with all that is in them. It is the one list there is.
func Junk(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if junkElement(element) {
			return true
		}
	}
	return false
}

func junkElement(s string) bool {
	if strings.HasPrefix(s, ".") && s != "." && s != ".." {
		return true // ._*, .DS_Store, .ipynb_checkpoints, .git, .cache ...
	}
	return utf8name.LeftBehind(s)
}

// leftBehind are hidden files and folders that programs make and nobody puts images into.
var leftBehind = map[string]bool{
	".ds_store": true, ".localized": true, ".spotlight-v100": true, ".fseventsd": true, ".temporaryitems": true, ".documentrevisions-v100": true,
	".appledouble": true, ".appledb": true, ".appledesktop": true, ".trashes": true, ".trash": true, ".recycle": true, ".thumbnails": true, ".thumbs": true, ".@__thumb": true,
	".snapshot": true, ".snapshots": true, ".zfs": true, ".stfolder": true, ".stversions": true, ".sync": true, ".dropbox.cache": true, ".nfs": true,
	".git": true, ".gitignore": true, ".gitattributes": true, ".gitkeep": true, ".keep": true, ".github": true, ".hg": true, ".svn": true, ".bzr": true, ".dvc": true,
	".ipynb_checkpoints": true, ".cache": true, ".venv": true, ".idea": true, ".vscode": true, ".vs": true, ".tox": true, ".mypy_cache": true, ".pytest_cache": true, ".huggingface": true,
}

// hiddenReason is the Reason of a Skip that leaves out an image which is hidden, or in a
// hidden folder, and which no program is known to have left there.
const hiddenReason = "a hidden image, or an image in a hidden folder"

// hiddenImage says whether what is Junk is so by nothing but a dot before its name, or
// before a folder's, and is called as an image is: it may be somebody's.
func hiddenImage(name string) bool {
	if !ImageName(name) && !NearlyImage(name) {
		return false
	}
	hidden := false
	for element := range strings.SplitSeq(name, "/") {
		if !junkElement(element) {
			continue
		}
		if hidden = hiddenOnly(element); !hidden {
			return false
		}
	}
	return hidden
}

// hiddenOnly says whether an element is junk for its dot alone.
func hiddenOnly(element string) bool {
	return strings.HasPrefix(element, ".") && !strings.HasPrefix(element, "._") && !strings.HasPrefix(strings.ToLower(element), ".trash-") && !leftBehind[strings.ToLower(element)]
}

// HiddenFolder says whether a folder of this name is Junk in which there may be images of
// somebody's: see hiddenImage.
func HiddenFolder(element string) bool { return junkElement(element) && hiddenOnly(element) }

// Junked gives the reason to leave out what is Junk, and whether it is an image.
func Junked(name string) (reason string, image bool) {
	if hiddenImage(name) {
		return hiddenReason, true
	}
	return JunkReason, false
}

// imageNames are the endings of images' names, and whether such images can be
// decoded. Endings that other files have as often (.raw, .hdr, .pfm; .ico, a site's
// mark) are not among them.
var imageNames = func() map[string]bool {
	m := map[string]bool{}
	for ext := range strings.FieldsSeq("jpeg jpg jpe jfif jif jfi png apng webp gif bmp dib tif tiff") {
		m["."+ext] = true
	}
	for ext := range strings.FieldsSeq("avif avifs heic heics heif hif jxl jp2 jpx jpf j2k j2c jxr wdp hdp " +
		"ppm pgm pbm pnm pam xbm xpm tga pcx dds psd psb exr qoi " +
		"cr2 cr3 crw nef nrw arw srf sr2 dng orf rw2 raf pef srw x3f 3fr erf kdc mrw rwl iiq") { // the last are cameras'
		m["."+ext] = false
	}
	return m
}()

// ImageName says whether a name ends as an image's does, in any case of
// letters. What the image is, is found in its bytes; see UnsupportedImage for
// those that are known and not decoded.
func ImageName(name string) bool {
	_, ok := imageNames[strings.ToLower(path.Ext(name))]
	return ok
}

var nearly = regexp.MustCompile(`(?i)\.(jpe?g|jpe|jfif|png|webp|gif|bmp|tiff?|avif|heic|heif|jxl)(?:[^a-z0-9.].*|\.(?:[0-9]+|bak|orig|old|tmp|part|crdownload|download|filepart))$`)

// NearlyImage says whether a name holds the ending of an image's with something behind
// it that programs put there: foo.JPG_large, foo.jpeg.1, foo.jpg~.
func NearlyImage(name string) bool {
	base := path.Base(name)
	return strings.IndexByte(base, '.') >= 0 && !ImageName(base) && nearly.MatchString(base)
}

// Bytes at the beginning of images' files.
var magics = []string{"\xff\xd8\xff", "\x89PNG\r\n\x1a\n", "GIF87a", "GIF89a", "II*\x00", "MM\x00*", "\xff\x0a", "\x00\x00\x00\x0cJXL \r\n\x87\n", "\x00\x00\x00\x0cjP  \r\n\x87\n", "\xffO\xffQ", "8BPS\x00\x01", "DDS |\x00", "\x76\x2f\x31\x01"}

// HeadBytes is how much of a file ImageBytes looks at.
const HeadBytes = 16

// ImageBytes says whether the bytes at a file's beginning are an image's.
func ImageBytes(head []byte) bool {
	s := string(head)
	for _, m := range magics {
		if strings.HasPrefix(s, m) {
			return true
		}
	}
	switch {
	case len(s) < 14:
		return false
	case strings.HasPrefix(s, "RIFF") && s[8:12] == "WEBP", strings.HasPrefix(s, "BM") && s[6:10] == "\x00\x00\x00\x00":
		return true
	}
	return s[4:8] == "ftyp" && (s[8:12] == "avif" || s[8:12] == "heic" || s[8:12] == "mif1")
}

// UnsupportedImage gives the format that an image's name stands for where it is
// known as an image and not decoded ("avif"), or "".
func UnsupportedImage(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if decoded, ok := imageNames[ext]; !ok || decoded {
		return ""
	}
	return ext[1:]
}

// CleanName gives a member's name as an Entry has it: without "." elements and
// empty ones. ok is false for a name that is no file's: with ".." elements, or
// nothing left.
func CleanName(name string) (clean string, ok bool) {
	if isClean(name) {
		return name, true
	}
	var kept []string
	for element := range strings.SplitSeq(name, "/") {
		switch element {
		case "", ".":
		case "..":
			return name, false
		default:
			kept = append(kept, element)
		}
	}
	return strings.Join(kept, "/"), len(kept) > 0
}

// isClean says whether CleanName has nothing to do: most names are clean, and
// there are millions.
func isClean(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}
