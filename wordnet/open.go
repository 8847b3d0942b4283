package wordnet

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/synshard/synshard/internal/regular"
)

// Files are those of a directory that Open reads, the one first without which there is none.
var Files = []string{"data.noun", "index.noun", "noun.exc"}

// Open reads data.noun of a directory, and index.noun and noun.exc if they are
// there: without the former, the senses of a word come in ascending order
// rather than by how common they are; without the latter, irregular plurals are
// not known.
func Open(dir string) (*Graph, error) {
	path := filepath.Join(dir, Files[0])
	text, err := readText(path)
	if err != nil {
		return nil, fmt.Errorf("open WordNet: %w", err)
	}
	g, err := parse(text, path)
	if err != nil {
		return nil, fmt.Errorf("open WordNet: %w", err)
	}
	path = filepath.Join(dir, Files[1])
	text, err = readText(path)
	if err == nil {
		g.index, err = g.parseIndex(text, path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open WordNet: %w", err)
	}
	path = filepath.Join(dir, Files[2])
	text, err = readText(path)
	if err == nil {
		g.exceptions, err = parseExceptions(text, path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open WordNet: %w", err)
	}
	return g, nil
}

func readText(path string) (string, error) {
	b, err := regular.ReadFile(path, regular.Document)
	return string(b), err
}
