package check

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// unfinishedName is the directory in which an ingest keeps its state until the
// dataset is whole.
const unfinishedName = ".ingest"

// exists says whether a name is there; that it cannot be told is an error.
func exists(dir files.Dir, name string) (bool, error) {
	info, err := files.Look(dir, name)
	return info != nil, err
}

// ownFiles names the files that every dataset has; who looks at splits and at
// what was refused adds theirs.
func ownFiles(m shard.Manifest) map[string]bool {
	own := map[string]bool{shard.ManifestName: true, shard.ClassesName: true, shard.LockName: true}
	for name, info := range m.Splits {
		own[name+"/"+shard.IndexName] = true
		own[name+"/"+shard.ShardsName] = info.ShardsSHA256 != ""
	}
	return own
}

// verifyRejected holds what was refused to its list, and that to the manifest.
func verifyRejected(dir files.Dir, m shard.Manifest, o VerifyOptions, p *problems, own map[string]bool) error {
	own[shard.RejectedName] = m.Rejected > 0
	list, err := shard.ReadRejected(dir, m.RejectedSHA256)
	if errors.Is(err, shard.ErrCorrupt) {
		p.add(shard.RejectedName, "", "%s", reason(err, ""))
		return nil
	}
	if err != nil {
		return err
	}
	if n := int64(len(list)); n != m.Rejected {
		p.add(shard.RejectedName, "", "%d lines, but %d images were refused by the manifest", n, m.Rejected)
	}
	for i := range list {
		r := &list[i]
		if r.File == "" {
			continue
		}
		own[r.File] = true
		what, err := differsKept(dir, r, o.Fast)
		if err != nil {
			return err
		}
		if what != "" {
			p.add(r.File, "", "%s", what)
		}
	}
	return nil
}

// differsKept says how the kept bytes of a refused image differ from what the list
// says of them; fast looks at their number alone.
func differsKept(dir files.Dir, r *shard.Rejection, fast bool) (string, error) {
	f, err := dir.Open(r.File)
	if errors.Is(err, fs.ErrNotExist) {
		return "it is missing", nil
	}
	if errors.Is(err, regular.ErrUnfit) {
		return "it is not a regular file", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if f.Size() != r.Bytes {
		return fmt.Sprintf("%d bytes, but %d by the list of what was refused", f.Size(), r.Bytes), nil
	}
	if fast {
		return "", nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, files.Sequential(f)); err != nil {
		return "", fmt.Errorf("%s: %w", r.File, err)
	}
	if fmt.Sprintf("%x", h.Sum(nil)) != r.SHA256 {
		return "it does not have its sha256", nil
	}
	return "", nil
}

// verifyOthers looks at what lies in the directory beside the dataset's own files:
// shards of a split that the manifest does not name are a problem, others are told.
func verifyOthers(dir files.Dir, m shard.Manifest, o VerifyOptions, p *problems, own map[string]bool) error {
	unfinished, err := exists(dir, unfinishedName)
	if err != nil {
		return err
	}
	if unfinished && o.OnForeign != nil {
		o.OnForeign(unfinishedName)
	}
	_, here := dir.(files.Local) // elsewhere the lock is there while somebody writes, and says who
	return dir.Walk(".", func(name string, e fs.DirEntry) error {
		split, _, below := strings.Cut(name, "/")
		_, listed := m.Splits[split]
		switch {
		case split == unfinishedName:
		case name == shard.LockName && here:
			if info, err := e.Info(); err == nil && info.Size() > 0 {
				p.add(name, "", "%d bytes in a lock, which has none", info.Size())
			}
		case e.IsDir(), own[name] && name != shard.LockName:
		case isShard(e.Name()) && below && !listed && !unfinished && !strings.HasPrefix(split, ".") && split != shard.RejectedDir:
			p.add(name, "", "it lies in a split that the manifest does not name")
		case o.OnForeign != nil:
			o.OnForeign(name)
		}
		return nil
	})
}

// isShard says whether a file in a split may be a shard by its name.
func isShard(name string) bool {
	return strings.HasSuffix(name, ".arrow") && !strings.HasPrefix(name, ".") && name != shard.IndexName
}
