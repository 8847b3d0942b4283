package shard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// Manifest is dataset.json, written last: a directory without one is not a
// dataset yet.
type Manifest struct {
	FormatVersion  int                  `json:"format_version"`
	WordNetVersion string               `json:"wordnet_version,omitempty"`
	ClassesSHA256  string               `json:"classes_sha256"`
	Splits         map[string]SplitInfo `json:"splits"`
	Rejected       int64                `json:"rejected"` // images refused; listed in rejected.ndjson
	// Options is what the dataset was made from and how, in the words of whoever
	// made it; it is kept as it is.
	Options json.RawMessage `json:"options,omitempty"`
}

// SplitInfo sums a split up. Bytes are the images'.
type SplitInfo struct {
	Rows        int64  `json:"rows"`
	Bytes       int64  `json:"bytes"`
	Shards      int    `json:"shards"`
	IndexSHA256 string `json:"index_sha256"`
	Source      string `json:"source,omitempty"` // what it was made from
}

// WriteManifest makes the directory a dataset.
func WriteManifest(dir string, m Manifest) error {
	m.FormatVersion = FormatVersion
	return durable.WriteFile(filepath.Join(dir, ManifestName), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(m)
	})
}

// ReadManifest reads dataset.json of a directory; ErrNotDataset without one.
func ReadManifest(dir string) (Manifest, error) {
	var m Manifest
	path := filepath.Join(dir, ManifestName)
	b, err := regular.ReadFile(path, regular.Document)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); err != nil {
			return m, fmt.Errorf("%s: %w", dir, errors.Unwrap(err))
		}
		return m, fmt.Errorf("%s: %w", dir, ErrNotDataset)
	}
	if err != nil {
		if info, serr := os.Stat(dir); serr == nil && !info.IsDir() {
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
	if m.FormatVersion > FormatVersion {
		return m, fmt.Errorf("format version %d: %w (this one reads up to %d)", m.FormatVersion, ErrVersion, FormatVersion)
	}
	if m.FormatVersion < 1 {
		return m, corruptf("format version %d", m.FormatVersion)
	}
	for name, s := range m.Splits {
		if !ValidSplit(name) || s.Rows < 0 || s.Bytes < 0 || s.Shards < 0 {
			return m, corruptf("split %q with %d rows, %d bytes, %d shards", name, s.Rows, s.Bytes, s.Shards)
		}
	}
	return m, nil
}

// ValidSplit says whether a split may have this name: that of a directory.
func ValidSplit(name string) bool {
	return name != "" && filepath.IsLocal(name) && filepath.Base(name) == name && name != "." && name != "rejected"
}
