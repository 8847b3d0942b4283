package ingest

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// group is a run of images that are written together: a synset of the training
// set, or a piece of a flat split. Groups are independent of each other, which
// is what makes work parallel and interruptions cheap.
type group struct {
	split  string
	name   string // synset, or piece-00000 of a flat split
	synset string // of every image; "" where images differ or have none
	from   string // the source, for errors
	bytes  int64  // to be read, for progress

	// each calls f with every image, in an order that is always the same.
	each func(ctx context.Context, f func(name string, b []byte) error) error
}

// maxImage bounds one image, so that a damaged header cannot ask for all
// memory.
const maxImage = 1 << 30

// tarFile is an archive read in place.
type tarFile struct {
	*os.File
	path string
	size int64
}

func openTar(path string) (*tarFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &tarFile{f, path, info.Size()}, nil
}

// member is a file in a tar: its bytes lie at offset.
type member struct {
	name         string
	offset, size int64
}

// members lists the files of the archive, by name, by reading its headers only.
func (t *tarFile) members(ctx context.Context) ([]member, error) {
	section := io.NewSectionReader(t, 0, t.size)
	r := tar.NewReader(section) // skips contents by seeking
	var out []member
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			after := "its beginning"
			if len(out) > 0 {
				after = "member " + out[len(out)-1].name
			}
			return nil, fmt.Errorf("%s: after %s: %w", t.path, after, unexpected(err))
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if at+h.Size > t.size {
			return nil, fmt.Errorf("%s: member %s: the archive is truncated: %d of its %d bytes are there", t.path, h.Name, t.size-at, h.Size)
		}
		out = append(out, member{h.Name, at, h.Size})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no files in it; is it a tar?", t.path)
	}
	slices.SortFunc(out, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(out); i++ {
		if out[i].name == out[i-1].name {
			return nil, fmt.Errorf("%s: member %s is there twice", t.path, out[i].name)
		}
	}
	return out, nil
}

// trainGroups makes a group of each tar in the training tar.
func (t *tarFile) trainGroups(ctx context.Context) ([]group, error) {
	list, err := t.members(ctx)
	if err != nil {
		return nil, err
	}
	var groups []group
	for _, m := range list {
		synset, ok := strings.CutSuffix(path.Base(m.name), ".tar")
		if !ok {
			return nil, fmt.Errorf("%s: member %s is not a tar: the training archive is a tar of one tar a synset", t.path, m.name)
		}
		groups = append(groups, group{
			split: "train", name: synset, synset: synset, from: t.path, bytes: m.size,
			each: func(ctx context.Context, f func(string, []byte) error) error { return t.inner(ctx, m, f) },
		})
	}
	return groups, nil
}

// inner walks a tar within the tar, front to back.
func (t *tarFile) inner(ctx context.Context, m member, f func(string, []byte) error) error {
	r := tar.NewReader(io.NewSectionReader(t, m.offset, m.size))
	last := ""
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: member %s: after %q: %w", t.path, m.name, last, unexpected(err))
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if last = h.Name; h.Size > maxImage {
			return fmt.Errorf("%s: member %s: %s: %d bytes, more than an image has", t.path, m.name, h.Name, h.Size)
		}
		b := make([]byte, h.Size)
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("%s: member %s: %s: %w", t.path, m.name, h.Name, unexpected(err))
		}
		if err := f(path.Base(h.Name), b); err != nil {
			return err
		}
	}
}

// flatGroups cuts a flat archive's images, in order of their names, into
// pieces of about a shard each.
func (t *tarFile) flatGroups(ctx context.Context, split string, shardBytes int64) ([]group, error) {
	list, err := t.members(ctx)
	if err != nil {
		return nil, err
	}
	var groups []group
	for len(list) > 0 {
		n, size := 0, int64(0)
		for n < len(list) && (n == 0 || size+list[n].size <= shardBytes) {
			size += list[n].size
			n++
		}
		piece := list[:n]
		list = list[n:]
		groups = append(groups, group{
			split: split, name: fmt.Sprintf("piece-%05d", len(groups)), from: t.path, bytes: size,
			each: func(ctx context.Context, f func(string, []byte) error) error {
				for _, m := range piece {
					if err := ctx.Err(); err != nil {
						return err
					}
					if m.size > maxImage {
						return fmt.Errorf("%s: member %s: %d bytes, more than an image has", t.path, m.name, m.size)
					}
					b := make([]byte, m.size)
					if _, err := t.ReadAt(b, m.offset); err != nil {
						return fmt.Errorf("%s: member %s: %w", t.path, m.name, unexpected(err))
					}
					if err := f(path.Base(m.name), b); err != nil {
						return err
					}
				}
				return nil
			},
		})
	}
	return groups, nil
}

// folderGroups makes a group of each directory of a tree root/CLASS/images.
func folderGroups(root string) ([]group, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var groups []group
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		dir := filepath.Join(root, e.Name())
		files, size, err := folderFiles(dir)
		if err != nil {
			return nil, err
		}
		groups = append(groups, group{
			split: "train", name: e.Name(), synset: e.Name(), from: dir, bytes: size,
			each: func(ctx context.Context, f func(string, []byte) error) error {
				for _, name := range files {
					if err := ctx.Err(); err != nil {
						return err
					}
					b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
					if err != nil {
						return err
					}
					if err := f(name, b); err != nil {
						return err
					}
				}
				return nil
			},
		})
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("%s: no directories in it; want one a class", root)
	}
	return groups, nil
}

// folderFiles lists the files below a directory, by name.
func folderFiles(dir string) (files []string, size int64, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if info.Mode().IsRegular() {
			files = append(files, filepath.ToSlash(rel))
			size += info.Size()
		}
		return err
	})
	slices.Sort(files)
	return files, size, err
}
