package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/storage/files"
)

// ShardsName is the list of a split's shards, beside its index.
const ShardsName = "shards.ndjson"

// ShardInfo is a line of the list: a shard as it was written. Its sum alone
// covers what no row holds: the schema, and the bytes between the buffers.
type ShardInfo struct {
	File   string `json:"file"`   // relative to the dataset's directory, with slashes
	Rows   int64  `json:"rows"`   // images in it
	Size   int64  `json:"size"`   // bytes of the file
	CRC32C uint32 `json:"crc32c"` // of all of them (Castagnoli)
}

// SumFile reads a finished shard of a dataset to say what the list says of it.
func SumFile(dir files.Dir, file string) (ShardInfo, error) {
	r, err := OpenFile(dir, file)
	if err != nil {
		return ShardInfo{}, err
	}
	defer r.Close()
	size, sum, err := files.CRC32C(dir, file)
	if err != nil {
		return ShardInfo{}, ownFile(err)
	}
	return ShardInfo{file, r.Rows(), size, sum}, nil
}

// WriteShards writes the list of a split's shards, in order of their names, and
// gives its SHA-256 in hex, for the manifest.
func WriteShards(dir files.Dir, split string, list []ShardInfo) (string, error) {
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
	err := files.WriteBytes(dir, split+"/"+ShardsName, b.Bytes())
	return fmt.Sprintf("%x", sha256.Sum256(b.Bytes())), err
}

// ReadShards reads the list of a split's shards, whose SHA-256 the manifest gives
// in hex; with "" for it a list is taken as it is. One that is missing, or another
// one, is ErrCorrupt.
func ReadShards(dir files.Dir, split, sum string) ([]ShardInfo, error) {
	name := split + "/" + ShardsName
	path := dir.Path(name)
	if sum == "" {
		var err error
		if sum, err = files.SHA256(dir, name); err != nil {
			return nil, ownFile(err)
		}
	}
	b, err := readChecked(dir, name, sum)
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
