package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/synshard/synshard/ingest/imagenet"
)

// open opens the sources and lists the groups.
func (j *job) open(ctx context.Context) error {
	var err error
	if j.o.Devkit != "" {
		if j.kit, err = imagenet.ReadKit(j.o.Devkit); err != nil {
			return err
		}
		j.given = append(j.given, j.kit.Classes()...)
	}
	for _, b := range j.o.Boxes {
		if err := j.boxes.Read(ctx, b); err != nil {
			return err
		}
	}
	if err := j.openArchives(ctx); err != nil {
		return err
	}
	if j.o.Folder != "" {
		g, err := j.folderGroups(j.o.Folder)
		if err := j.add("train", []string{j.o.Folder}, g, err); err != nil {
			return err
		}
	}
	if j.o.Kaggle != "" {
		groups, err := j.kaggleGroups(j.o.Kaggle)
		if err != nil {
			return err
		}
		for split, g := range groups {
			if err := j.add(split, []string{j.o.Kaggle}, g, nil); err != nil {
				return err
			}
		}
	}
	return j.openLists(ctx)
}

// openArchives opens ILSVRC2012's tars: in place, or as streams.
func (j *job) openArchives(ctx context.Context) error {
	for _, s := range []struct{ split, path string }{{"train", j.o.Train}, {"val", j.o.Val}, {"test", j.o.Test}} {
		if s.path == "" {
			continue
		}
		if s.path == "-" {
			j.sources[s.split] = "standard input"
			if err := j.addStream(ctx, stream{split: s.split, path: "standard input", in: j.o.Stdin}); err != nil {
				return err
			}
			continue
		}
		if packed, err := compressed(s.path); err != nil {
			return err
		} else if packed {
			if err := j.add(s.split, []string{s.path}, nil, nil); err != nil {
				return err
			}
			if err := j.addStream(ctx, stream{split: s.split, path: s.path}); err != nil {
				return err
			}
			continue
		}
		t, err := openTar(s.path)
		if err != nil {
			return err
		}
		j.files = append(j.files, t.File)
		var g []group
		if s.split == "train" {
			g, err = t.trainGroups(ctx)
		} else {
			g, err = j.flatGroups(ctx, t, s.split)
		}
		if err := j.add(s.split, []string{s.path}, g, err); err != nil {
			return err
		}
	}
	return nil
}

// flatGroups cuts a flat archive's images, in order of their names, into
// pieces of about a shard each.
func (j *job) flatGroups(ctx context.Context, t *tarFile, split string) ([]group, error) {
	list, err := t.entries(ctx)
	if err == nil {
		list, err = sortEntries(t.path, list)
	}
	return pieces(split, t.path, list, j.o.ShardBytes), err
}

// addStream notes an archive that is read front to back. Its classes must be
// known before.
func (j *job) addStream(ctx context.Context, s stream) error {
	if s.split == "train" && len(j.given) == 0 {
		list, err := s.classes(ctx)
		if err != nil {
			return err
		}
		j.given = list
	}
	j.streams = append(j.streams, s)
	return nil
}

// openLists opens the sources whose images are listed with their classes.
func (j *job) openLists(ctx context.Context) error {
	split := j.o.Split
	if len(j.o.WebDataset) > 0 {
		list, err := j.webEntries(ctx, j.o.WebDataset, j.o.Classes)
		if err := j.add(split, j.o.WebDataset, groupsOf(split, j.o.WebDataset[0], list, j.o.ShardBytes), err); err != nil {
			return err
		}
	}
	if len(j.o.Parquet) > 0 {
		g, err := j.parquetGroups(j.o.Parquet, j.o.Classes)
		if err := j.add(split, j.o.Parquet, g, err); err != nil {
			return err
		}
	}
	if j.o.List == "" {
		return nil
	}
	list, err := listEntries(j.o.List)
	return j.add(split, []string{j.o.List}, groupsOf(split, j.o.List, list, j.o.ShardBytes), err)
}

func (j *job) add(split string, paths []string, groups []group, err error) error {
	if err != nil {
		return err
	}
	var all []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		all = append(all, describe(path, info))
	}
	if j.tree(paths[0]) { // the list or directory says nothing of the files' sizes
		var n int64
		for _, g := range groups {
			n += g.bytes
		}
		all = append(all, fmt.Sprintf("%d bytes of images", n))
	}
	j.groups = append(j.groups, groups...)
	j.sources[split] = strings.Join(all, "; ")
	return nil
}

// tree says whether a source is many files.
func (j *job) tree(path string) bool {
	info, err := os.Stat(path)
	return path == j.o.List || err == nil && info.IsDir()
}

// describe identifies a source: if it changes, what was made from it is old.
func describe(path string, info os.FileInfo) string {
	if info.IsDir() {
		return filepath.Base(path) + "/"
	}
	return fmt.Sprintf("%s, %d bytes", filepath.Base(path), info.Size())
}

// compressed says whether a file begins as gzip does.
func compressed(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var head [2]byte
	if _, err := io.ReadFull(f, head[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return head == [2]byte{0x1f, 0x8b}, nil
}

// unchanged wants the archives to be what they were when they were opened.
func (j *job) unchanged() error {
	for i, f := range j.files {
		now, err := os.Stat(f.Name())
		if err != nil {
			return err
		}
		if was := j.whole[i]; !os.SameFile(was, now) || was.Size() != now.Size() || !was.ModTime().Equal(now.ModTime()) {
			return fmt.Errorf("%s: it was changed while it was read", f.Name())
		}
	}
	return nil
}
