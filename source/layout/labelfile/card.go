package labelfile

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/yamldoc"
)

// Card is what Hugging Face's dataset card, a README.md, says of the files of splits.
type Card struct{ files []pattern }

// pattern names files of a split.
type pattern struct{ split, path string }

// config is one configuration of a card.
type config struct {
	Name    string `yaml:"config_name"`
	Default bool   `yaml:"default"`
	Files   any    `yaml:"data_files"`
}

// ParseCard reads the configurations in a card's front matter. Of several the one
// called default, or marked so, holds; where there is none it fails. A card that says
// nothing of files is nil.
func ParseCard(b []byte) (*Card, error) {
	rest, ok := strings.CutPrefix(text(b), "---\n")
	if !ok {
		return nil, nil
	}
	front, _, ok := strings.Cut(rest, "\n---")
	if !ok {
		return nil, nil
	}
	var v struct {
		Configs []config `yaml:"configs"`
	}
	if err := yamldoc.Decode([]byte(section(front, "configs")), &v, false); err != nil {
		return nil, fmt.Errorf("its front matter: %w", err)
	}
	if len(v.Configs) == 0 {
		return nil, nil
	}
	use := 0
	if len(v.Configs) > 1 {
		use = slices.IndexFunc(v.Configs, func(c config) bool { return c.Default || c.Name == "default" })
	}
	if use < 0 {
		var names []string
		for _, c := range v.Configs {
			names = append(names, c.Name)
		}
		return nil, fmt.Errorf("it has the configurations %s and none is the default: give the files of one", strings.Join(names, ", "))
	}
	files := patterns(v.Configs[use].Files)
	if len(files) == 0 {
		return nil, nil
	}
	for _, f := range files {
		if strings.Count(f.path, "**") > 3 { // each more multiplies the ways to match
			return nil, fmt.Errorf("its pattern %q: more than three **", f.path)
		}
	}
	return &Card{files}, nil
}

// section is one key of a map's text with what stands below it: a card has all
// names of classes beside it, which are no concern here.
func section(text, key string) string {
	var out strings.Builder
	in := false
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" && !strings.ContainsAny(line[:1], " \t#-]}") {
			in = strings.HasPrefix(line, key+":")
		}
		if in {
			out.WriteString(line)
		}
	}
	if out.Len() == 0 && strings.Contains(text, key) { // written in another way
		return text
	}
	return out.String()
}

// patterns reads data_files: a pattern, a list of them, or a list of splits and their
// patterns. Without a split it is train, as there.
func patterns(v any) (out []pattern) {
	switch v := v.(type) {
	case string:
		return []pattern{{"train", v}}
	case []any:
		for _, item := range v {
			m, ok := item.(map[string]any)
			if !ok {
				out = append(out, patterns(item)...)
				continue
			}
			split, _ := m["split"].(string)
			for _, f := range patterns(m["path"]) {
				out = append(out, pattern{split, f.path})
			}
		}
	}
	return out
}

// SplitOf gives the split that the card puts a file into, by its path below the card's
// directory. listed is false where it names other files only, and ok where
// it names none at all.
func (c *Card) SplitOf(file string) (split string, listed, ok bool) {
	if c == nil {
		return "", false, false
	}
	for _, f := range c.files {
		if matches(f.path, file, map[[2]int]bool{}) {
			return f.split, true, true
		}
	}
	return "", false, true
}

// matches says whether a file's path fits a pattern, in which ** stands for any
// directories. In failed are the rests of both, by their lengths, that do not fit: with
// several ** each would be tried as often as there are ways to it.
func matches(pattern, name string, failed map[[2]int]bool) bool {
	if ok, err := path.Match(pattern, name); err == nil && ok {
		return true
	}
	head, tail, ok := strings.Cut(pattern, "**/")
	at := [2]int{len(pattern), len(name)}
	if !ok || failed[at] {
		return false
	}
	rest, ok := strings.CutPrefix(name, head)
	for ; ok; _, rest, ok = strings.Cut(rest, "/") {
		if matches(tail, rest, failed) {
			return true
		}
	}
	failed[at] = true
	return false
}
