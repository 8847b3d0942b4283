package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/storage/files"
)

// ExportMarkName is the file in which an export notes what it is of, and which of its
// files are whole: a JSON object with "files", and with its own SHA-256 as the manifest
// of a dataset has it.
const ExportMarkName = ExportName + ".json"

// ExportedFile is a file of an export that is whole.
type ExportedFile struct {
	Size   int64  `json:"size"`   // bytes
	CRC32C uint32 `json:"crc32c"` // Castagnoli
}

// UnmarshalJSON takes the size alone, as an earlier version wrote it, for nothing
// that is known of the bytes.
func (f *ExportedFile) UnmarshalJSON(b []byte) error {
	type plain ExportedFile
	if len(b) > 0 && b[0] != '{' {
		*f = ExportedFile{Size: -1}
		return nil
	}
	return json.Unmarshal(b, (*plain)(f))
}

// WriteExportMark writes the mark of an export, an object with members, with its sum.
func WriteExportMark(dir files.Dir, mark any) error {
	text, err := json.MarshalIndent(mark, "", " ")
	if err != nil {
		return fmt.Errorf("write %s: %w", ExportMarkName, err)
	}
	text = fmt.Appendf(bytes.TrimSuffix(text, []byte("\n}")), ",\n \"sha256\": \"%s\"\n}\n", noSum)
	copy(ownSum(text, noSum), fmt.Sprintf("%x", sha256.Sum256(text)))
	return files.WriteBytes(dir, ExportMarkName, text)
}

// ReadExportMark reads the mark of an export into mark. One that is not what was
// written is ErrCorrupt; those of earlier versions have no sum.
func ReadExportMark(dir files.Dir, mark any) error {
	path := dir.Path(ExportMarkName)
	text, err := files.Read(dir, ExportMarkName, regular.Document)
	if err != nil {
		return ownFile(err)
	}
	var own struct {
		SHA256 string `json:"sha256"`
	}
	if err := errors.Join(json.Unmarshal(text, &own), json.Unmarshal(text, mark)); err != nil {
		return fmt.Errorf("%s: %w", path, corruptf("%w", err))
	}
	if own.SHA256 == "" {
		return nil
	}
	if err := checkSum(text, own.SHA256); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// ExportMarkLost says that a directory has what an export keeps, and no mark of one.
func ExportMarkLost(dir files.Dir) error {
	_, err := dir.Lstat(ExportMarkName)
	info, kept := dir.Lstat(ExportName)
	if !errors.Is(err, fs.ErrNotExist) || kept != nil || !info.IsDir() {
		return nil
	}
	return fmt.Errorf("%s: %w", dir.Path(ExportMarkName), corruptf("it is gone, and %s is there", ExportName))
}

// exportedFiles gives the whole files of an export by their names; nothing where the
// directory is none, or its mark is one of before that knows sizes alone.
func exportedFiles(dir files.Dir) (map[string]ExportedFile, error) {
	var mark struct {
		Files map[string]ExportedFile `json:"files"`
	}
	err := ReadExportMark(dir, &mark)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ExportMarkLost(dir)
	}
	return mark.Files, err
}
