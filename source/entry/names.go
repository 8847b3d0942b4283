package entry

import (
	"path"
	"strings"
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
	switch strings.ToLower(s) {
	case "__macosx", "icon\r", // macOS
		"thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information", // Windows
		"@eadir", "#recycle", // Synology
		"lost+found":
		return true
	}
	return false
}

// imageNames are the endings of images' names, and whether such images can be
// decoded.
var imageNames = map[string]bool{
	".jpeg": true, ".jpg": true, ".jpe": true, ".jfif": true, ".png": true, ".webp": true, ".gif": true, ".bmp": true, ".tif": true, ".tiff": true,
	".avif": false, ".heic": false, ".heif": false, ".jxl": false, ".jp2": false,
}

// ImageName says whether a name ends as an image's does, in any case of
// letters. What the image is, is found in its bytes; see UnsupportedImage for
// those that are known and not decoded.
func ImageName(name string) bool {
	_, ok := imageNames[strings.ToLower(path.Ext(name))]
	return ok
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
