package shard

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage/files"
)

// Rejection is an image that was refused: a line of rejected.ndjson.
type Rejection struct {
	Split  string `json:"split"`            // for which it was meant
	Synset string `json:"synset,omitempty"` // its class; "": none
	Path   string `json:"path"`             // as Row.Path
	Source string `json:"source"`           // the container it came in
	Reason string `json:"reason"`           // for people
	Bytes  int64  `json:"bytes"`            // of the image
	SHA256 string `json:"sha256,omitempty"` // "": its bytes could not be had
	File   string `json:"file,omitempty"`   // where they are kept, in the dataset's directory
}

// Where a dataset has what was refused: the list, and the bytes.
const (
	RejectedName = "rejected.ndjson"
	RejectedDir  = "rejected"
)

// CompareRejections is the order of the list.
func CompareRejections(a, b Rejection) int {
	return cmp.Or(cmp.Compare(a.Split, b.Split), cmp.Compare(a.Synset, b.Synset), cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Source, b.Source), cmp.Compare(a.SHA256, b.SHA256), cmp.Compare(a.Reason, b.Reason))
}

// ReadRejected reads the list of a dataset, whose SHA-256 the manifest gives in
// hex; with "" for it a list is taken as it is, and none is an empty one. Another
// list than the manifest's, or one that says nothing, is ErrCorrupt.
func ReadRejected(dir files.Dir, sum string) ([]Rejection, error) {
	name := dir.Path(RejectedName)
	var b []byte
	var err error
	if sum != "" {
		b, err = readChecked(dir, RejectedName, sum)
	} else if b, err = files.Read(dir, RejectedName, regular.Table); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, ownFile(err)
	}
	var list []Rejection
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, len(b)+1)
	for lines.Scan() {
		var r Rejection
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, corruptf("%s: line %d: %v", name, len(list)+1, err)
		}
		if r.File != "" && !filepath.IsLocal(filepath.FromSlash(r.File)) {
			return nil, corruptf("%s: line %d: its image lies in %q", name, len(list)+1, r.File)
		}
		list = append(list, r)
	}
	return list, lines.Err()
}

// WriteRejected writes the list, or removes an old one where there is nothing
// to list, and gives its SHA-256 in hex, for the manifest; "" of none.
func WriteRejected(dir files.Dir, list []Rejection) (string, error) {
	if len(list) == 0 {
		if err := dir.Remove(RejectedName); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", nil
	}
	slices.SortFunc(list, CompareRejections)
	sum := sha256.New()
	err := files.Write(dir, RejectedName, func(w io.Writer) error {
		e := json.NewEncoder(io.MultiWriter(w, sum))
		e.SetEscapeHTML(false)
		for _, r := range list {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
	return fmt.Sprintf("%x", sum.Sum(nil)), err
}
