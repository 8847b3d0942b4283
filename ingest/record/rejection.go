package record

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// Rejection is an image that was refused: a line of rejected.ndjson.
type Rejection struct {
	Split  string `json:"split"`
	Synset string `json:"synset,omitempty"`
	Path   string `json:"path"`
	Source string `json:"source"`
	Reason string `json:"reason"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"` // "": its bytes could not be had
	File   string `json:"file,omitempty"`   // where they are kept, in the dataset's directory
}

// Where a dataset has what was refused: the list, and the bytes.
const (
	RejectedName = "rejected.ndjson"
	RejectedDir  = "rejected"
)

// maxKeptName bounds the name of a file under rejected/, in bytes: file systems
// allow 255, and the name while it is written is longer.
const maxKeptName = 100

// Keep stores the bytes of a refused image under rejected/.
func (r *Rejection) Keep(out, class string, b []byte) error {
	r.File = path.Join(RejectedDir, r.Split, safeName(class, maxKeptName), safeName(r.SHA256[:12]+"-"+strings.ReplaceAll(r.Path, "/", "_"), maxKeptName))
	to := filepath.Join(out, filepath.FromSlash(r.File))
	if err := durable.MkdirAll(filepath.Dir(to)); err != nil {
		return err
	}
	return durable.WriteFile(to, func(w io.Writer) error { _, err := w.Write(b); return err })
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

// CompareRejections is the order of the list.
func CompareRejections(a, b Rejection) int {
	return cmp.Or(cmp.Compare(a.Split, b.Split), cmp.Compare(a.Synset, b.Synset), cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Source, b.Source), cmp.Compare(a.SHA256, b.SHA256), cmp.Compare(a.Reason, b.Reason))
}

// ReadRejected reads the list of a dataset.
func ReadRejected(out string) ([]Rejection, error) {
	name := filepath.Join(out, RejectedName)
	b, err := regular.ReadFile(name, regular.Table)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Rejection
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, len(b)+1)
	for lines.Scan() {
		var r Rejection
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, len(list)+1, err)
		}
		list = append(list, r)
	}
	return list, lines.Err()
}

// WriteRejected writes the list, or removes an old one where there is nothing
// to list.
func WriteRejected(out string, list []Rejection) error {
	name := filepath.Join(out, RejectedName)
	if len(list) == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	slices.SortFunc(list, CompareRejections)
	return durable.WriteFile(name, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		for _, r := range list {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
}
