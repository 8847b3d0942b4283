package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// listFile is a list of paths: CSV, TSV, JSONL, or paths alone. Paths are
// relative to the directory that the list is in.
type listFile struct {
	*file
	dir string
}

// looksLikeList says whether a file is a list by its name's ending, or by its
// first line: fields that are separated, or an object, or an image's name.
func looksLikeList(path string, head []byte) bool {
	if !isText(head) {
		return false
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv", ".tsv", ".jsonl", ".ndjson":
		return true
	case ".json", ".xml", ".html", ".md", ".yaml", ".yml":
		return false
	}
	line := firstLine(head)
	return strings.ContainsAny(line, ",\t") || isObject(line) || ImageName(line) || strings.Contains(line, " ") && spaced(line)
}

// isText says whether a file's beginning may be text.
func isText(head []byte) bool { return len(head) > 0 && (utf16(head) || !bytes.ContainsRune(head, 0)) }

func utf16(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff"))
}

// firstLine gives the first line that says something.
func firstLine(head []byte) string {
	for line := range bytes.Lines(bytes.TrimPrefix(head, []byte(bom))) {
		if line := strings.TrimSpace(string(line)); line != "" && line[0] != '#' {
			return line
		}
	}
	return ""
}

const bom = "\ufeff"

func isObject(line string) bool { return strings.HasPrefix(line, "{") }

// spaced says whether a line is "path label", as lists for Caffe are: an image's name, a space and
// one word more.
func spaced(line string) bool {
	i := strings.LastIndexAny(line, " \t")
	return i > 0 && ImageName(strings.TrimSpace(line[:i])) && !ImageName(line[i+1:])
}

// separator tells how a list's fields are separated: by a tab, a comma or a
// semicolon; ' ' stands before a last field, 0 where there is one field.
func separator(path, line string) rune {
	ext := strings.ToLower(filepath.Ext(path))
	switch {
	case ext == ".tsv", strings.Contains(line, "\t") && !(ext == ".csv" && strings.Contains(line, ",")):
		return '\t'
	case strings.Contains(line, ","):
		return ','
	case strings.Contains(line, ";"):
		return ';'
	case spaced(line):
		return ' '
	}
	return 0
}

// Table is what a list says: paths, and columns of labels with a value for each.
type Table struct {
	Paths   []string
	Columns []Column
}

// ParseList reads a list of paths: CSV, TSV or JSONL with or without labels, paths
// alone, or a path and a label with a space between them. A heading, or JSON's keys, name the columns in
// any usual spelling. The list's name helps to tell its kind by its ending.
func ParseList(name string, b []byte) (*Table, error) {
	return parseList(context.Background(), name, bufio.NewReader(bytes.NewReader(b)))
}

func parseList(ctx context.Context, name string, in *bufio.Reader) (*Table, error) {
	head, err := in.Peek(headBytes)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if utf16(head) {
		return nil, errors.New("it is text in UTF-16: save it as UTF-8")
	}
	if bytes.HasPrefix(head, []byte(bom)) {
		in.Discard(len(bom)) // was peeked at, so is there
	}
	t := &table{}
	if line := firstLine(head); isObject(line) {
		err = t.json(ctx, in)
	} else {
		err = t.text(ctx, in, separator(name, line))
	}
	if err == nil && len(t.paths) == 0 {
		err = errors.New("no paths in it")
	}
	if err != nil {
		return nil, err
	}
	out := &Table{Paths: t.paths}
	for _, c := range t.columns {
		out.Columns = append(out.Columns, c.Column)
	}
	return out, nil
}

// list reads the list and looks for its files.
func (l *listFile) list(ctx context.Context, info *Info) ([]Entry, error) {
	t, err := parseList(ctx, l.path, bufio.NewReaderSize(io.NewSectionReader(l, 0, l.size()), 1<<16))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	entries, err := l.entries(ctx, t.Paths)
	if err != nil {
		return nil, err
	}
	info.Columns = t.Columns
	label(entries, info)
	return entries, nil
}

// statting is how many files are asked for at a time: a file server takes its
// time with each.
const statting = 16

// entries asks for every file's size and time. One that is not there keeps its entry:
// reading it will say what is wrong.
func (l *listFile) entries(ctx context.Context, paths []string) ([]Entry, error) {
	entries := make([]Entry, len(paths))
	var wg sync.WaitGroup
	for k := range statting {
		wg.Go(func() {
			for i := k; i < len(paths) && ctx.Err() == nil; i += statting {
				entries[i] = l.entry(paths[i])
			}
		})
	}
	wg.Wait()
	return entries, ctx.Err()
}

// entry looks for a file, also under the name that has slashes for backslashes.
func (l *listFile) entry(name string) Entry {
	slashed := strings.ReplaceAll(name, `\`, "/")
	for _, name := range []string{name, slashed} {
		if info, err := os.Stat(l.where(name)); err == nil {
			return Entry{Name: name, Size: info.Size(), Modified: info.ModTime().UnixNano()}
		}
		if name == slashed {
			break
		}
	}
	return Entry{Name: name, Size: -1}
}

// where gives the path of a file of the list.
func (l *listFile) where(name string) string {
	p := filepath.FromSlash(name)
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(l.dir, p)
}

func (l *listFile) read(e *Entry, buf []byte) ([]byte, error) { return readImage(l.where(e.Name), buf) }

func (l *listFile) each(ctx context.Context, entries []Entry, f visit) error {
	return eachRead(ctx, l, entries, f)
}

func (l *listFile) walk(context.Context, func(Entry, io.Reader) error) error { return errNotSequential }

func (l *listFile) unchanged() error {
	if l.file == nil { // it was read from a pipe
		return nil
	}
	return l.file.unchanged()
}

// OpenPaths opens the images whose paths r lists, a line each, or each ended by
// a zero byte. Paths are relative to the working directory, the order is the list's, and nothing is dropped but
// empty lines.
func OpenPaths(ctx context.Context, r io.Reader, zero bool, o Options) (*Set, error) {
	end, in := byte('\n'), bufio.NewReaderSize(r, 1<<16)
	if zero {
		end = 0
	}
	var paths []string
	for n := 0; ; n++ {
		line, err := in.ReadBytes(end)
		line = bytes.TrimSuffix(line, []byte{end})
		if !zero {
			line = bytes.TrimSuffix(line, []byte{'\r'})
		}
		if len(line) > 0 {
			paths = append(paths, string(line))
		}
		if err == io.EOF {
			break
		}
		if err == nil && n%1024 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("read the list of paths: %w", err)
		}
	}
	if len(paths) == 0 {
		return nil, errors.New("the list of paths is empty")
	}
	l := &listFile{}
	entries, err := l.entries(ctx, paths)
	if err != nil {
		return nil, err
	}
	s := &Set{options: o, files: &files{}}
	s.add(&opened{info: Info{Path: "-", Given: "-", Kind: List}, container: l, entries: entries, home: &home{set: s}})
	return s, nil
}
