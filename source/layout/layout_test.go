package layout

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/classlist"
)

var update = flag.Bool("update", false, "write the golden plans anew")

// A fixture is a txtar archive. Its comment holds options, a line each: layout,
// split, fraction, seed, classes (names with blanks between them, or imagenet-1k) and
// truth (name=synset). Its files are
//
//	input KIND PATH [given=PATH] [split=NAME] [sequential] [names=a|b] [unread=a|b] [lines=FIRST]
//	    the names of the entries, a line each: braces expand, " <archive>" marks a
//	    tar that was not listed, " <3>" and " <tench>" are labels
//	read NAME
//	    what is in that file
//	want
//	    the plan, or the error
type fixture struct {
	inputs  []Input
	options Options
	want    string
}

func loadFixture(t testing.TB, a *txtar.Archive) *fixture {
	t.Helper()
	f := &fixture{}
	content := map[string][]byte{}
	for _, file := range a.Files {
		words := strings.Fields(file.Name)
		switch words[0] {
		case "input":
			f.inputs = append(f.inputs, loadInput(t, len(f.inputs), words[1:], string(file.Data)))
		case "read":
			content[words[1]] = file.Data
		case "want":
			f.want = string(file.Data)
		default:
			t.Fatalf("section %q", file.Name)
		}
	}
	f.options.Read = func(e source.Entry) ([]byte, error) {
		b, ok := content[e.Name]
		if !ok {
			return nil, fmt.Errorf("%s: not to be read", e.Name)
		}
		return b, nil
	}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "", "#":
		case "layout":
			f.options.Layout = value
		case "split":
			f.options.Split = value
		case "fraction":
			f.options.ValFraction, _ = strconv.ParseFloat(value, 64)
		case "seed":
			f.options.Seed, _ = strconv.ParseUint(value, 10, 64)
		case "classes":
			l, ok := classlist.Builtin(value)
			if !ok {
				var err error
				if l, err = classlist.New(strings.Fields(value), nil, "list.txt"); err != nil {
					t.Fatal(err)
				}
			}
			f.options.Classes = l
		case "truth":
			truth := map[string]string{}
			for _, pair := range strings.Fields(value) {
				name, synset, _ := strings.Cut(pair, "=")
				truth[name] = synset
			}
			f.options.Truth = func(name string) (string, error) {
				if s, ok := truth[name]; ok {
					return s, nil
				}
				return "", fmt.Errorf("%s: not in the ground truth", name)
			}
		default:
			t.Fatalf("option %q", line)
		}
	}
	return f
}

func loadInput(t testing.TB, number int, words []string, listing string) Input {
	t.Helper()
	in := Input{Info: source.Info{Kind: source.Kind(words[0]), Path: words[1]}}
	in.Info.Given = in.Info.Path
	firstLine := 0
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "given":
			in.Info.Given, in.Info.Within = value, strings.TrimPrefix(in.Info.Path, value+"/")
		case "split":
			in.Split = value
		case "sequential":
			in.Info.Sequential = true
		case "lines":
			firstLine, _ = strconv.Atoi(value)
		case "names":
			in.Info.ClassNames = strings.Split(strings.ReplaceAll(value, "_", " "), "|")
		case "unread":
			in.Info.Unread = strings.Split(value, "|")
		default:
			t.Fatalf("input: %q", w)
		}
	}
	for line := range strings.Lines(listing) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		line, mark, _ := strings.Cut(strings.TrimSuffix(line, ">"), " <")
		for _, name := range braces(line) {
			e := source.Entry{Name: name, Container: int32(number), Size: 1, Archive: mark == "archive"}
			if mark != "archive" {
				e.Label = source.ParseLabel(mark)
			}
			in.Entries = append(in.Entries, e)
			if firstLine > 0 {
				in.Info.Lines = append(in.Info.Lines, int32(firstLine+len(in.Info.Lines)))
			}
		}
	}
	if !rowKind(in.Info.Kind) {
		slices.SortFunc(in.Entries, func(a, b source.Entry) int { return strings.Compare(a.Name, b.Name) })
	}
	return in
}

// braces expands a{b,c}d and a{1..3}d.
func braces(s string) []string {
	from := strings.IndexByte(s, '{')
	if from < 0 {
		return []string{s}
	}
	to := from + strings.IndexByte(s[from:], '}')
	items := strings.Split(s[from+1:to], ",")
	if low, high, ok := strings.Cut(s[from+1:to], ".."); ok {
		items = nil
		a, _ := strconv.Atoi(low)
		b, _ := strconv.Atoi(high)
		for ; a <= b; a++ {
			items = append(items, strconv.Itoa(a))
		}
	}
	var out []string
	for _, item := range items {
		for _, rest := range braces(s[to+1:]) {
			out = append(out, s[:from]+item+rest)
		}
	}
	return out
}

// goldenPlan is a plan as it is kept: an image a line with its class.
type goldenPlan struct {
	Layout  string              `json:"layout"`
	Classes any                 `json:"classes"`
	Splits  map[string][]string `json:"splits"`
	Skipped []Skipped           `json:"skipped,omitempty"`
	Notes   []string            `json:"notes,omitempty"`
}

// show is a plan, or an error, as it is kept.
func show(p *Plan, err error) string {
	if err != nil {
		var a *Ambiguity
		var no *NoEffect
		kind := "error"
		if errors.As(err, &a) {
			kind = "ambiguity"
		} else if errors.As(err, &no) {
			kind = "usage"
		}
		return kind + ": " + strings.ReplaceAll(strings.ReplaceAll(err.Error(), "; either", "\n  either"), ", or ", "\n  or ") + "\n"
	}
	g := goldenPlan{Layout: p.Layout, Classes: p.Classes, Splits: map[string][]string{}, Skipped: p.Skipped, Notes: p.Notes}
	if len(p.Classes) == 1000 {
		g.Classes = "imagenet-1k"
	}
	for _, s := range p.Splits {
		for _, im := range s.Images {
			name := "-"
			if im.Class >= 0 {
				name = fmt.Sprint(im.Class, " ", p.Classes[im.Class])
			}
			path := ""
			if im.Path != im.Name && im.Path != "" {
				path = " as " + im.Path
			}
			g.Splits[s.Name] = append(g.Splits[s.Name], fmt.Sprintf("%d:%s%s = %s", im.Container, im.Name, path, name))
		}
	}
	b, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err.Error()
	}
	s := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b))
	return s + "\n"
}

// TestGolden holds every layout that people have to its plan.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f := loadFixture(t, a)
			got := show(Make(f.inputs, f.options))
			if *update {
				a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
				a.Files = append(a.Files, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(a), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(f.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestClassWithinItself holds that a directory of a class in one of the same name, as
// an archive a class has it, is no ambiguity: both readings are the same.
func TestClassWithinItself(t *testing.T) {
	var in []Input
	in = append(in, Input{Info: source.Info{Kind: source.Folder, Path: "/d"}})
	for i, c := range []string{"cat", "dog"} {
		in = append(in, Input{
			Info:    source.Info{Kind: source.Zip, Path: "/d/" + c + ".zip", Given: "/d", Within: c + ".zip"},
			Entries: []source.Entry{{Name: c + "/1.jpg", Container: int32(i + 1)}, {Name: c + "/2.jpg", Container: int32(i + 1)}},
		})
	}
	p, err := Make(in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, im := range p.Splits[0].Images {
		got = append(got, p.Classes[im.Class])
	}
	if d := cmp.Diff([]string{"cat", "cat", "dog", "dog"}, got); d != "" {
		t.Error(d)
	}
}

// TestSkipped: what is left out is told in one way.
func TestSkipped(t *testing.T) {
	var got []string
	for _, s := range []Skipped{{Count: 2, Names: []string{"a", "b"}}, {Count: 3, Images: true, Names: []string{"a", "b"}}} {
		got = append(got, s.What()+": "+s.Examples())
	}
	if diff := cmp.Diff([]string{"files: a, b", "images: a, b, ..."}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
