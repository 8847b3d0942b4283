package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write what is compared anew: the texts of testdata/help, the tables of docs/JSON.md")

// golden compares a file with a text, or writes it.
func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		check(t, os.MkdirAll(filepath.Dir(path), 0o777))
		check(t, os.WriteFile(path, []byte(text), 0o666))
		return
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-there +now; go test ./cmd/synshard -run %s -update writes it):\n%s", path, t.Name(), diff)
	}
}

// TestHelp compares the help of every verb, and of the root, with what it was.
func TestHelp(t *testing.T) {
	const dir = "testdata/help"
	there, err := filepath.Glob(dir + "/*.txt")
	check(t, err)
	stale := map[string]bool{}
	for _, path := range there {
		stale[path] = true
	}
	compare := func(path string, args ...string) {
		t.Helper()
		code, stdout, stderr := verb(append(args, "--help")...)
		if code != 0 || stderr != "" {
			t.Fatalf("%q: exit %d, %s", args, code, stderr)
		}
		delete(stale, path)
		golden(t, path, stdout)
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		name := verbOf(cmd)
		if cmd.Hidden || name == "help" || name == "completion" { // cobra's words
			return
		}
		compare(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".txt"), strings.Fields(name)...)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&app{}))
	for path := range stale {
		if !*update {
			t.Errorf("%s is of no verb", path)
			continue
		}
		check(t, os.Remove(path))
	}
}

// schema is what the tables of docs/JSON.md tell of a JSON Schema.
type schema struct {
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Ref         string          `json:"$ref"`
	Type        any             `json:"type"`
	Properties  ordered         `json:"properties"`
	Required    []string        `json:"required"`
	Items       *schema         `json:"items"`
	Others      json.RawMessage `json:"additionalProperties"`
	Defs        ordered         `json:"$defs"`
	OneOf       []*schema       `json:"oneOf"`
	Enum        []any           `json:"enum"`
	Const       string          `json:"const"`
}

// ordered are properties in the order in which a file has them.
type ordered []named

type named struct {
	name string
	*schema
}

func (o *ordered) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		one := named{name: name.(string)}
		if err := d.Decode(&one.schema); err != nil {
			return err
		}
		*o = append(*o, one)
	}
	return nil
}

func readSchema(t *testing.T, name string) *schema {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(schemaDir, name+".schema.json"))
	check(t, err)
	var s schema
	check(t, json.Unmarshal(b, &s))
	return &s
}

// kind says in a word or two what a value is.
func (s *schema) kind() string {
	switch {
	case s.Ref != "":
		return refName(s.Ref)
	case s.Items != nil && s.Items.Properties == nil:
		return "list of " + s.Items.kind()
	case s.Items != nil:
		return "list"
	case s.Const != "":
		return "`" + s.Const + "`"
	case s.Type == "object" && s.Properties == nil:
		var of schema
		if json.Unmarshal(s.Others, &of) == nil {
			return "object of " + of.kind()
		}
	}
	if list, ok := s.Type.([]any); ok {
		return fmt.Sprintf("%v or null", list[0])
	}
	if len(s.Enum) > 0 && s.Type == nil {
		return "string"
	}
	return fmt.Sprint(s.Type)
}

func refName(ref string) string { return ref[strings.LastIndexAny(ref, "/")+1:] }

// rows writes a row for each property, and for those within it.
func (s *schema) rows(b *strings.Builder, prefix string) {
	required := map[string]bool{}
	for _, name := range s.Required {
		required[name] = true
	}
	for _, p := range s.Properties {
		text := p.Description
		if len(p.Enum) > 0 {
			var words []string
			for _, e := range p.Enum {
				words = append(words, fmt.Sprintf("`%v`", e))
			}
			text = strings.TrimPrefix(text+": "+strings.Join(words, ", "), ": ")
		}
		kind := p.kind()
		if !required[p.name] {
			kind += ", may be absent"
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", prefix, p.name, kind, text)
		inner, mark := p.schema, "."
		for inner.Items != nil {
			inner, mark = inner.Items, "[]"+mark
		}
		inner.rows(b, prefix+p.name+mark)
	}
}

func (s *schema) table(b *strings.Builder) {
	if len(s.Properties) > 0 {
		b.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
		s.rows(b, "")
	}
	if s.Ref != "" {
		fmt.Fprintf(b, "\nA %s.\n", refName(s.Ref))
	}
	for _, one := range s.OneOf {
		if one.Ref != "" {
			fmt.Fprintf(b, "\nOr an error, as above.\n")
			continue
		}
		fmt.Fprintf(b, "\n%s\n", one.Description)
		one.table(b)
	}
	for _, d := range s.Defs {
		fmt.Fprintf(b, "\n**%s**: %s\n", d.name, d.Description)
		d.table(b)
	}
}

// TestJSONPage holds the tables of docs/JSON.md to the schemas.
func TestJSONPage(t *testing.T) {
	const page, begin = "../../docs/JSON.md", "<!-- from here on as docs/json has it: go test ./cmd/synshard -run TestJSONPage -update -->\n"
	text, err := os.ReadFile(page)
	check(t, err)
	head, _, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s has no line %s", page, begin)
	}
	files, err := filepath.Glob(schemaDir + "/*.schema.json")
	check(t, err)
	ahead := []string{"error", "progress", "common"}
	names := ahead
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".schema.json"); !strings.Contains(" error progress common ", " "+name+" ") {
			names = append(names, name)
		}
	}
	var b strings.Builder
	for _, name := range names {
		s := readSchema(t, name)
		title := s.Title
		if name != "error" && name != "common" {
			title = "`" + title + "`"
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s Schema: [json/%s.schema.json](json/%s.schema.json).\n", title, s.Description, name, name)
		s.table(&b)
	}
	golden(t, page, head+begin+b.String())
}
