package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// commandsIn finds the calls of synshard in a script, a manifest or a page: the
// words of each up to what ends it in a shell.
func commandsIn(text string) [][]string {
	text = regexp.MustCompile(`args: \[(train|infer|ingest|merge|eval)\b([^\]]*)\]`).ReplaceAllStringFunc(text, func(s string) string {
		return "\nsynshard " + strings.NewReplacer("args: [", "", "]", " ;", ",", "").Replace(s)
	})
	text = strings.ReplaceAll(text, "\\\n", " ")
	text = regexp.MustCompile(`\n\s+--`).ReplaceAllString(text, " --") // a folded line of YAML
	var out [][]string
	for line := range strings.Lines(text) {
		for _, call := range regexp.MustCompile(`(?:^|\s|")synshard (\S.*)`).FindAllStringSubmatch(line, -1) {
			for _, one := range strings.Split(call[1], " synshard ") {
				one, _, _ = strings.Cut(one, "#")
				one = regexp.MustCompile(`[;&|>"\x60]|\$\(`).Split(one, 2)[0]
				out = append(out, strings.Fields(one))
			}
		}
	}
	return out
}

// TestExamples: every call of synshard in examples/ and in docs/CLUSTERS.md has a
// verb and flags that there are, and the scripts are a shell's.
func TestExamples(t *testing.T) {
	root := filepath.Join("..", "..")
	files := []string{filepath.Join(root, "docs", "CLUSTERS.md")}
	err := filepath.WalkDir(filepath.Join(root, "examples"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(path) {
		case ".sh":
			if b, err := exec.Command("sh", "-n", path).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", path, err, b)
			}
			files = append(files, path)
		case ".yaml", "":
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(file) == ".md" { // prose says synshard too
			text = []byte(strings.Join(regexp.MustCompile(`(?m)^    \S.*$`).FindAllString(string(text), -1), "\n"))
		}
		for _, words := range commandsIn(string(text)) {
			verb := checkCall(t, file, words)
			found[verb]++
		}
	}
	for _, verb := range []string{"ingest", "train", "infer", "merge", "eval"} {
		if found[verb] == 0 {
			t.Errorf("no example of %s was found: this proves less than it should", verb)
		}
	}
}

// TestReadersPage: docs/READERS.md shows the programs of examples/readers as they are.
func TestReadersPage(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "READERS.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "examples", "readers", "*"))
	if err != nil || len(files) < 7 {
		t.Fatalf("%d readers, %v", len(files), err)
	}
	for _, file := range files {
		if filepath.Ext(file) == ".json" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "\n"+string(text)+"```\n") {
			t.Errorf("docs/READERS.md does not show %s as it is", file)
		}
	}
}

// checkCall wants a call's verb and flags to be there, and gives the verb.
func checkCall(t *testing.T, file string, words []string) string {
	t.Helper()
	root := newRoot(&app{})
	cmd, rest, err := root.Find(words)
	if err != nil || cmd == root {
		t.Errorf("%s: synshard %s: no such verb (%v)", file, strings.Join(words, " "), err)
		return ""
	}
	for _, word := range rest {
		name, isFlag := strings.CutPrefix(word, "--")
		if name, _, _ = strings.Cut(name, "="); isFlag && name != "" && !hasFlag(cmd, name) {
			t.Errorf("%s: synshard %s has no flag --%s", file, cmd.Name(), name)
		}
	}
	return cmd.Name()
}

// TestCommandsIn: what a call is, in the forms in which examples have it.
func TestCommandsIn(t *testing.T) {
	text := "exec srun synshard ingest a \\\n\t--out b && synshard eval c; x\nargs: [train, d, --out, e]\n  synshard merge f\n    --out g & pid=1\n"
	var got []string
	for _, words := range commandsIn(text) {
		got = append(got, strings.Join(words, " "))
	}
	if s := strings.Join(got, "|"); s != "ingest a --out b|eval c|train d --out e|merge f --out g" {
		t.Errorf("%q", s)
	}
}
