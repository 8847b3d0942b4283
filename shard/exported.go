package shard

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage/files"
)

// ObjectsName is the file, in ExportName beside the class list, in which an
// export keeps the boxes of its images: an ExportedObjects a line.
const ObjectsName = "objects.ndjson"

// ExportedClassesName is the file beside a tree that is exported, or tars of one, which
// lists its classes in the order of their labels, those without images too, for others.
// It is Kaggle's, and read as such where there is none of ExportName.
const ExportedClassesName = "LOC_synset_mapping.txt"

// ExportedObjects are the boxes of one image of an export. Only images that have
// some are there.
type ExportedObjects struct {
	SHA256 string `json:"sha256"` // of the image, in hexadecimal digits
	Path   string `json:"path"`   // as Row.Path
	// Name is how whoever reads the export calls the image, where that is not Path.
	Name    string   `json:"name,omitempty"`
	Objects []Object `json:"objects"` // as Row.Objects
}

// KeptByExport says whether a file, by its name below an export's directory, is
// one that exports keep there beside what they hand on.
func KeptByExport(name string) bool {
	return name == LockName || name == ExportName+".json" || strings.HasPrefix(name, ExportName+"/")
}

// ImageKey is what boxes of an export are found by.
type ImageKey struct {
	SHA256 [32]byte // of the image's bytes
	Path   string   // as Row.Path
}

// ReadExportObjects reads the boxes that an export into a directory keeps; nil
// where there are none, and of what is no directory. Damage is ErrCorrupt.
func ReadExportObjects(dir files.Dir) (map[ImageKey][]Object, error) {
	var out map[ImageKey][]Object
	err := keptLines(dir, ObjectsName, func(line ExportedObjects) error {
		sum, err := hex.DecodeString(line.SHA256)
		if err != nil {
			return err
		}
		if len(sum) != 32 {
			return errors.New("a sum that is not a SHA-256")
		}
		if out == nil {
			out = map[ImageKey][]Object{}
		}
		for _, path := range []string{line.Path, line.Name} {
			if path != "" {
				out[ImageKey{[32]byte(sum), path}] = line.Objects
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// keptLines reads a file of JSON lines that an export into a directory keeps in
// ExportName. Where there is none, as in what is no directory, there are no lines.
// What is not what the export's mark says, cannot be read as T, or is refused by
// each, is ErrCorrupt.
func keptLines[T any](dir files.Dir, name string, each func(T) error) error {
	text, err := readKept(dir, name)
	if text == nil || err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var line T
		err := d.Decode(&line)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = each(line)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrCorrupt, dir.Path(ExportName+"/"+name), err)
		}
	}
}

// readKept reads a file that an export into a directory keeps in ExportName, and
// holds it to the export's mark; nil where there is none, as in what is no directory.
func readKept(dir files.Dir, name string) ([]byte, error) {
	if info, err := files.Look(dir, "."); err != nil || info == nil || !info.IsDir() {
		return nil, err
	}
	whole, err := exportedFiles(dir)
	if err != nil {
		return nil, err
	}
	path := dir.Path(ExportName + "/" + name)
	want, listed := whole[ExportName+"/"+name]
	text, err := files.Read(dir, ExportName+"/"+name, regular.Table)
	switch {
	case errors.Is(err, fs.ErrNotExist) && listed:
		return nil, fmt.Errorf("%s: %w", path, corruptf("it is missing"))
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case listed && want != (ExportedFile{int64(len(text)), crc32.Checksum(text, castagnoli)}):
		return nil, fmt.Errorf("%s: %w", path, corruptf("it does not have the crc32c that the mark of the export has for it"))
	}
	return text, nil
}
