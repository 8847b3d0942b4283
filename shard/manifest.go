package shard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"synshard/internal/durable"
)

// Manifest is dataset.json, written last: a directory without one is not a
// dataset yet.
type Manifest struct {
	FormatVersion  int                  `json:"format_version"`
	WordNetVersion string               `json:"wordnet_version,omitempty"`
	ClassesSHA256  string               `json:"classes_sha256"`
	Splits         map[string]SplitInfo `json:"splits"`
	Rejected       int64                `json:"rejected"` // images refused; listed in rejected.ndjson
	Options        map[string]string    `json:"options,omitempty"`
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
	b, err := os.ReadFile(path)
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
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%s: %w: %w", path, ErrCorrupt, err)
	}
	if m.FormatVersion < 1 || m.FormatVersion > FormatVersion {
		return m, fmt.Errorf("%s: format version %d; this synshard reads up to %d", path, m.FormatVersion, FormatVersion)
	}
	for name, s := range m.Splits {
		if !filepath.IsLocal(name) || filepath.Base(name) != name || s.Rows < 0 {
			return m, fmt.Errorf("%s: %w: split %q with %d rows", path, ErrCorrupt, name, s.Rows)
		}
	}
	return m, nil
}
