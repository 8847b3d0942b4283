package record

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// maxKeptName bounds the name of a file under rejected/, in bytes: file systems
// allow 255, and the name while it is written is longer.
const maxKeptName = 100

// Keep stores the bytes b of a refused image under rejected/ of the dataset in out,
// whole or not at all, and notes where in r.File. r has its SHA256; class names the
// directory, "" for none.
func Keep(r *shard.Rejection, out files.Dir, class string, b []byte) error {
	r.File = path.Join(shard.RejectedDir, r.Split, safeName(class, maxKeptName), safeName(r.SHA256[:12]+"-"+strings.ReplaceAll(r.Path, "/", "_"), maxKeptName))
	if err := out.MkdirBelow(path.Dir(r.File)); err != nil {
		return err
	}
	return files.WriteBytes(out, r.File, b)
}

// safeName makes a name of at most limit bytes that every file system takes:
// what is not a letter, a digit or one of "._- " becomes "_", and of a long name
// the beginning (with the prefix that makes it its own) and the end are kept.
func safeName(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("._- ", c) {
			return '_'
		}
		return c
	}, s)
	if s == "." || s == ".." {
		return strings.Repeat("_", len(s))
	}
	if len(s) <= limit {
		return s
	}
	const head = 13 // the sum's twelve digits and the dash
	tail := len(s) - (limit - head - 1)
	for tail < len(s) && !utf8.RuneStart(s[tail]) {
		tail++
	}
	front := head
	for front > 0 && !utf8.RuneStart(s[front]) {
		front--
	}
	return s[:front] + "_" + s[tail:]
}
