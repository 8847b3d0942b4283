package wordnet

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/synshard/synshard/internal/regular"
)

// Files are those of a directory that Open reads, the one first without which there is none.
var Files = []string{"data.noun", "index.noun", "noun.exc"}

// SumsName is a list of SHA-256 sums beside the files, as sha256sum prints it. Where it
// lies, the files that it names are held to it.
const SumsName = "SHA256SUMS"

// ErrDamaged says that a file is not what its sum says.
var ErrDamaged = errors.New("damaged")

// Open reads data.noun of a directory, and index.noun and noun.exc if they are
// there: without the former, the senses of a word come in ascending order
// rather than by how common they are; without the latter, irregular plurals are
// not known. A file that is not what SumsName says is ErrDamaged.
func Open(dir string) (*Graph, error) {
	g, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("open WordNet: %w", err)
	}
	return g, nil
}

func open(dir string) (*Graph, error) {
	sums, err := readSums(filepath.Join(dir, SumsName))
	if err != nil {
		return nil, err
	}
	var g *Graph
	for i, read := range []func(text, path string) error{
		func(text, path string) (err error) { g, err = parse(text, path); return err },
		func(text, path string) (err error) { g.index, err = g.parseIndex(text, path); return err },
		func(text, path string) (err error) { g.exceptions, err = parseExceptions(text, path); return err },
	} {
		path := filepath.Join(dir, Files[i])
		text, err := readText(path, sums[Files[i]])
		if i > 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := read(text, path); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// readSums gives the sums, in hexadecimal, by file; none where there is no list.
func readSums(path string) (map[string]string, error) {
	b, err := regular.ReadFile(path, regular.Document)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseSums(string(b), path)
}

func parseSums(text, path string) (map[string]string, error) {
	sums := map[string]string{}
	for line := range strings.Lines(text) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || len(sum) != 2*sha256.Size {
			return nil, fmt.Errorf("%s: %w: %q is no sum of a file", path, ErrDamaged, line)
		}
		sums[name] = sum
	}
	return sums, nil
}

// readText reads a file; sum is its SHA-256, or "".
func readText(path, sum string) (string, error) {
	b, err := regular.ReadFile(path, regular.Document)
	if errors.Is(err, fs.ErrNotExist) && sum != "" {
		return "", fmt.Errorf("%s: %w: %s names it, and it is not there", path, ErrDamaged, SumsName)
	}
	if err == nil && sum != "" && fmt.Sprintf("%x", sha256.Sum256(b)) != sum {
		return "", fmt.Errorf("%s: %w: its SHA-256 is not what %s says", path, ErrDamaged, SumsName)
	}
	return string(b), err
}
