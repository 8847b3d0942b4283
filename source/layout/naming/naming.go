// Package naming says what one name alone tells: of a file, whether it is an image; of a
// directory, whether it is called after a split, a synset or nothing; of an image, the
// synset or the split that it names itself after.
package naming

import (
	"regexp"
	"strings"

	"github.com/synshard/synshard/source/classlist"
)

// Splits are the names that splits have in a plan and on disk.
var Splits = []string{"train", "val", "test"}

// splitWords are the words for splits.
var splitWords = map[string]string{
	"train": "train", "training": "train",
	"val": "val", "valid": "val", "validation": "val", "dev": "val",
	"test": "test", "testing": "test",
}

// SplitWord gives the split that a directory's name is the word for, or "".
func SplitWord(name string) string {
	if len(name) < 3 || len(name) > 10 {
		return ""
	}
	return splitWords[strings.ToLower(name)]
}

// decorated is a directory's name made of a word for a split and other things:
// imagenet21k_train, ILSVRC2012_img_val, train.X1, images-test, train2017.
var decorated = regexp.MustCompile(`^(?:([a-z0-9]+(?:[._-][a-z0-9]+)*)[._-])?(train|training|val|valid|validation|test|testing)(?:[._-]?(?:img|images?|set|data|full))?(?:[._-]?(?:x[0-9]*|[0-9]+))?$`)

// usual are beginnings of names that speak of data, not of what is in an image.
var usual = regexp.MustCompile(`^(?:imagenet|ilsvrc|img|image|data|cls|cifar|tiny)`)

// LikeSplit gives the split that a directory may be called after. sure says that
// it is called so even where no other such directory stands beside it.
func LikeSplit(name string) (split string, sure bool) {
	if s := SplitWord(name); s != "" {
		return s, true
	}
	m := decorated.FindStringSubmatch(strings.ToLower(name))
	if m == nil {
		return "", false
	}
	return splitWords[m[2]], m[1] == "" || usual.MatchString(m[1])
}

var letters = regexp.MustCompile(`[a-z]+`)

// FileSplit gives the split that a file's name speaks of: train-00000-of-00005,
// ILSVRC2012_img_val, imagenet-validation-000. None, or two, is "".
func FileSplit(name string) string {
	found := ""
	for _, word := range letters.FindAllString(strings.ToLower(Base(name)), -1) {
		if s := splitWords[word]; s != "" {
			if found != "" && found != s {
				return ""
			}
			found = s
		}
	}
	return found
}

// listWords are what else stands in the names of lists of splits.
var listWords = map[string]bool{
	"split": true, "splits": true, "list": true, "lists": true, "file": true, "files": true, "image": true, "images": true, "img": true, "imgs": true, "set": true,
	"ids": true, "id": true, "names": true, "label": true, "labels": true, "official": true, "index": true, "paths": true, "ing": true,
}

var camel = regexp.MustCompile(`([a-z])([A-Z])`)

// SplitList says whether a file may list the images of splits: text or a table called
// after one, and after nothing but splits.
func SplitList(name string) bool {
	base := Base(name)
	switch strings.ToLower(base[strings.LastIndexByte(base, '.')+1:]) {
	case "txt", "csv", "tsv", "json", "jsonl", "ndjson", "lst", "mat":
	default:
		return false
	}
	found := false
	for _, word := range words(Stem(base)) {
		switch {
		case splitWords[word] != "", word == trainVal:
			found = true
		case !listWords[word]:
			return false
		}
	}
	return found
}

// trainVal is a word for what is of train and val.
const trainVal = "trainval"

// words are the words of a name in small letters: trainImages_2 is train, images.
func words(name string) []string {
	return letters.FindAllString(strings.ToLower(camel.ReplaceAllString(name, "$1 $2")), -1)
}

// ListSplit gives the split of the images that a list of this name has: TrainImages.txt,
// val.csv, test_list.txt. None, or two, is "". weak is that of trainval, whose images may be of
// val.
func ListSplit(name string) (split string, weak bool) {
	for _, word := range words(Stem(name)) {
		s := splitWords[word]
		if word == trainVal {
			s, weak = "train", true
		}
		if s != "" && split != "" && s != split {
			return "", false
		}
		if s != "" {
			split = s
		}
	}
	return split, weak
}

var portion = regexp.MustCompile(`^(?:.*[^a-z])?(?:part|portion|fold|batch|shard|chunk|volume|vol|dis[ck]|images|imgs|archive)[ ._-]?[0-9]+$`)

// Portion says whether a directory is called after a part of something that was cut for
// its size: images_part_1, batch2, images_001.
func Portion(name string) bool { return portion.MatchString(strings.ToLower(name)) }

// generic are names of directories that say nothing of what is in the images.
var generic = map[string]bool{
	"images": true, "image": true, "imgs": true, "img": true, "photos": true, "pictures": true, "jpeg": true, "jpegs": true,
	"jpg": true, "jpegimages": true, "data": true, "files": true,
}

// Generic says whether a directory's name says nothing of what is in its images.
func Generic(name string) bool { return generic[strings.ToLower(name)] }

// LeftOver are directories that come with a release and are none of its splits: ImageNet-21K-P's classes
// that are too small.
func LeftOver(name string) bool {
	return strings.HasSuffix(strings.ToLower(name), "_small_classes")
}

var synsetName = regexp.MustCompile(`^(n[0-9]{8})[-_. ]+[^0-9\s]`)

// Synset gives the synset that a directory is called after: n01440764, or as
// Stanford Dogs has it n02085620-Chihuahua.
func Synset(name string) (synset string, ok bool) {
	if classlist.IsSynset(name) {
		return name, true
	}
	if m := synsetName.FindStringSubmatch(name); m != nil {
		return m[1], true
	}
	return "", false
}

// Integer says whether a name is a number.
func Integer(name string) bool {
	for _, c := range []byte(name) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return name != ""
}

var archiveEnds = []string{
	".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar", ".tgz", ".tbz2", ".tbz", ".txz", ".tzst", ".zip", ".7z", ".rar",
}

// WithoutArchiveEnd is an archive's name as that of a directory.
func WithoutArchiveEnd(name string) string {
	for _, end := range archiveEnds {
		if len(name) > len(end) && strings.EqualFold(name[len(name)-len(end):], end) {
			return name[:len(name)-len(end)]
		}
	}
	return name
}

// Base is what is behind the last slash.
func Base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// Stem is a name without directories and the last extension.
func Stem(name string) string {
	b := Base(name)
	if i := strings.LastIndexByte(b, '.'); i > 0 {
		return b[:i]
	}
	return b
}

// SynsetIn gives the synset in an image's name: at its end
// (ILSVRC2012_val_00000001_n01751748.JPEG), as Hugging Face's archives have it, or at
// its beginning (n01440764_10026.JPEG).
func SynsetIn(name string) string {
	s := Stem(name)
	if n := len(s); n > 10 && s[n-10] == '_' && classlist.IsSynset(s[n-9:]) {
		return s[n-9:]
	}
	if len(s) > 10 && (s[9] == '_' || s[9] == '-') && classlist.IsSynset(s[:9]) {
		return s[:9]
	}
	return ""
}

// ILSVRCSplit gives the split that an image of ILSVRC's names itself after:
// ILSVRC2012_val_00000001, ILSVRC2012_test_00000001.
func ILSVRCSplit(name string) string {
	b := Base(name)
	if !strings.HasPrefix(b, "ILSVRC20") || len(b) < 15 {
		return ""
	}
	switch rest := b[10:]; {
	case strings.HasPrefix(rest, "_val_"):
		return "val"
	case strings.HasPrefix(rest, "_test_"):
		return "test"
	}
	return ""
}

// Cut cuts a path into its directories and what is behind the last slash.
func Cut(path string) (dir, base string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}
