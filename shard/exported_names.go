package shard

import (
	"errors"

	"github.com/synshard/synshard/storage/files"
)

// NamesName is the file, in ExportName beside the class list, in which an export
// keeps what it had to call otherwise than the dataset does: an ExportedName a line.
const NamesName = "names.ndjson"

// ExportedName is a directory of a class, or an image, that has another name in an
// export than in the dataset. Only such are there.
type ExportedName struct {
	Class string `json:"class,omitempty"` // the name of a class, as Row.Synset, whose directory is Name
	Path  string `json:"path,omitempty"`  // of an image, as Row.Path
	File  string `json:"file,omitempty"`  // of the image, below the export and in its tar, escaped as names in a dataset are
	Name  string `json:"name,omitempty"`  // of the directory, escaped likewise
}

// ExportedNames are the names that the dataset of an export has.
type ExportedNames struct {
	Classes map[string]string // by the name of the directory
	Paths   map[string]string // by File
}

// ReadExportNames reads the names that an export into a directory keeps; nothing
// where there are none, and of what is no directory. Damage is ErrCorrupt.
func ReadExportNames(dir files.Dir) (ExportedNames, error) {
	out := ExportedNames{map[string]string{}, map[string]string{}}
	err := keptLines(dir, NamesName, func(line ExportedName) error {
		switch {
		case line.Class != "" && line.Name != "":
			out.Classes[line.Name] = line.Class
		case line.File != "":
			out.Paths[line.File] = line.Path
		default:
			return errors.New("a name of nothing")
		}
		return nil
	})
	if err != nil {
		return ExportedNames{}, err
	}
	return out, nil
}
