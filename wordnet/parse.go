package wordnet

import (
	"errors"
	"fmt"
	"strings"
)

// ErrVersion says that a file calls itself another version of WordNet than
// 3.0. Offsets differ between versions, so its ids would name other things.
var ErrVersion = errors.New("not WordNet 3.0, whose offsets are ImageNet's ids")

const wantVersion = "3.0"

// ParseError says where in a file of WordNet something is wrong.
type ParseError struct {
	File string // as given to Open; the bare name when there is no path
	Line int    // 1-based
	Err  error  // what is wrong there
}

func (e *ParseError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }
func (e *ParseError) Unwrap() error { return e.Err }

// Synset is a set of nouns that share a meaning. It belongs to its Graph and
// must not be changed.
type Synset struct {
	ID ID // by which Graph.Synset finds it
	// Lemmas are the words in WordNet's order, capitals kept, with spaces for
	// its underscores: "dog", "domestic dog", "Canis familiaris".
	Lemmas []string
	// Gloss is the definition and the quoted examples.
	Gloss string
	// Hypernyms and InstanceHypernyms are in WordNet's order; Hyponyms and
	// InstanceHyponyms, their inverses, ascend.
	Hypernyms, InstanceHypernyms, Hyponyms, InstanceHyponyms []ID
}

// Words gives the lemmas in one string, as ImageNet does:
// "dog, domestic dog, Canis familiaris".
func (s *Synset) Words() string { return strings.Join(s.Lemmas, ", ") }

// parse reads the text of a data.noun and checks that it is a whole graph: every
// pointer between nouns leads somewhere, hyponym pointers have their hypernyms, and
// no synset is above itself. Errors in the text are of type *ParseError. Without
// index.noun, Lookup gives the senses of a word in ascending order.
func parse(text, file string) (*Graph, error) {
	version, err := header(text)
	if err != nil {
		return nil, &ParseError{File: file, Line: 1, Err: err}
	}
	// Room as a real data.noun needs it, about 186 bytes to a synset.
	p := &parser{
		text:    text,
		synsets: make([]Synset, 0, len(text)/180),
		lines:   make([]int32, 0, len(text)/180),
		lemmas:  make([]string, 0, len(text)/100),
		ids:     make([]ID, 0, len(text)/180),
		down:    make([]edge, 0, len(text)/180),
	}
	for p.pos < len(p.text) {
		p.line++
		end := strings.IndexByte(p.text[p.pos:], '\n')
		next := len(p.text)
		if end < 0 {
			end = len(p.text)
		} else {
			end += p.pos
			next = end + 1
		}
		if end > p.pos && !strings.HasPrefix(p.text[p.pos:end], "  ") {
			p.end = end
			if err := p.synset(); err != nil {
				return nil, &ParseError{File: file, Line: p.line, Err: err}
			}
		}
		p.pos = next
	}
	if len(p.synsets) == 0 {
		return nil, &ParseError{File: file, Line: max(p.line, 1), Err: errors.New("no synset in the file")}
	}
	g, line, err := link(p)
	if err != nil {
		return nil, &ParseError{File: file, Line: line, Err: err}
	}
	g.version = version
	return g, nil
}

// header finds the version in the licence, the lines at the top that start
// with two spaces; a file without one is taken at its word.
func header(text string) (string, error) {
	for strings.HasPrefix(text, "  ") {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		_, after, ok := strings.Cut(line, "WordNet ")
		if !ok || !strings.Contains(after, " Copyright") {
			continue
		}
		version, _, _ := strings.Cut(after, " ")
		if version != wantVersion {
			return "", fmt.Errorf("WordNet %s: %w", version, ErrVersion)
		}
		return version, nil
	}
	return "", nil
}

// parser walks data.noun; the fields of a line lie in text[pos:end].
type parser struct {
	text     string
	pos, end int
	line     int

	synsets []Synset
	lines   []int32 // line of each synset
	down    []edge  // the file's hyponym pointers, to be checked
	lemmas  []string
	ids     []ID
}

// edge is a pointer from one synset, by its place, to another.
type edge struct {
	from     int32
	to       ID
	instance bool
}

// field takes the next field, "" at the end of the line.
func (p *parser) field() string {
	rest := p.text[p.pos:p.end]
	i := strings.IndexByte(rest, ' ')
	if i < 0 {
		p.pos = p.end
		return rest
	}
	p.pos += i + 1
	return rest[:i]
}

// synset reads one line:
//
//	offset lex_filenum ss_type w_cnt (word lex_id)... p_cnt (pointer)... | gloss
func (p *parser) synset() error {
	offset := p.field()
	id, ok := digits8(offset)
	if !ok {
		return fmt.Errorf("synset offset %q: want eight digits", offset)
	}
	if f := p.field(); !isNumber(f, 2, 10) {
		return fmt.Errorf("synset %s: file number %q: want two digits", offset, f)
	}
	if f := p.field(); f != "n" {
		return fmt.Errorf("synset %s: type %q: want n, a noun", offset, f)
	}
	s := Synset{ID: ID(id)}
	if err := p.words(&s); err != nil {
		return fmt.Errorf("synset %s: %w", offset, err)
	}
	if err := p.pointers(&s); err != nil {
		return fmt.Errorf("synset %s: %w", offset, err)
	}
	if f := p.field(); f != "|" {
		return fmt.Errorf("synset %s: %q where the gloss should start with |", offset, f)
	}
	s.Gloss = strings.TrimSpace(p.text[p.pos:p.end])
	p.synsets = append(p.synsets, s)
	p.lines = append(p.lines, int32(p.line))
	return nil
}

func (p *parser) words(s *Synset) error {
	count := p.field()
	n := number(count, 2, 16)
	if n < 1 {
		return fmt.Errorf("word count %q: want two hexadecimal digits, 01 or more", count)
	}
	start := len(p.lemmas)
	for i := range n {
		word, lex := p.field(), p.field()
		if word == "" {
			return fmt.Errorf("word %d of %d is missing", i+1, n)
		}
		if !isNumber(lex, 1, 16) {
			return fmt.Errorf("word %q: sense number %q: want one hexadecimal digit", word, lex)
		}
		if strings.IndexByte(word, '_') >= 0 {
			word = strings.ReplaceAll(word, "_", " ")
		}
		p.lemmas = append(p.lemmas, word)
	}
	s.Lemmas = p.lemmas[start:len(p.lemmas):len(p.lemmas)]
	return nil
}

func (p *parser) pointers(s *Synset) error {
	count := p.field()
	n := number(count, 3, 10)
	if n < 0 {
		return fmt.Errorf("pointer count %q: want three digits", count)
	}
	here := int32(len(p.synsets))
	start := len(p.ids)
	var instances []ID
	for i := range n {
		symbol, offset, pos, ends := p.field(), p.field(), p.field(), p.field()
		to, ok := digits8(offset)
		if symbol == "" || !ok || !isPOS(pos) || !isNumber(ends, 4, 16) {
			return fmt.Errorf("pointer %d of %d: %q is not a symbol, an offset, a part of speech and four hexadecimal digits",
				i+1, n, strings.Join([]string{symbol, offset, pos, ends}, " "))
		}
		if pos != "n" || len(symbol) > 2 {
			continue
		}
		switch symbol {
		case "@":
			p.ids = append(p.ids, ID(to))
		case "@i":
			instances = append(instances, ID(to))
		case "~", "~i":
			p.down = append(p.down, edge{from: here, to: ID(to), instance: len(symbol) == 2})
		}
	}
	s.Hypernyms = take(p.ids, start)
	start = len(p.ids)
	p.ids = append(p.ids, instances...)
	s.InstanceHypernyms = take(p.ids, start)
	return nil
}

// take cuts the tail of an arena, nil when it is empty, so that an append to
// the result cannot reach its neighbour.
func take(ids []ID, start int) []ID {
	if start == len(ids) {
		return nil
	}
	return ids[start:len(ids):len(ids)]
}

func isPOS(s string) bool { return len(s) == 1 && strings.IndexByte("nvasr", s[0]) >= 0 }

func isNumber(s string, width, base int) bool { return number(s, width, base) >= 0 }

// number reads exactly width digits, or gives -1.
func number(s string, width, base int) int {
	if len(s) != width {
		return -1
	}
	v := 0
	for i := range len(s) {
		d := int(s[i])
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d && d <= 'f':
			d -= 'a' - 10
		case 'A' <= d && d <= 'F':
			d -= 'A' - 10
		default:
			return -1
		}
		if d >= base {
			return -1
		}
		v = v*base + d
	}
	return v
}
