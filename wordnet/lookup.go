package wordnet

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// entry is a word, as index.noun writes it, and its senses.
type entry struct {
	word   string
	senses []ID
}

// parseIndex reads index.noun:
//
//	lemma pos synset_cnt p_cnt [symbol...] sense_cnt tagsense_cnt offset...
func (g *Graph) parseIndex(text, file string) ([]entry, error) {
	entries := make([]entry, 0, len(text)/40+1)
	arena := make([]ID, 0, len(text)/32+1)
	for line := 1; text != ""; line++ {
		var row string
		row, text, _ = strings.Cut(text, "\n")
		if row == "" || strings.HasPrefix(row, "  ") {
			continue
		}
		word, senses, err := g.indexLine(row, &arena)
		if err != nil {
			return nil, &ParseError{File: file, Line: line, Err: err}
		}
		entries = append(entries, entry{word: word, senses: senses})
	}
	byWord := func(a, b entry) int { return cmp.Compare(a.word, b.word) }
	if !slices.IsSortedFunc(entries, byWord) {
		slices.SortStableFunc(entries, byWord)
	}
	return entries, nil
}

// indexLine reads one line. Its offsets must be as many as it says and all in
// the graph.
func (g *Graph) indexLine(row string, arena *[]ID) (string, []ID, error) {
	word, rest, _ := strings.Cut(strings.TrimRight(row, " \r"), " ")
	next := func() (f string) {
		f, rest, _ = strings.Cut(rest, " ")
		return f
	}
	if pos := next(); pos != "n" {
		return "", nil, fmt.Errorf("word %q: type %q: want n, a noun", word, pos)
	}
	senses, errS := strconv.Atoi(next())
	pointers, errP := strconv.Atoi(next())
	if errS != nil || errP != nil || senses < 1 || pointers < 0 {
		return "", nil, fmt.Errorf("word %q: no count of synsets or of pointer symbols", word)
	}
	for range min(pointers, len(rest)) + 2 { // symbols and two counts of senses
		next()
	}
	if len(rest) != 9*senses-1 {
		return "", nil, fmt.Errorf("word %q: %q: want %d offsets", word, rest, senses)
	}
	start := len(*arena)
	for rest != "" {
		offset := next()
		v, ok := digits8(offset)
		if !ok {
			return "", nil, fmt.Errorf("word %q: %q is not an offset", word, offset)
		}
		if _, ok := g.place.of(ID(v)); !ok {
			return "", nil, fmt.Errorf("word %q: synset %s is not in data.noun", word, offset)
		}
		*arena = append(*arena, ID(v))
	}
	return word, take(*arena, start), nil
}

// lemmaIndex makes an index of the graph's own words, for when there is no
// index.noun.
func (g *Graph) lemmaIndex() []entry {
	senses := map[string][]ID{}
	for i := range g.synsets {
		s := &g.synsets[i]
		for _, lemma := range s.Lemmas {
			word := key(lemma)
			if !slices.Contains(senses[word], s.ID) {
				senses[word] = append(senses[word], s.ID)
			}
		}
	}
	entries := make([]entry, 0, len(senses))
	for word, ids := range senses {
		entries = append(entries, entry{word: word, senses: ids})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.word, b.word) })
	return entries
}

// key writes a word as index.noun does: lower case, underscores for spaces.
func key(word string) string {
	return strings.ToLower(strings.Join(strings.FieldsFunc(word, func(r rune) bool {
		return r == ' ' || r == '_' || r == '\t' || r == '\n'
	}), "_"))
}

// senses gives the senses of a word in exactly this form.
func (g *Graph) senses(word string) []ID {
	index := g.index
	if index == nil {
		index = g.byLemma()
	}
	i, ok := slices.BinarySearchFunc(index, word, func(e entry, w string) int { return cmp.Compare(e.word, w) })
	if !ok {
		return nil
	}
	return index[i].senses
}

// Lookup gives the senses of a word or phrase, commonest first where the graph
// was opened with index.noun: those of the form given and then those of its
// singulars ("glasses": spectacles, then glass), each once. Case, and spaces
// or underscores, make no difference; a hyphen is tried as a space, a space as
// a hyphen, and either as nothing, when the form given is not there. It is nil
// for a word that is not a noun of WordNet.
func (g *Graph) Lookup(word string) []ID {
	word = key(word)
	if word == "" {
		return nil
	}
	spellings := []string{
		word,
		strings.ReplaceAll(word, "-", "_"),
		strings.ReplaceAll(word, "_", "-"),
		strings.NewReplacer("-", "", "_", "").Replace(word),
	}
	for _, spelling := range spellings {
		ids := slices.Clone(g.senses(spelling))
		for _, base := range g.bases(spelling) {
			for _, id := range g.senses(base) {
				if !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
		}
		if len(ids) > 0 {
			return ids
		}
	}
	return nil
}

// Resolve understands what a user may write for a synset: an id ("n02084071"),
// one sense of a word ("dog.n.01", counted as Lookup orders them), or a word
// ("dog", "golden retriever"), which gives all its senses. The error matches
// ErrNotFound when there is no such thing.
func (g *Graph) Resolve(s string) ([]ID, error) {
	if id, err := ParseID(s); err == nil {
		if _, ok := g.place.of(id); !ok {
			return nil, fmt.Errorf("synset %s: %w", s, ErrNotFound)
		}
		return []ID{id}, nil
	}
	if word, sense, ok := cutSense(s); ok {
		ids := g.Lookup(word)
		if sense > len(ids) {
			return nil, fmt.Errorf("sense %d of %q, which has %d: %w", sense, word, len(ids), ErrNotFound)
		}
		return ids[sense-1 : sense], nil
	}
	ids := g.Lookup(s)
	if len(ids) == 0 {
		return nil, fmt.Errorf("word %q: %w", s, ErrNotFound)
	}
	return ids, nil
}

// cutSense splits "dog.n.01" into the word and the number.
func cutSense(s string) (word string, sense int, ok bool) {
	i := strings.LastIndex(s, ".n.")
	if i < 1 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(s[i+3:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, false
	}
	return s[:i], int(n), true
}

// Find gives the synsets one of whose words contains text, ascending. Case,
// and spaces or underscores, make no difference. Empty text finds nothing.
func (g *Graph) Find(text string) []ID {
	text = key(text)
	if text == "" {
		return nil
	}
	var ids []ID
	for i, words := range g.spelled() {
		if strings.Contains(words, text) {
			ids = append(ids, g.synsets[i].ID)
		}
	}
	return ids
}

// spellings gives each synset's words in index.noun's spelling, with newlines between, which
// no word has.
func (g *Graph) spellings() []string {
	out := make([]string, len(g.synsets))
	for i := range g.synsets {
		words := make([]string, len(g.synsets[i].Lemmas))
		for k, lemma := range g.synsets[i].Lemmas {
			words[k] = key(lemma)
		}
		out[i] = strings.Join(words, "\n")
	}
	return out
}

// Search gives the synsets that a text may mean, each once: its senses, as Lookup has
// them, and then all that Find finds.
func (g *Graph) Search(text string) []ID {
	ids := g.Lookup(text)
	seen := map[ID]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	for _, id := range g.Find(text) {
		if !seen[id] {
			ids = append(ids, id)
		}
	}
	return ids
}
