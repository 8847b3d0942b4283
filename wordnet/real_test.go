package wordnet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/golden"
)

// figures is what scripts/golden/wordnet_nltk.py computes.
type figures struct {
	DataNounSHA256 string `json:"data_noun_sha256"`
	Synsets        int
	Edges          int
	Leaves         int
	SeveralParents int    `json:"several_parents"`
	MaxDepth       int    `json:"max_depth"`
	DepthsSHA256   string `json:"depths_sha256"`
	Pairs          []struct {
		A, B           ID
		Names          []string
		LCA            []ID
		Distance       int
		PathSimilarity float64 `json:"path_similarity"`
		WuPalmer       float64 `json:"wu_palmer"`
	}
	Nodes []struct {
		ID          ID
		Words       []string
		MinDepth    int `json:"min_depth"`
		MaxDepth    int `json:"max_depth"`
		Height      int
		Ancestors   int
		Descendants int
		Paths       int
		Path        []ID
	}
}

func readGolden(t *testing.T) (*Graph, figures) {
	t.Helper()
	var want figures
	golden.Read(t, "testdata/golden.json", &want)
	data, err := os.ReadFile(filepath.Join(realDir(t), "data.noun"))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want.DataNounSHA256 {
		t.Logf("data.noun is not byte for byte the one the golden data were made from")
	}
	return real(t), want
}

func TestGoldenWhole(t *testing.T) {
	g, want := readGolden(t)
	var edges, leaves, several, deepest int
	depths := sha256.New()
	for _, id := range g.IDs() {
		up := g.Parents(id)
		edges += len(up)
		if len(up) > 1 {
			several++
		}
		if len(g.Children(id)) == 0 {
			leaves++
		}
		deepest = max(deepest, g.MaxDepth(id))
		fmt.Fprintf(depths, "%08d %d %d %d\n", id, g.MinDepth(id), g.MaxDepth(id), g.Height(id))
	}
	got := []int{g.Len(), edges, leaves, several, deepest}
	if d := cmp.Diff([]int{want.Synsets, want.Edges, want.Leaves, want.SeveralParents, want.MaxDepth}, got); d != "" {
		t.Errorf("synsets, edges, leaves, several parents, depth (-want +got):\n%s", d)
	}
	if sum := hex.EncodeToString(depths.Sum(nil)); sum != want.DepthsSHA256 {
		t.Errorf("some depth or height of the %d synsets differs from networkx's", g.Len())
	}
	if diff := cmp.Diff([]any{82115, "3.0"}, []any{g.Len(), g.Version()}); diff != "" {
		t.Errorf("synsets, version (-want +got):\n%s", diff)
	}
}

func TestGoldenPairs(t *testing.T) {
	g, want := readGolden(t)
	if len(want.Pairs) < 40 {
		t.Fatalf("only %d pairs", len(want.Pairs))
	}
	for _, p := range want.Pairs {
		for _, flip := range []bool{false, true} {
			a, b := p.A, p.B
			if flip {
				a, b = b, a
			}
			name := fmt.Sprintf("%s %s", a, b)
			if d := cmp.Diff(p.LCA, g.LCA(a, b)); d != "" {
				t.Errorf("%s: LCA (-want +got):\n%s", name, d)
			}
			if got := g.Distance(a, b); got != p.Distance {
				t.Errorf("%s: distance %d, want %d", name, got, p.Distance)
			}
			if got := g.PathSimilarity(a, b); math.Abs(got-p.PathSimilarity) > 1e-15 {
				t.Errorf("%s: path similarity %v, want %v", name, got, p.PathSimilarity)
			}
			if got := g.WuPalmer(a, b); math.Abs(got-p.WuPalmer) > 1e-15 {
				t.Errorf("%s: Wu-Palmer %v, want %v", name, got, p.WuPalmer)
			}
			checkWay(t, g, a, b, p.Distance)
		}
		for i, id := range []ID{p.A, p.B} {
			got, err := g.Resolve(p.Names[i])
			if diff := cmp.Diff([]ID{id}, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", p.Names[i], err, diff)
			}
		}
	}
}

// checkWay holds Path against the edges of the graph.
func checkWay(t *testing.T, g *Graph, a, b ID, distance int) {
	t.Helper()
	way, top := g.Path(a, b)
	if len(way) != distance+1 {
		t.Errorf("%s %s: path %v, want %d synsets", a, b, way, distance+1)
		return
	}
	if diff := cmp.Diff([]ID{a, b}, []ID{way[0], way[distance]}); diff != "" {
		t.Errorf("%s %s: ends of the path (-want +got):\n%s", a, b, diff)
	}
	for _, end := range []ID{a, b} {
		if !g.IsA(end, way[top]) {
			t.Errorf("%s %s: %s at the top of the path is not above %s", a, b, way[top], end)
		}
	}
	for i := 1; i < len(way); i++ {
		low, high := way[i-1], way[i]
		if i > top {
			low, high = high, low
		}
		if !slices.Contains(g.Parents(low), high) {
			t.Errorf("%s %s: %s is no parent of %s in path %v", a, b, high, low, way)
		}
	}
}

func TestGoldenNodes(t *testing.T) {
	g, want := readGolden(t)
	for _, n := range want.Nodes {
		s, ok := g.Synset(n.ID)
		if !ok {
			t.Errorf("%s is missing", n.ID)
			continue
		}
		if d := cmp.Diff(n.Words, s.Lemmas); d != "" {
			t.Errorf("%s: words (-want +got):\n%s", n.ID, d)
		}
		got := []int{g.MinDepth(n.ID), g.MaxDepth(n.ID), g.Height(n.ID), len(g.Ancestors(n.ID)), len(g.Descendants(n.ID)), len(g.HypernymPaths(n.ID))}
		if d := cmp.Diff([]int{n.MinDepth, n.MaxDepth, n.Height, n.Ancestors, n.Descendants, n.Paths}, got); d != "" {
			t.Errorf("%s: depths, height, ancestors, descendants, paths (-want +got):\n%s", n.ID, d)
		}
		if d := cmp.Diff(n.Path, g.HypernymPath(n.ID)); d != "" {
			t.Errorf("%s: path (-want +got):\n%s", n.ID, d)
		}
		if !slices.ContainsFunc(g.HypernymPaths(n.ID), func(w []ID) bool { return slices.Equal(w, n.Path) }) {
			t.Errorf("%s: the shortest path is not among all", n.ID)
		}
	}
}

// TestKnownSynsets are facts anyone can look up: ImageNet's names and glosses.
func TestKnownSynsets(t *testing.T) {
	g := real(t)
	for _, want := range []struct{ id, words, gloss, parents string }{
		{"n02084071", "dog, domestic dog, Canis familiaris", `a member of the genus Canis (probably descended from the common wolf) that has been domesticated by man since prehistoric times; occurs in many breeds; "the dog barked all night"`, "n02083346 n01317541"},
		{"n02391049", "zebra", "any of several fleet black-and-white striped African equines", "n02374149"},
		{"n01440764", "tench, Tinca tinca", "freshwater dace-like game fish of Europe and western Asia noted for ability to survive outside water", "n01439121"},
		{"n15075141", "toilet tissue, toilet paper, bathroom tissue", "a soft thin absorbent paper for use in toilets", ""},
		{"n00001740", "entity", "", ""},
		{"n08929922", "France, French Republic", "", "n08696931"},
	} {
		id, err := ParseID(want.id)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := g.Synset(id)
		if !ok {
			t.Errorf("%s is missing", want.id)
			continue
		}
		if s.Words() != want.words {
			t.Errorf("%s: words %q, want %q", id, s.Words(), want.words)
		}
		if want.gloss != "" && s.Gloss != want.gloss {
			t.Errorf("%s: gloss %q, want %q", id, s.Gloss, want.gloss)
		}
		if got := strings.Trim(fmt.Sprint(g.Parents(id)), "[]"); want.parents != "" && !strings.HasPrefix(got, want.parents) {
			t.Errorf("%s: parents %s, want %s", id, got, want.parents)
		}
	}
	france, _ := g.Synset(8929922)
	if diff := cmp.Diff([]int{0, 1}, []int{len(france.Hypernyms), len(france.InstanceHypernyms)}); diff != "" {
		t.Errorf("France: hypernyms %v, instance hypernyms %v (-want +got):\n%s", france.Hypernyms, france.InstanceHypernyms, diff)
	}
}

func TestHyponymsAreTheFilesOwn(t *testing.T) {
	g := real(t)
	dog, _ := g.Synset(2084071)
	if len(dog.Hyponyms) != 18 {
		t.Fatalf("hyponyms of dog: %v", dog.Hyponyms)
	}
	if diff := cmp.Diff([]ID{1322604, 2113978}, []ID{dog.Hyponyms[0], dog.Hyponyms[17]}); diff != "" {
		t.Errorf("the first and last hyponym of dog (-want +got):\n%s", diff)
	}
	if dog.InstanceHyponyms != nil {
		t.Errorf("instances of dog: %v", dog.InstanceHyponyms)
	}
	var plain, instance int
	for _, id := range g.IDs() {
		s, _ := g.Synset(id)
		plain += len(s.Hyponyms)
		instance += len(s.InstanceHyponyms)
	}
	if diff := cmp.Diff([]int{75850, 8577}, []int{plain, instance}); diff != "" { // pointers ~ and ~i in data.noun
		t.Errorf("hyponyms, instance hyponyms (-want +got):\n%s", diff)
	}
}

func TestLookup(t *testing.T) {
	g := real(t)
	for _, c := range []struct {
		word  string
		first ID
		n     int // senses; 0 does not ask
	}{
		{"dog", 2084071, 7},
		{"Dogs", 2084071, 7},
		{"DOG", 2084071, 7},
		{"golden retriever", 2099601, 1},
		{"golden_retrievers", 2099601, 1},
		{"Golden-Retriever", 2099601, 1},
		{"  zebra ", 2391049, 1},
		{"mice", 2330245, 4},
		{"geese", 1855672, 0},
		{"boxes", 2883344, 0},
		{"churches", 8082602, 0},
		{"brushes", 8437515, 9},
		{"policemen", 10448983, 1},
		{"butterflies", 2274259, 0},
		{"spoonsful", 13770169, 0},
		{"attorneys general", 9822830, 0},
		{"ladybugs", 2165456, 1},
		{"french republic", 8929922, 1},
	} {
		got := g.Lookup(c.word)
		if len(got) == 0 || got[0] != c.first || c.n > 0 && len(got) != c.n {
			t.Errorf("%q: %v, want %d starting with %s", c.word, got, c.n, c.first)
		}
	}
	glasses := g.Lookup("glasses")
	if g.synsets[must(g.place.of(glasses[0]))].Words() != "spectacles, specs, eyeglasses, glasses" || !slices.Contains(glasses, 3438257) {
		t.Errorf("glasses: %v", glasses)
	}
	for _, word := range []string{"", " ", "_", "-", "xyzzy", "n02084071", "dog\x00", "\xff"} {
		if got := g.Lookup(word); got != nil {
			t.Errorf("%q: %v", word, got)
		}
	}
}

func must(i int32, ok bool) int32 {
	if !ok {
		panic("not there")
	}
	return i
}

// TestLookupWithoutIndex: the same senses, in ascending order.
func TestLookupWithoutIndex(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(realDir(t), "data.noun"))
	if err != nil {
		t.Fatal(err)
	}
	bare, err := parse(string(text), "data.noun")
	if err != nil {
		t.Fatal(err)
	}
	g := real(t)
	index, byLemma := g.index, bare.byLemma()
	if len(index) != 117798 {
		t.Errorf("index.noun has %d words, want 117798", len(index))
	}
	for i := range min(len(index), len(byLemma)) {
		if index[i].word != byLemma[i].word || !slices.Equal(slices.Sorted(slices.Values(index[i].senses)), byLemma[i].senses) {
			t.Fatalf("entry %d: index.noun has %v, data.noun %v", i, index[i], byLemma[i])
		}
	}
	if len(index) != len(byLemma) {
		t.Errorf("%d words in index.noun, %d in data.noun", len(index), len(byLemma))
	}
}

func TestResolve(t *testing.T) {
	g := real(t)
	for s, want := range map[string]string{
		"n02084071": "[n02084071]",
		"zebra":     "[n02391049]",
		"dog.n.01":  "[n02084071]",
		"dog.n.2":   "[n10114209]",
		"mice.n.1":  "[n02330245]",
	} {
		got, err := g.Resolve(s)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"n02084072", "n99999999", "dog.n.08", "dog.n.0", "dog.n.x", "dog.n.99999999999", "xyzzy", "", ".n.1", "n0208407"} {
		if got, err := g.Resolve(s); got != nil || err == nil || !strings.Contains(err.Error(), ErrNotFound.Error()) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}

func TestFind(t *testing.T) {
	g := real(t)
	got := g.Find("Golden  retriever")
	if fmt.Sprint(got) != "[n02099601]" {
		t.Errorf("golden retriever: %v", got)
	}
	zebra := g.Find("zebra")
	if len(zebra) < 10 || !slices.IsSorted(zebra) || !slices.Contains(zebra, 2391049) {
		t.Errorf("zebra: %v", zebra)
	}
	for _, part := range []string{"", "xyzzy"} {
		if diff := cmp.Diff([]ID(nil), g.Find(part)); diff != "" {
			t.Errorf("found by %q (-want +got):\n%s", part, diff)
		}
	}
}

func TestUnknownID(t *testing.T) {
	g := real(t)
	const none, dog = ID(3), ID(2084071)
	if _, ok := g.Synset(none); ok {
		t.Error("found")
	}
	lists := map[string][]ID{
		"parents": g.Parents(none), "children": g.Children(none), "ancestors": g.Ancestors(none), "descendants": g.Descendants(none),
		"path": g.HypernymPath(none), "LCA with": g.LCA(none, dog), "LCA of": g.LCA(dog, none),
	}
	for what, got := range lists {
		if got != nil {
			t.Errorf("%s: %v", what, got)
		}
	}
	if got := g.HypernymPaths(none); got != nil {
		t.Errorf("paths: %v", got)
	}
	depths := []int{g.MinDepth(none), g.MaxDepth(none), g.Height(none), g.Distance(none, dog)}
	if diff := cmp.Diff([]int{-1, -1, -1, -1}, depths); diff != "" {
		t.Errorf("least depth, greatest depth, height, distance (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{0, 0}, []float64{g.PathSimilarity(none, dog), g.WuPalmer(dog, none)}); diff != "" {
		t.Errorf("similarities (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bool{false, false}, []bool{g.IsA(none, dog), g.IsA(dog, none)}); diff != "" {
		t.Errorf("is a dog, is above dog (-want +got):\n%s", diff)
	}
	for _, id := range []ID{0, 4_000_000_000, math.MaxUint32, 15300280, 99_999_999} {
		if _, ok := g.Synset(id); ok {
			t.Errorf("%s found", id)
		}
	}
}

// TestConsistent checks, on a spread of synsets, that the walks agree with each
// other.
func TestConsistent(t *testing.T) {
	g := real(t)
	ids := g.IDs()
	for i := 0; i < len(ids); i += 997 {
		id := ids[i]
		up := g.Ancestors(id)
		for _, a := range up {
			if !g.IsA(id, a) || g.IsA(a, id) {
				t.Errorf("%s and its ancestor %s", id, a)
			}
			if _, found := slices.BinarySearch(g.Descendants(a), id); !found {
				t.Errorf("%s is not among the descendants of %s", id, a)
			}
			if diff := cmp.Diff([]ID{a}, g.LCA(a, id)); diff != "" {
				t.Errorf("LCA of %s and its ancestor %s (-want +got):\n%s", id, a, diff)
			}
		}
		if slices.Contains(up, id) || !g.IsA(id, id) {
			t.Errorf("%s is its own ancestor", id)
		}
		way := g.HypernymPath(id)
		if diff := cmp.Diff([]any{g.MinDepth(id) + 1, id}, []any{len(way), way[len(way)-1]}); diff != "" {
			t.Errorf("%s: length and end of path %v (-want +got):\n%s", id, way, diff)
		}
	}
}

func TestID(t *testing.T) {
	for _, s := range []string{"n02084071", "n00000000", "n99999999"} {
		id, err := ParseID(s)
		if err != nil || id.String() != s {
			t.Errorf("%s: %s, %v", s, id, err)
		}
		b, err := json.Marshal(id)
		if diff := cmp.Diff(strconv.Quote(s), string(b)); diff != "" || err != nil {
			t.Errorf("%s: JSON: %v (-want +got):\n%s", s, err, diff)
		}
		var back ID
		if err := json.Unmarshal(b, &back); err != nil || back != id {
			t.Errorf("%s: %s read back, %v", s, back, err)
		}
	}
	for _, s := range []string{"", "n", "02084071", "N02084071", "n2084071", "n020840711", "n0208407x", "v02084071", " n02084071", "n-2084071", "n０"} {
		if id, err := ParseID(s); err == nil || !strings.Contains(err.Error(), strconv.Quote(s)) {
			t.Errorf("%q: %v, %v", s, id, err)
		}
		id := ID(7)
		if err := id.UnmarshalText([]byte(s)); err == nil || id != 7 {
			t.Errorf("%q: set to %s, %v", s, id, err)
		}
	}
	if s := ID(4_000_000_000).String(); s != "n4000000000" {
		t.Errorf("too large: %s", s)
	}
}
