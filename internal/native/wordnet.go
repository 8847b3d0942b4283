package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WordNet gives a directory that holds data.noun: flag (--wordnet), then
// SYNSHARD_WORDNET, WNSEARCHDIR and WNHOME/dict, then wordnet/ where libraries
// are looked for, then where packages put it. Errors are ErrMissing.
func (s Search) WordNet(flag string) (string, error) {
	type place struct{ name, dir string }
	asked := []place{{"--wordnet", flag}, {"SYNSHARD_WORDNET", s.Env("SYNSHARD_WORDNET")}, {"WNSEARCHDIR", s.Env("WNSEARCHDIR")}}
	if home := s.Env("WNHOME"); home != "" {
		asked = append(asked, place{"WNHOME", filepath.Join(home, "dict")})
	}
	for _, p := range asked {
		if p.dir == "" {
			continue
		}
		if !hasNouns(p.dir) {
			return "", missing{fmt.Errorf("wordnet: no data.noun in %s (from %s); %s", p.dir, p.name, MendWordNet)}
		}
		return p.dir, nil
	}
	for _, dir := range s.wordNetDirs() {
		if hasNouns(dir) {
			return dir, nil
		}
	}
	return "", missing{errors.New("wordnet: data.noun not found; " + MendWordNet)}
}

func hasNouns(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "data.noun"))
	return err == nil && info.Mode().IsRegular()
}

func (s Search) wordNetDirs() []string {
	var dirs []string
	for _, d := range s.dirs() {
		dirs = append(dirs, filepath.Join(d, "wordnet"))
	}
	return append(dirs, "/usr/share/wordnet", "/usr/share/wordnet/dict", "/usr/local/share/wordnet", "/usr/local/WordNet-3.0/dict")
}
