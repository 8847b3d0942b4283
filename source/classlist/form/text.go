package form

import (
	"encoding/csv"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decode gives a file's text: UTF-8, or UTF-16 where it begins with its mark.
func decode(b []byte) (string, error) {
	if len(b) >= 2 && (b[0] == 0xff && b[1] == 0xfe || b[0] == 0xfe && b[1] == 0xff) {
		big := b[0] == 0xfe
		units := make([]uint16, 0, len(b)/2)
		for i := 2; i+1 < len(b); i += 2 {
			u := uint16(b[i]) | uint16(b[i+1])<<8
			if big {
				u = u>>8 | u<<8
			}
			units = append(units, u)
		}
		b = []byte(string(utf16.Decode(units)))
	}
	text := strings.TrimPrefix(string(b), "\ufeff")
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.IndexByte(line, 0) >= 0:
			return "", errorAt(i+1, "a zero byte: not a text")
		case !utf8.ValidString(line):
			return "", errorAt(i+1, "%.40q is not UTF-8", line)
		}
	}
	// Lines may end as on any system.
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.ReplaceAll(text, "\r", "\n"), nil
}

// textLine is a line that counts, without the blanks around it.
type textLine struct {
	number int
	text   string
}

// parseText reads lines of names, with or without a heading.
func parseText(text string) (*Form, error) {
	var lines []textLine
	text, notes, err := uncommented(namesBlock(text))
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, textLine{i + 1, line})
		}
	}
	if len(lines) == 0 {
		return nil, errorAt(0, "no classes in it")
	}
	f := &Form{Unit: "line", Notes: notes}
	if comma, ok := heading(lines); ok {
		f.Notes = append(f.Notes, "its first line is a heading: "+lines[0].text)
		f.Entries, err = parseTable(text, comma)
	} else {
		f.Entries, err = parseLines(lines)
	}
	return f, err
}

// namesBlock empties the lines around the block "names:" of a YAML file, as data sets
// for detectors and dataset cards have it.
func namesBlock(text string) string {
	lines := strings.Split(text, "\n")
	from := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "names:" })
	if from < 0 {
		return text
	}
	indent := func(l string) int { return len(l) - len(strings.TrimLeft(l, " ")) }
	to := from + 1
	for to < len(lines) && (strings.TrimSpace(lines[to]) == "" || indent(lines[to]) > indent(lines[from]) ||
		indent(lines[to]) == indent(lines[from]) && strings.HasPrefix(strings.TrimSpace(lines[to]), "- ")) {
		to++
	}
	for i := range lines {
		if i <= from || i >= to {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// column is what a column of a table is of.
type column int

const (
	unknown column = iota
	number
	synset
	name
	words
	either // a number or a name: "label"
	image  // a file: then it is a list of images
)

// columnOf knows the usual headings and keys.
func columnOf(heading string) column {
	h := strings.ToLower(strings.Trim(strings.TrimSpace(heading), `"'`))
	switch strings.NewReplacer("_", "", " ", "", "-", "").Replace(h) {
	case "index", "idx", "id", "classid", "classidx", "classindex", "labelid", "labelidx", "labelindex", "categoryid", "number", "target", "y":
		return number
	case "label", "labels", "class", "classes", "category":
		return either
	case "synset", "synsets", "wnid", "wnids", "wordnetid", "synsetid", "wordnet", "folder", "dir", "directory":
		return synset
	case "name", "names", "classname", "labelname", "categoryname", "classnames":
		return name
	case "words", "word", "lemmas", "lemma", "synonyms", "description", "text", "displayname", "humanname":
		return words
	case "path", "paths", "file", "filename", "filepath", "image", "images", "imageid", "imagepath", "img", "imgpath":
		return image
	}
	return unknown
}

// record is the fields of one class, from a table or an object.
type record struct{ values [image + 1]string }

// put notes a field; the first of its kind stays.
func (r *record) put(c column, value string) {
	value = strings.TrimSpace(value)
	_, err := strconv.ParseInt(value, 10, 64)
	switch {
	case c == either && err == nil, c == number && err == nil:
		c = number
	case c == either && IsSynset(value), c == number && IsSynset(value), c == name && IsSynset(value):
		c = synset
	case c == either, c == number:
		c = name
	}
	if r.values[c] == "" {
		r.values[c] = value
	}
}

// Entry makes a class of the fields: a synset before a name before words.
func (r *record) entry(line int) (Entry, bool) {
	e := Entry{Line: line, Words: Words(r.values[words])}
	if v := r.values[number]; v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		e.Numbered, e.Number = err == nil, n
	}
	switch {
	case r.values[synset] != "":
		e.Name = r.values[synset]
		if e.Words == nil {
			e.Words = Words(r.values[name])
		}
	case r.values[name] != "":
		e.Name = r.values[name]
	default:
		e.Name, e.Words = strings.Join(e.Words, ", "), nil
	}
	return e, e.Name != ""
}

// heading says whether the first line is one, and what is between its fields. A
// column that is not known may stand beside known ones; where only one is, the
// next line must bear it out, for "crane, name" may be a class's words.
func heading(lines []textLine) (comma rune, ok bool) {
	first := lines[0].text
	for _, comma := range []rune{'\t', ',', ';'} {
		if !strings.ContainsRune(first, comma) {
			continue
		}
		known, fields := 0, strings.Split(first, string(comma))
		var below []string
		if len(lines) > 1 {
			below = strings.Split(lines[1].text, string(comma))
		}
		proven := false
		for i, f := range fields {
			f = strings.Trim(strings.TrimSpace(f), `"'`)
			if IsSynset(f) || isInteger(f) {
				return 0, false
			}
			c := columnOf(f)
			if c != unknown {
				known++
			}
			if i < len(below) {
				v := strings.Trim(strings.TrimSpace(below[i]), `"'`)
				proven = proven || c == synset && IsSynset(v) || (c == number || c == either) && isInteger(v)
			}
		}
		return comma, known == len(fields) || known >= 2 || proven || known == 1 && comma == '\t'
	}
	return ',', len(lines) > 1 && columnOf(first) != unknown && !strings.ContainsAny(first, `"'`)
}

func isInteger(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// parseTable reads a table with a heading.
func parseTable(text string, comma rune) ([]Entry, error) {
	rows := csvRows
	if comma == '\t' { // quotes are just quotes there
		rows = tabRows
	}
	var columns []column
	var entries []Entry
	err := rows(text, comma, func(line int, fields []string) error {
		if columns == nil {
			for _, f := range fields {
				columns = append(columns, columnOf(f))
			}
			if slices.Contains(columns, image) {
				return errorAt(line, "a list of images and not of classes: %s", strings.Join(fields, string(comma)))
			}
			return nil
		}
		if len(fields) > len(columns) {
			return errorAt(line, "%d fields, and the heading has %d", len(fields), len(columns))
		}
		var rec record
		for i, f := range fields {
			rec.put(columns[i], f)
		}
		e, ok := rec.entry(line)
		if !ok {
			return errorAt(line, "neither a synset nor a name in it")
		}
		if n := len(entries); n > 0 && entries[n-1].Numbered != e.Numbered {
			return errorAt(line, "some classes have a number and some have none")
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

// tabRows calls f with the fields of each line.
func tabRows(text string, _ rune, f func(line int, fields []string) error) error {
	for i, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		fields := strings.Split(line, "\t")
		for k := range fields {
			fields[k] = unquote(fields[k])
		}
		if err := f(i+1, fields); err != nil {
			return err
		}
	}
	return nil
}

// csvRows calls f with the rows of CSV, whose fields may have lines of their own.
func csvRows(text string, comma rune, f func(line int, fields []string) error) error {
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace = comma, -1, true
	for {
		fields, err := r.Read()
		var bad *csv.ParseError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &bad):
			return errorAt(bad.Line, "%v", bad.Err)
		case err != nil:
			return err
		}
		line, _ := r.FieldPos(0)
		if len(fields) == 1 && strings.TrimSpace(fields[0]) == "" {
			continue
		}
		if err := f(line, fields); err != nil {
			return err
		}
	}
}

var (
	numberFirst = regexp.MustCompile(`^["']?([0-9]{1,9})["']?(\s*[:,;\t]\s*|\s+)(\S.*)$`)
	numberLast  = regexp.MustCompile(`^(.*[^\s,;])(\s*[,;\t]\s*|\s+)["']?([0-9]{1,9})["']?$`)
	synsetFirst = regexp.MustCompile(`^["']?(n[0-9]{8})["']?(?:\s*[,;:\t=]\s*|\s+(?:-+\s+)?)(\S.*)$`)
	numberMid   = regexp.MustCompile(`^(n[0-9]{8})[\s,;]+([0-9]{1,9})(?:[\s,;]+(\S.*))?$`)
	synsetAny   = regexp.MustCompile(`\bn[0-9]{8}\b`)
)

// parseLines reads lines without a heading.
func parseLines(lines []textLine) ([]Entry, error) {
	if everyLine(lines, func(s string) bool { return strings.HasPrefix(s, "- ") }) { // a list of YAML
		for i := range lines {
			lines[i].text = strings.TrimSpace(lines[i].text[2:])
		}
	}
	entries := make([]Entry, len(lines))
	rest := make([]string, len(lines))
	for i, l := range lines {
		entries[i].Line, rest[i] = l.number, unquote(l.text)
	}
	for _, form := range []struct {
		at, number int
		cut        *regexp.Regexp
	}{{3, 1, numberFirst}, {1, 3, numberLast}} {
		taken, err := takeNumbers(lines, entries, rest, form.cut, form.number, form.at)
		if err != nil {
			return nil, err
		}
		if taken {
			break
		}
	}
	if !entries[0].Numbered && everyLine(lines, numberMid.MatchString) {
		for i, l := range lines { // the development kit's map_clsloc.txt: n02119789 1 kit_fox
			m := numberMid.FindStringSubmatch(l.text)
			entries[i].Numbered, rest[i] = true, m[1]+" "+m[3]
			entries[i].Number, _ = strconv.ParseInt(m[2], 10, 64)
		}
	}
	if len(lines) == 1 && strings.Count(rest[0], ",") > 0 && !synsetFirst.MatchString(rest[0]) {
		return nil, errorAt(lines[0].number, "one line of names between commas, or one class of several words: write a class a line")
	}
	return entries, takeNames(entries, rest)
}

func everyLine(lines []textLine, f func(string) bool) bool {
	for _, l := range lines {
		if !f(l.text) {
			return false
		}
	}
	return true
}

// takeNumbers takes the number off every line, where every line has one and
// nothing else can be meant: what is left must not be the same on all lines
// (grade 1, grade 2), and behind a blank it is a label only where the numbers
// are those of labels.
func takeNumbers(lines []textLine, entries []Entry, rest []string, cut *regexp.Regexp, numberAt, nameAt int) (bool, error) {
	numbers, names := make([]int64, len(lines)), make([]string, len(lines))
	loose, same := false, len(lines) > 1
	for i, l := range lines {
		m := cut.FindStringSubmatch(l.text)
		if m == nil {
			return false, nil
		}
		numbers[i], _ = strconv.ParseInt(m[numberAt], 10, 64)
		names[i] = unquote(m[nameAt])
		loose = loose || strings.TrimSpace(m[2]) == "" && !strings.Contains(m[2], "\t")
		same = same && names[i] == names[0]
	}
	if same && loose {
		return false, nil
	}
	if loose && !allSynsets(names) && !permutation(numbers) {
		return false, errorAt(lines[0].number, "every line has a number, and they are not labels from 0 or 1 without a gap: write %q in quotes where it is a name", lines[0].text)
	}
	for i := range entries {
		entries[i].Numbered, entries[i].Number, rest[i] = true, numbers[i], names[i]
	}
	return true, nil
}

func allSynsets(names []string) bool {
	for _, n := range names {
		if _, _, ok := cutSynset(n); !ok {
			return false
		}
	}
	return true
}

// permutation says whether the numbers are 0 to n-1, or 1 to n, in any order.
func permutation(numbers []int64) bool {
	seen := make([]bool, len(numbers)+1)
	for _, n := range numbers {
		if n > int64(len(numbers)) || seen[n] {
			return false
		}
		seen[n] = true
	}
	return !seen[0] || !seen[len(numbers)]
}

// takeNames makes names and words of what is left of the lines.
func takeNames(entries []Entry, rest []string) error {
	if at, ok := synsetColumn(rest); ok { // tench,n01440764
		for i, r := range rest {
			fields := csvFields(r)
			e := &entries[i]
			e.Name = fields[at]
			for k, f := range fields {
				if k != at {
					e.Words = append(e.Words, Words(f)...)
				}
			}
		}
		return nil
	}
	for i, r := range rest {
		e := &entries[i]
		synset, text, ok := cutSynset(r)
		switch {
		case ok && synsetAny.MatchString(text):
			return errorAt(e.Line, "several synsets in one line: %.60q", r)
		case ok:
			e.Name, e.Words = synset, Words(text)
		case strings.Contains(r, "\t"):
			return errorAt(e.Line, "columns between tabs, none of synsets, and no heading that says which is the name: %.60q", r)
		case synsetAny.MatchString(r):
			return errorAt(e.Line, "a synset within other text: %.60q", r)
		default:
			e.Name = r
		}
	}
	return nil
}

// synsetColumn finds the one column that holds a synset on every line, where it
// is not the first.
func synsetColumn(rest []string) (at int, ok bool) {
	at = -1
	for _, r := range rest {
		fields := csvFields(r)
		here := -1
		for k, f := range fields {
			if IsSynset(f) {
				if here >= 0 {
					return 0, false
				}
				here = k
			}
		}
		if here < 1 || at >= 0 && here != at {
			return 0, false
		}
		at = here
	}
	return at, true
}

// csvFields splits a line at tabs, or else at commas outside quotes.
func csvFields(line string) []string {
	comma := ','
	if strings.Contains(line, "\t") {
		comma = '\t'
	}
	r := csv.NewReader(strings.NewReader(line))
	r.Comma, r.LazyQuotes, r.TrimLeadingSpace = comma, true, true
	fields, err := r.Read()
	if err != nil {
		return []string{line}
	}
	for i, f := range fields {
		fields[i] = strings.TrimSpace(f)
	}
	return fields
}

// cutSynset takes a synset at the beginning of a text off it.
func cutSynset(s string) (synset, text string, ok bool) {
	s = unquote(s)
	if IsSynset(s) {
		return s, "", true
	}
	m := synsetFirst.FindStringSubmatch(s)
	if m == nil {
		return "", "", false
	}
	return m[1], unquote(m[2]), true
}

// unquote takes off quotes that are around the whole of a text, and a comma
// behind them, as lines cut out of a program have.
func unquote(s string) string {
	s = strings.TrimSpace(s)
	bare := strings.TrimSuffix(s, ",")
	if n := len(bare); n >= 2 && (bare[0] == '"' || bare[0] == '\'') && bare[n-1] == bare[0] {
		inner := bare[1 : n-1]
		if plain := strings.ReplaceAll(inner, `""`, ""); bare[0] == '"' && !strings.Contains(plain, `"`) {
			return strings.TrimSpace(strings.ReplaceAll(inner, `""`, `"`)) // as CSV has it
		}
		if bare[0] == '\'' && !strings.Contains(strings.ReplaceAll(inner, `\'`, ""), "'") {
			return strings.TrimSpace(strings.ReplaceAll(inner, `\'`, "'"))
		}
	}
	return s
}
