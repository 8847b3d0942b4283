package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// ShardsName is the list of a split's shards, beside its index.
const ShardsName = "shards.ndjson"

// ShardInfo is a line of the list: a shard as it was written. Its sum alone
// covers what no row holds: the schema, and the bytes between the buffers.
type ShardInfo struct {
	File   string `json:"file"` // relative to the dataset's directory, with slashes
	Rows   int64  `json:"rows"`
	Size   int64  `json:"size"`   // bytes of the file
	CRC32C uint32 `json:"crc32c"` // of all of them (Castagnoli)
}

// SumFile reads a finished shard of a dataset to say what the list says of it.
func SumFile(dir, file string) (ShardInfo, error) {
	path := filepath.Join(dir, filepath.FromSlash(file))
	r, err := OpenFile(path)
	if err != nil {
		return ShardInfo{}, err
	}
	defer r.Close()
	f, _, err := regular.Open(path)
	if err != nil {
		return ShardInfo{}, ownFile(err)
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	size, err := io.Copy(sum, f)
	if err != nil {
		return ShardInfo{}, fmt.Errorf("%s: %w", path, err)
	}
	return ShardInfo{file, r.Rows(), size, sum.Sum32()}, nil
}

// WriteShards writes the list of a split's shards, in order of their names, and
// gives its SHA-256 in hex, for the manifest.
func WriteShards(dir, split string, list []ShardInfo) (string, error) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b ShardInfo) int { return strings.Compare(a.File, b.File) })
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, s := range list {
		if err := e.Encode(s); err != nil {
			return "", fmt.Errorf("write %s/%s: %w", split, ShardsName, err)
		}
	}
	err := durable.WriteFile(filepath.Join(dir, split, ShardsName), func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	})
	return fmt.Sprintf("%x", sha256.Sum256(b.Bytes())), err
}

// ReadShards reads the list of a split's shards, whose SHA-256 the manifest gives
// in hex; with "" for it a list is taken as it is. One that is missing, or another
// one, is ErrCorrupt.
func ReadShards(dir, split, sum string) ([]ShardInfo, error) {
	path := filepath.Join(dir, split, ShardsName)
	if sum == "" {
		var err error
		if sum, err = regular.SHA256(path); err != nil {
			return nil, ownFile(err)
		}
	}
	b, err := readChecked(path, sum)
	if err != nil {
		return nil, err
	}
	var list []ShardInfo
	d := json.NewDecoder(bytes.NewReader(b))
	for d.More() {
		var s ShardInfo
		if err := d.Decode(&s); err != nil {
			return nil, corruptf("%s: line %d: %v", path, len(list)+1, err)
		}
		if !filepath.IsLocal(filepath.FromSlash(s.File)) || s.Rows < 0 || s.Size < 0 {
			return nil, corruptf("%s: %q with %d rows in %d bytes", path, s.File, s.Rows, s.Size)
		}
		list = append(list, s)
	}
	return list, nil
}
