package shard

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage/files"
)

// Remote is where a dataset lies that is in no directory here. Names are relative to
// it, with slashes; what is not there is fs.ErrNotExist. Its methods are called from
// many goroutines.
type Remote interface {
	// ReadFile reads a file of at most limit bytes.
	ReadFile(name string, limit int64) ([]byte, error)
	// Fetch gives the path of a local copy of the file that has this SHA-256, in hex.
	// Whoever opens the copy checks that.
	Fetch(name, sum string) (path string, err error)
	// Read fills b from a place in a file. sound says whether bytes are the right ones:
	// what is kept here of the file and is not sound is fetched again. Bytes that are
	// not sound are given all the same, and an end of the file before them is io.EOF.
	Read(name string, b []byte, at int64, sound func([]byte) bool) error
}

// OpenRemote opens a dataset that is elsewhere, which name says to people. Errors are
// those of Open.
func OpenRemote(name string, r Remote) (*Dataset, error) {
	b, err := r.ReadFile(ManifestName, regular.Document)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w (%w)", name, ErrNotDataset, err)
	}
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", name, ManifestName, err)
	}
	path, err := r.Fetch(ClassesName, m.ClassesSHA256)
	if err != nil {
		return nil, err
	}
	classes, err := readClasses(files.Local(filepath.Dir(path)), filepath.Base(path), m.ClassesSHA256)
	if err != nil {
		return nil, err
	}
	d := OpenWith(files.Local(name), m, classes)
	d.remote = r
	return d, nil
}

// Remote says whether the dataset is in no directory here: Dir is a name for people
// then.
func (d *Dataset) Remote() bool { return d.remote != nil }

// indexOf is what the manifest has of a split, and where its index is read.
func (d *Dataset) indexOf(split string) (info SplitInfo, dir files.Dir, name string, err error) {
	info, ok := d.Manifest.Splits[split]
	switch {
	case !ok:
		return info, nil, "", d.noSplit(split)
	case d.remote == nil:
		return info, d.dir, indexName(split), nil
	}
	path, err := d.remote.Fetch(indexName(split), info.IndexSHA256)
	return info, files.Local(filepath.Dir(path)), filepath.Base(path), err
}

// readRemote is Split.Read of a dataset that is elsewhere: buf has the image's size.
func (d *Dataset) readRemote(file string, buf []byte, at int64, sound func([]byte) bool) error {
	err := d.remote.Read(file, buf, at, sound)
	switch {
	case errors.Is(err, io.EOF):
		return corruptf("it goes past the end")
	case errors.Is(err, fs.ErrNotExist):
		return corruptf("the shard is missing")
	}
	return err
}
