package wordnet

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// small is a graph with two roots, a diamond and an instance:
//
//	1 -> 2, 3 -> 4 -> 5 (instance); 6 alone
const small = `  1 WordNet 3.0 Copyright 2006 by nobody.
00000001 03 n 01 top 0 002 ~ 00000002 n 0000 ~ 00000003 n 0000 | the top
00000002 03 n 01 left 0 002 @ 00000001 n 0000 ~ 00000004 n 0000 | left  
00000003 03 n 02 right 0 Right_Hand a 003 @ 00000001 n 0000 ~ 00000004 n 0000 + 00000009 v 0101 | right; "on the right"
00000004 03 n 01 both 0 003 @ 00000003 n 0000 @ 00000002 n 0000 ~i 00000005 n 0000 | both
00000005 03 n 01 Some_One 0 001 @i 00000004 n 0000 | one
00000006 03 n 01 lone 0 000 | alone
`

func parseSmall(t *testing.T, text string) *Graph {
	t.Helper()
	g, err := parse(text, "data.noun")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// summary writes a graph out so that two can be compared.
func summary(g *Graph) string {
	var b strings.Builder
	for _, id := range g.IDs() {
		s, _ := g.Synset(id)
		fmt.Fprintf(&b, "%+v %d %d %d\n", *s, g.MinDepth(id), g.MaxDepth(id), g.Height(id))
	}
	return b.String()
}

func TestParseSmall(t *testing.T) {
	want := `{ID:n00000001 Lemmas:[top] Gloss:the top Hypernyms:[] InstanceHypernyms:[] Hyponyms:[n00000002 n00000003] InstanceHyponyms:[]} 0 0 3
{ID:n00000002 Lemmas:[left] Gloss:left Hypernyms:[n00000001] InstanceHypernyms:[] Hyponyms:[n00000004] InstanceHyponyms:[]} 1 1 2
{ID:n00000003 Lemmas:[right Right Hand] Gloss:right; "on the right" Hypernyms:[n00000001] InstanceHypernyms:[] Hyponyms:[n00000004] InstanceHyponyms:[]} 1 1 2
{ID:n00000004 Lemmas:[both] Gloss:both Hypernyms:[n00000003 n00000002] InstanceHypernyms:[] Hyponyms:[] InstanceHyponyms:[n00000005]} 2 2 1
{ID:n00000005 Lemmas:[Some One] Gloss:one Hypernyms:[] InstanceHypernyms:[n00000004] Hyponyms:[] InstanceHyponyms:[]} 3 3 0
{ID:n00000006 Lemmas:[lone] Gloss:alone Hypernyms:[] InstanceHypernyms:[] Hyponyms:[] InstanceHyponyms:[]} 0 0 0
`
	if got := summary(parseSmall(t, small)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(small, "\n"), "\n")
	slices.Reverse(lines[1:])
	shuffled := lines[0] + strings.Replace(strings.Join(lines[1:], ""), "| alone", "| alone\n", 1)
	for name, text := range map[string]string{
		"no newline at the end": strings.TrimSuffix(small, "\n"),
		"Windows lines":         strings.ReplaceAll(small, "\n", "\r\n"),
		"another order":         shuffled,
	} {
		if got := summary(parseSmall(t, text)); got != want {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

func TestWalkSmall(t *testing.T) {
	g := parseSmall(t, small)
	check := func(what string, got any, want string) {
		t.Helper()
		if s := fmt.Sprint(got); s != want {
			t.Errorf("%s: %s, want %s", what, s, want)
		}
	}
	check("version", g.Version(), "3.0")
	check("descendants", g.Descendants(1), "[n00000001 n00000002 n00000003 n00000004 n00000005]")
	check("ancestors", g.Ancestors(5), "[n00000001 n00000002 n00000003 n00000004]")
	check("children", g.Children(4), "[n00000005]")
	check("path", g.HypernymPath(5), "[n00000001 n00000002 n00000004 n00000005]")
	check("paths", g.HypernymPaths(5), "[[n00000001 n00000002 n00000004 n00000005] [n00000001 n00000003 n00000004 n00000005]]")
	check("LCA of siblings", g.LCA(2, 3), "[n00000001]")
	check("LCA across roots", g.LCA(2, 6), "[]")
	check("distance across roots", g.Distance(2, 6), "-1")
	check("similarity across roots", g.PathSimilarity(2, 6)+g.WuPalmer(2, 6), "0")
	check("Wu-Palmer of siblings", g.WuPalmer(2, 3), "0.5") // 2·1 / (1 + 1 + 2·1)
	check("Wu-Palmer with the parent", g.WuPalmer(5, 4), fmt.Sprint(6.0/7))
	check("lookup", g.Lookup("right hands"), "[n00000003]")
	check("lookup of a name", g.Lookup("some one"), "[n00000005]")
	way, top := g.Path(5, 1)
	check("way up", way, "[n00000005 n00000004 n00000002 n00000001]")
	check("its top", top, "3")
	way, top = g.Path(2, 6)
	check("no way", fmt.Sprint(way, top), "[] -1")
}

// TestTreeSmall: what two ways lead to has its children once, and levels end a tree.
func TestTreeSmall(t *testing.T) {
	g := parseSmall(t, small)
	five := &Tree{ID: 5, Words: []string{"Some One"}}
	four := &Tree{ID: 4, Words: []string{"both"}, Below: 1, Children: []*Tree{five}}
	again := &Tree{ID: 4, Words: []string{"both"}, Below: 1, Repeated: true}
	closed := &Tree{ID: 4, Words: []string{"both"}, Below: 1}
	top := func(left, right *Tree) *Tree {
		return &Tree{ID: 1, Words: []string{"top"}, Below: 4, Children: []*Tree{
			{ID: 2, Words: []string{"left"}, Below: 2, Children: []*Tree{left}},
			{ID: 3, Words: []string{"right", "Right Hand"}, Below: 2, Children: []*Tree{right}},
		}}
	}
	for levels, want := range map[int]*Tree{0: top(four, again), 3: top(four, again), 2: top(closed, closed)} {
		if diff := cmp.Diff(want, g.Tree(1, levels)); diff != "" {
			t.Errorf("%d levels (-want +got):\n%s", levels, diff)
		}
	}
	if diff := cmp.Diff([]ID{3}, g.Search("right")); diff != "" {
		t.Errorf("search (-want +got):\n%s", diff)
	}
}

func TestFirstWord(t *testing.T) {
	g := parseSmall(t, small)
	got := []string{g.FirstWord("n00000003"), g.FirstWord("n00000009"), g.FirstWord("right"), (*Graph)(nil).FirstWord("n00000003")}
	if diff := cmp.Diff([]string{"right", "", "", ""}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		line           int
		want           string
	}{
		{"offset", "00000002 03", "0000002 03", 3, `synset offset "0000002"`},
		{"offset not a number", "00000002 03", "0000000x 03", 3, `synset offset "0000000x"`},
		{"file number", "00000002 03", "00000002 3", 3, `file number "3"`},
		{"a verb", "00000002 03 n", "00000002 03 v", 3, `type "v"`},
		{"word count", "n 01 left", "n 0g left", 3, `word count "0g"`},
		{"no words", "n 01 left", "n 00 left", 3, `word count "00"`},
		{"words missing", "n 01 left 0", "n ff left 0", 3, "sense number"},
		{"sense number", "left 0", "left 00", 3, `sense number "00"`},
		{"pointer count", "left 0 002", "left 0 2", 3, `pointer count "2"`},
		{"pointers missing", "left 0 002", "left 0 003", 3, "pointer 3 of 3"},
		{"pointers left over", "left 0 002", "left 0 001", 3, "gloss should start"},
		{"pointer offset", "@ 00000001 n 0000 ~ 00000004 n 0000 | left", "@ 000001 n 0000 ~ 00000004 n 0000 | left", 3, "pointer 1 of 2"},
		{"pointer part of speech", "00000009 v 0101", "00000009 x 0101", 4, "pointer 3 of 3"},
		{"pointer ends", "00000009 v 0101", "00000009 v 01", 4, "pointer 3 of 3"},
		{"no gloss", " | alone", "", 7, "gloss should start"},
		{"cut short", "both 0 003 @ 00000003 n", "both 0 003 @ 000\n", 5, "pointer 1 of 3"},
		{"twice", "00000006 03", "00000005 03", 7, "defined before, on line 6"},
		{"unknown hypernym", "@i 00000004", "@i 00000044", 6, "hypernym 00000044 is not in the file"},
		{"unknown hyponym", "~ 00000002", "~ 00000022", 2, "hyponym 00000022 is not in the file"},
		{"hypernym twice", "@ 00000003 n 0000 @ 00000002", "@ 00000003 n 0000 @ 00000003", 5, "given twice"},
		{"one-sided", "~i 00000005", "~ 00000005", 5, "does not point back"},
		{"cycle", "top 0 002 ~ 00000002 n 0000", "top 0 002 @ 00000004 n 0000", 0, "above itself"},
		{"another version", "WordNet 3.0 Copyright", "WordNet 3.1 Copyright", 1, "WordNet 3.1"},
		{"its own parent", "lone 0 000", "lone 0 001 @ 00000006 n 0000", 7, "above itself"},
	} {
		text := strings.Replace(small, c.from, c.to, 1)
		if text == small {
			t.Fatalf("%s: %q is not in the text", c.name, c.from)
		}
		_, err := parse(text, "data.noun")
		var pe *ParseError
		if !errors.As(err, &pe) {
			t.Errorf("%s: error %v", c.name, err)
			continue
		}
		if c.line > 0 && pe.Line != c.line || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), fmt.Sprintf("data.noun:%d: ", pe.Line)) {
			t.Errorf("%s: error %q, want line %d and %q", c.name, err, c.line, c.want)
		}
	}
	for _, text := range []string{"", "\n\n", "  1 licence\n", "  "} {
		if _, err := parse(text, "data.noun"); err == nil || !strings.Contains(err.Error(), "no synset") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := parse(strings.Replace(small, "3.0", "2.1", 1), "data.noun"); !errors.Is(err, ErrVersion) {
		t.Errorf("version: %v", err)
	}
}

func writeDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpen(t *testing.T) {
	dir := writeDir(t, map[string]string{
		"data.noun":  small,
		"index.noun": "  1 licence\nright n 2 3 @ ~ + 2 1 00000003 00000002  \nboth n 1 0 1 0 00000004\n",
		"noun.exc":   "botha both\n",
	})
	g, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(g.Lookup("Right"), g.Lookup("botha"), g.Lookup("left")); got != "[n00000003 n00000002] [n00000004] []" {
		t.Errorf("lookups: %s", got)
	}
	g, err = Open(writeDir(t, map[string]string{"data.noun": small}))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(g.Lookup("lefts")); got != "[n00000002]" {
		t.Errorf("without an index: %s", got)
	}
	dir = t.TempDir()
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "data.noun")) {
		t.Errorf("empty directory: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"data.noun", "x\n", `data.noun:1: synset offset "x"`},
		{"index.noun", "  l\nleft v 1 0 1 0 00000002\n", `index.noun:2: word "left": type "v"`},
		{"index.noun", "left n 1 0 1 0 00000022\n", "index.noun:1: word \"left\": synset 00000022 is not in data.noun"},
		{"index.noun", "left n 2 0 1 0 00000002\n", "want 2 offsets"},
		{"index.noun", "left n 1 0 1 0 00000002 00000003\n", "want 1 offsets"},
		{"index.noun", "left n 1 0 1 0 0000000x\n", "is not an offset"},
		{"index.noun", "left n 0 0 1 0\n", "no count of synsets"},
		{"index.noun", "left n 1 999999999999 1 0 00000002\n", "want 1 offsets"},
		{"index.noun", "left\n", "type \"\""},
		{"noun.exc", "lefts left\nrights\n", `noun.exc:2: word "rights": no base form`},
	} {
		files := map[string]string{"data.noun": small}
		files[c.file] = c.text
		_, err := Open(writeDir(t, files))
		var pe *ParseError
		if !errors.As(err, &pe) || !strings.Contains(err.Error(), c.want) || !filepath.IsAbs(pe.File) {
			t.Errorf("%s %q: error %v, want %q", c.file, c.text, err, c.want)
		}
	}
}

// FuzzParse: no text makes the parser or the walks panic or run away, and what
// is accepted is a sound graph.
func FuzzParse(f *testing.F) {
	f.Add(small)
	f.Add("00000001 03 n 01 a 0 001 @ 00000001 n 0000 | a\n")
	f.Add("99999999 03 n 01 a 0 000 | \n00000000 03 n 01 b 0 001 @ 99999999 n 0000 | b")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := parse(text, "data.noun")
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) || pe.Line < 1 || pe.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("error %v", err)
			}
			return
		}
		ids := g.IDs()
		if len(ids) == 0 || !slices.IsSorted(ids) {
			t.Fatalf("ids %v", ids)
		}
		for _, id := range ids[:min(len(ids), 20)] {
			if g.MinDepth(id) > g.MaxDepth(id) || len(g.HypernymPath(id)) != g.MinDepth(id)+1 {
				t.Fatalf("%s: depths %d, %d, path %v", id, g.MinDepth(id), g.MaxDepth(id), g.HypernymPath(id))
			}
			for _, p := range g.Parents(id) {
				if !slices.Contains(g.Children(p), id) || g.MaxDepth(p) >= g.MaxDepth(id) || g.Height(p) <= g.Height(id) {
					t.Fatalf("%s and its parent %s", id, p)
				}
			}
			if diff := cmp.Diff([]float64{1, 1}, []float64{g.WuPalmer(id, id), g.PathSimilarity(id, id)}); diff != "" {
				t.Fatalf("%s is unlike itself: Wu-Palmer, path (-want +got):\n%s", id, diff)
			}
			s, _ := g.Synset(id)
			for _, w := range s.Lemmas {
				if key(w) != "" && !slices.Contains(g.Lookup(w), id) {
					t.Fatalf("%s is not found by its word %q", id, w)
				}
			}
		}
	})
}

// FuzzIndex: the same for index.noun and noun.exc.
func FuzzIndex(f *testing.F) {
	f.Add("right n 2 3 @ ~ + 2 1 00000003 00000002  \n", "lefts left\n", "Lefts")
	f.Fuzz(func(t *testing.T, index, exceptions, word string) {
		g, err := parse(small, "data.noun")
		if err != nil {
			t.Fatal(err)
		}
		if g.index, err = g.parseIndex(index, "index.noun"); err != nil {
			return
		}
		if g.exceptions, err = parseExceptions(exceptions, "noun.exc"); err != nil {
			return
		}
		for _, id := range g.Lookup(word) {
			if _, ok := g.Synset(id); !ok {
				t.Fatalf("%q: %s is not in the graph", word, id)
			}
		}
	})
}

// IDs gives every synset, ascending.
func (g *Graph) IDs() []ID {
	ids := make([]ID, len(g.synsets))
	for i := range g.synsets {
		ids[i] = g.synsets[i].ID
	}
	return ids
}

// Parents gives hypernyms and then instance hypernyms, in WordNet's order.
func (g *Graph) Parents(id ID) []ID { return g.neighbours(id, &g.up) }

// FuzzSums: a list of sums that is read is read again from its own text.
func FuzzSums(f *testing.F) {
	f.Add(strings.Repeat("0a", 32) + "  data.noun\n" + strings.Repeat("ff", 32) + "  noun.exc")
	f.Add("00  data.noun\n")
	f.Fuzz(func(t *testing.T, text string) {
		sums, err := parseSums(text, SumsName)
		if err != nil {
			return
		}
		again := ""
		for name, sum := range sums {
			again += sum + "  " + name + "\n"
		}
		if got, err := parseSums(again, SumsName); err != nil || !maps.Equal(got, sums) {
			t.Fatalf("%q: %v, read again %v (%v)", text, sums, got, err)
		}
	})
}
