package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigOfAnother: where HOME is another user's there are no settings, and that is no error.
func TestConfigOfAnother(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs a user who is not root, who may look everywhere")
	}
	home := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(home, "synshard"), 0o777))
	check(t, os.WriteFile(filepath.Join(home, "synshard/config.yaml"), []byte("nonesuch: 1\n"), 0o666))
	t.Setenv("XDG_CONFIG_HOME", home)
	runVerb(t, exitUsage, "model", "list")
	check(t, os.Chmod(home, 0))
	defer os.Chmod(home, 0o777)
	runVerb(t, 0, "model", "list")
}

func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	t.Setenv(configVariable, path)
	for _, c := range []struct {
		text string
		env  string
		args []string
		code int
		say  string
	}{
		{"json: true", "", []string{"model", "list"}, 0, `"name": "alexnet"`},
		{"json: true", "", []string{"model", "list", "--json=false"}, 0, "name "},
		{"json: true", "false", []string{"model", "list"}, 0, "name "},
		{"model: {json: true}", "", []string{"model", "list"}, 0, `"name": "alexnet"`},
		{"json: true\nmodel: {list: {json: false}}", "", []string{"model", "list"}, 0, "name "},
		{"model: {describe: {class-count: 7}}", "", []string{"model", "describe", "alexnet", "--json"}, 0, `"classes": 7`},
		{"train: {device: none}", "", []string{"model", "list"}, 0, "name "}, // another verb's
		{"train:", "", []string{"model", "list"}, 0, "name "},
		{"synset: {wordnet: /absent}", "", []string{"synset", "show", "dog"}, 6, "/absent"},
		{"class-count: 9", "", []string{"model", "list"}, 2, "mine.yaml: class-count is not a flag of all verbs"},
		{"train: {class-count: 7}", "", []string{"model", "list"}, 2, "mine.yaml: train.class-count is not a flag"},
		{"model: {class-count: 7}", "", []string{"model", "list"}, 2, "mine.yaml: model.class-count is not a flag"},
		{"train: cpu", "", []string{"model", "list"}, 2, "mine.yaml: train is a verb"},
		{"trian: {device: cpu}", "", []string{"model", "list"}, 2, "trian is not a verb; did you mean train?"},
		{"model: {describe: {class-count: many}}", "", []string{"model", "describe", "alexnet"}, 2, `mine.yaml: class-count: "many": want a whole number`},
		{"model: {describe: {class-count: [7, 8]}}", "", []string{"model", "describe", "alexnet"}, 2, "mine.yaml: class-count takes one value, not a list"},
		{"model: {list: {help: true}}", "", []string{"model", "list"}, 2, "model.list.help is not a flag"},
		{"json: [", "", []string{"model", "list"}, 2, "mine.yaml: "},
		{strings.Repeat("[", 100000), "", []string{"model", "list"}, 2, "mine.yaml: 100000 words and marks"},
	} {
		check(t, os.WriteFile(path, []byte(c.text), 0o666))
		t.Setenv("SYNSHARD_JSON", c.env)
		code, stdout, stderr := verb(c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.say) || strings.Count(stderr, "\n") > 1 {
			t.Errorf("%q, %v: exit %d, %.200q, %q; want %d and %q", c.text, c.args, code, stdout, stderr, c.code, c.say)
		}
	}
	check(t, os.Remove(path))
	if code, _, stderr := verb("model", "list"); code != 2 || !strings.Contains(stderr, "no such file") {
		t.Errorf("a named file that is missing: exit %d, %q", code, stderr)
	}
	t.Setenv(configVariable, "")
	t.Setenv("XDG_CONFIG_HOME", filepath.Dir(path))
	if code, _, stderr := verb("model", "list"); code != 0 {
		t.Errorf("no file: exit %d, %q", code, stderr)
	}
}
