package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage/files"
)

// Manifest is dataset.json, written last: a directory without one is not a
// dataset yet.
type Manifest struct {
	FormatVersion  int                  `json:"format_version"`            // as WriteManifest sets it
	WordNetVersion string               `json:"wordnet_version,omitempty"` // of the classes' words; "": none was used
	ClassesSHA256  string               `json:"classes_sha256"`            // of classes.arrow, in hex
	Splits         map[string]SplitInfo `json:"splits"`                    // by name
	Rejected       int64                `json:"rejected"`                  // images refused; listed in rejected.ndjson
	// RejectedSHA256 is of rejected.ndjson, in hex; "" where nothing was refused, and
	// in datasets of before.
	RejectedSHA256 string `json:"rejected_sha256,omitempty"`
	// Options is what the dataset was made from and how, in the words of whoever
	// made it; it is kept as it is.
	Options json.RawMessage `json:"options,omitempty"`
	// SHA256 is of the file itself, see FORMAT.md; WriteManifest fills it in. "" in
	// datasets of before.
	SHA256 string `json:"sha256,omitempty"`
}

// SplitInfo sums a split up.
type SplitInfo struct {
	Rows        int64  `json:"rows"`         // images
	Bytes       int64  `json:"bytes"`        // of the images
	Shards      int    `json:"shards"`       // files
	IndexSHA256 string `json:"index_sha256"` // of its index.arrow, in hex
	// ShardsSHA256 is of the list of shards, in hex; "" in datasets of before.
	ShardsSHA256 string `json:"shards_sha256,omitempty"`
	Source       string `json:"source,omitempty"` // what it was made from
}

// Images is how many images all splits have.
func (m *Manifest) Images() (n int64) {
	for _, s := range m.Splits {
		n += s.Rows
	}
	return n
}

// ImageBytes is how many bytes the images of all splits have.
func (m *Manifest) ImageBytes() (n int64) {
	for _, s := range m.Splits {
		n += s.Bytes
	}
	return n
}

// WriteManifest makes the directory a dataset: dataset.json is whole or absent.
func WriteManifest(dir files.Dir, m Manifest) error {
	m.FormatVersion, m.SHA256 = formatVersion, noSum
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return fmt.Errorf("write %s: %w", ManifestName, err)
	}
	text := b.Bytes()
	digits := ownSum(text, noSum)
	copy(digits, fmt.Sprintf("%x", sha256.Sum256(text)))
	return files.WriteBytes(dir, ManifestName, text)
}

// noSum stands in the place of a manifest's own sum while that is computed.
var noSum = strings.Repeat("0", 2*sha256.Size)

// ownSum gives the digits of a manifest's own sum where they stand in its text;
// nil where they do not.
func ownSum(text []byte, sum string) []byte {
	at := bytes.LastIndex(text, []byte(`"`+sum+`"`))
	if at < 0 || len(sum) != len(noSum) {
		return nil
	}
	return text[at+1:][:len(sum)]
}

// checkSum holds a manifest's text to the sum that it has of itself.
func checkSum(text []byte, sum string) error {
	text = bytes.Clone(text)
	digits := ownSum(text, sum)
	if copy(digits, noSum); digits == nil || fmt.Sprintf("%x", sha256.Sum256(text)) != sum {
		return corruptf("it does not have its own sha256")
	}
	return nil
}

// ReadManifest reads dataset.json of a directory. Without one it is ErrNotDataset,
// one that is damaged ErrCorrupt, and one of a newer format ErrVersion.
func ReadManifest(dir files.Dir) (Manifest, error) {
	var m Manifest
	path := dir.Path(ManifestName)
	b, err := files.Read(dir, ManifestName, regular.Document)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := dir.Stat("."); err != nil {
			return m, fmt.Errorf("%s: %w", dir, errors.Unwrap(err))
		}
		return m, fmt.Errorf("%s: %w", dir, ErrNotDataset)
	}
	if err != nil {
		if info, serr := dir.Stat("."); serr == nil && !info.IsDir() {
			return m, fmt.Errorf("%s: %w", dir, ErrNotDataset)
		}
		return m, ownFile(err)
	}
	if m, err = parseManifest(b); err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return m, corruptf("%v", err)
	}
	if m.FormatVersion > formatVersion {
		return m, fmt.Errorf("format version %d: %w (this one reads up to %d)", m.FormatVersion, ErrVersion, formatVersion)
	}
	if m.FormatVersion < 1 {
		return m, corruptf("format version %d", m.FormatVersion)
	}
	if m.SHA256 != "" {
		if err := checkSum(b, m.SHA256); err != nil {
			return m, err
		}
	}
	for name, s := range m.Splits {
		if !ValidSplit(name) || s.Rows < 0 || s.Bytes < 0 || s.Shards < 0 {
			return m, corruptf("split %q with %d rows, %d bytes, %d shards", name, s.Rows, s.Bytes, s.Shards)
		}
	}
	return m, nil
}

// CheckManifest reads dataset.json of a directory as ReadManifest does, and wants
// of one that has no sum of itself that it has no members but those which were
// written before there were sums: of a damaged name nothing else would tell.
func CheckManifest(dir files.Dir) (Manifest, error) {
	m, err := ReadManifest(dir)
	if err != nil || m.SHA256 != "" {
		return m, err
	}
	path := dir.Path(ManifestName)
	b, err := files.Read(dir, ManifestName, regular.Document)
	if err != nil {
		return m, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&Manifest{}); err != nil {
		return m, fmt.Errorf("%s: %w", path, corruptf("no sha256 of itself in it, and %v", err))
	}
	return m, nil
}

// ValidSplit says whether a split may have this name: that of a directory.
func ValidSplit(name string) bool {
	return name != "" && filepath.IsLocal(name) && filepath.Base(name) == name && name != "." && name != "rejected"
}
