// Package list reads lists of paths with labels: CSV, TSV, JSONL, or a path a
// line. A file that is not there is the trouble of its own row.
package list

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

	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/source/entry"
)

// List is the files that a list names. Paths are relative to the directory that
// the list is in.
type List struct {
	entry.File // nil where the list came from a pipe
	base       string
	far        Far
	found      []Found // files that lie elsewhere; an entry's Place is one more than its place here
}

// Far finds files that lie in no directory here.
type Far interface {
	// At gives the URL that a name in a list means, by where the list lies, and the name as
	// people may see it; url is "" of what is a path here.
	At(base, name string) (url, shown string, err error)
	// Find finds a file by its URL. It is called from many goroutines.
	Find(ctx context.Context, url string) (Found, error)
}

// Found is a file that lies elsewhere.
type Found interface {
	Name() string    // as people may see it
	Query() string   // what tells it from others of this name, for comparing alone
	Size() int64     // bytes
	Modified() int64 // in Unix nanoseconds
	// Read is entry.Reader's.
	Read(buf []byte) ([]byte, error)
}

// New gives the list that a file is. Base is where it lies: a path, or the file's URL.
func New(f entry.File, base string, far Far) *List { return &List{File: f, base: base, far: far} }

// Add adds a file that lies elsewhere to a list of files that were given one by one.
func (l *List) Add(f Found) entry.Entry {
	l.found = append(l.found, f)
	return entry.Entry{Name: f.Name(), Size: f.Size(), Modified: f.Modified(), Place: int64(len(l.found))}
}

// Far is the file of an entry that lies elsewhere; nil: it lies here.
func (l *List) Far(e *entry.Entry) Found {
	if e.Place == 0 {
		return nil
	}
	return l.found[e.Place-1]
}

// LooksLike says whether a file is a list by its name's ending, or by its first
// line: fields that are separated, or an object, or an image's name.
func LooksLike(path string, head []byte) bool {
	if !IsText(head) {
		return false
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv", ".tsv", ".jsonl", ".ndjson", ".lst":
		return true
	case ".json", ".xml", ".html", ".md", ".yaml", ".yml":
		return false
	}
	line := firstLine(head, entry.ImageName)
	return strings.ContainsAny(line, ",\t") || isObject(line) || entry.ImageName(line) || strings.Contains(line, " ") && spaced(line, entry.ImageName)
}

// IsText says whether a file's beginning may be text.
func IsText(head []byte) bool { return len(head) > 0 && (utf16(head) || !bytes.ContainsRune(head, 0)) }

func utf16(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff"))
}

// firstLine gives the first line that says something.
func firstLine(head []byte, isImage func(string) bool) string {
	for line := range bytes.Lines(bytes.TrimPrefix(head, []byte(bom))) {
		if line := strings.TrimSpace(string(line)); line != "" && !isComment(line, isImage) {
			return line
		}
	}
	return ""
}

const bom = "\ufeff"

// jsonName says whether a list's name ends as those of JSON's lines do.
func jsonName(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".jsonl" || ext == ".ndjson"
}

func isObject(line string) bool { return strings.HasPrefix(line, "{") }

// spaced says whether a line is "path label", as lists for Caffe are: an
// image's name, a space and one word more.
func spaced(line string, isImage func(string) bool) bool {
	i := strings.LastIndexAny(line, " \t")
	return i > 0 && !isImage(line) && isImage(strings.TrimSpace(line[:i])) && !entry.ImageName(line[i+1:])
}

// separator tells how a list's fields are separated: by a tab, a comma or a
// semicolon; ' ' stands before a last field, 0 where there is one field.
func separator(path, line string, isImage func(string) bool) rune {
	ext := strings.ToLower(filepath.Ext(path))
	switch {
	case ext == ".tsv", strings.Contains(line, "\t") && !(ext == ".csv" && strings.Contains(line, ",")):
		return '\t'
	case strings.Contains(line, ","):
		return ','
	case strings.Contains(line, ";"):
		return ';'
	case spaced(line, isImage):
		return ' '
	}
	return 0
}

// headBytes is how much of a list is looked at to tell its kind.
const headBytes = 4096

// ErrBareNames says that a list's names lack endings, as those of a list which is read beside
// its images: the folder that holds both is to be given, and nothing is wrong with the list.
var ErrBareNames = errors.New("a list of names without their endings is read beside its images: give the folder that holds both")

// Table is what a list says: paths, and columns with a value for each.
type Table struct {
	Paths   []string       // as they stand there
	Lines   []int32        // of each path, from 1
	Columns []entry.Column // that may say the class by their names
	Splits  []entry.Column // that may say the split
	// Others are called neither so nor so. One without Rows has more values than classes
	// are many.
	Others []entry.Column
	// Comments are the lines that were passed over, from 1: they begin with #, have not as many
	// fields as the rows, and name no image.
	Comments []int32
}

// Parse reads a list of paths: CSV, TSV or JSONL with or without labels, paths
// alone, or a path and a label with a space between them. A heading, or JSON's
// keys, name the columns in any usual spelling. The list's name helps to tell
// its kind by its ending.
func Parse(name string, b []byte) (*Table, error) { return ParseOf(name, b, entry.ImageName) }

// ParseOf is Parse for a list of names that are images' where isImage says so, which may lack
// endings.
func ParseOf(name string, b []byte, isImage func(string) bool) (*Table, error) {
	return parse(context.Background(), name, bufio.NewReader(bytes.NewReader(b)), isImage)
}

func parse(ctx context.Context, name string, in *bufio.Reader, isImage func(string) bool) (*Table, error) {
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
	t := &table{isImage: isImage}
	u := &uncommented{in: in, isImage: isImage}
	switch line := firstLine(head, isImage); {
	case isObject(line):
		err = t.json(ctx, in)
	case jsonName(name):
		err = fmt.Errorf("its first line, %.40q, is no object of JSON, and a list has one a line (of one array jq -c .[] makes such lines)", line)
	default:
		u.sep = separator(name, line, isImage)
		err = t.text(ctx, bufio.NewReader(u), u.sep)
	}
	if err == nil && len(t.paths) == 0 {
		err = errors.New("no paths in it")
	}
	if err != nil {
		return nil, err
	}
	out := &Table{Paths: t.paths, Lines: t.lines, Comments: u.lines}
	for _, c := range t.columns {
		if c.other {
			out.Others = append(out.Others, c.Column)
		} else {
			out.Columns = append(out.Columns, c.Column)
		}
	}
	out.Columns, out.Splits = entry.CutSplits(out.Columns)
	return out, nil
}

// Entries reads the list and looks for its files.
func (l *List) Entries(ctx context.Context) ([]entry.Entry, *Table, error) {
	t, err := parse(ctx, l.Path(), bufio.NewReaderSize(io.NewSectionReader(l, 0, l.Size()), 1<<16), entry.ImageName)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", l.Path(), err)
	}
	entries, err := l.find(ctx, t.Paths)
	return entries, t, err
}

// statting is how many files are asked for at a time: a file server takes its
// time with each.
const statting = 32

// find asks for every file's size and time. One that is not there keeps its
// entry: reading it will say what is wrong.
func (l *List) find(ctx context.Context, paths []string) ([]entry.Entry, error) {
	entries, found := make([]entry.Entry, len(paths)), make([]Found, len(paths))
	err := inorder.Each(ctx, statting, len(paths), func(ctx context.Context, i int) (err error) {
		entries[i], found[i], err = l.one(ctx, paths[i])
		return err
	})
	for i, f := range found {
		if f != nil {
			shown := entries[i].Name
			entries[i] = l.Add(f)
			entries[i].Name = shown
		}
	}
	return entries, err
}

// one looks for a file, here or elsewhere.
func (l *List) one(ctx context.Context, name string) (entry.Entry, Found, error) {
	url, shown, err := l.far.At(l.base, name)
	switch {
	case err != nil:
		return entry.Entry{}, nil, err
	case url == "":
		return l.here(name), nil, nil
	}
	f, err := l.far.Find(ctx, url)
	return entry.Entry{Name: shown}, f, err
}

// here looks for a file, also under the name that has slashes for backslashes.
func (l *List) here(name string) entry.Entry {
	slashed := strings.ReplaceAll(name, `\`, "/")
	for _, name := range []string{name, slashed} {
		if info, err := os.Stat(l.where(name)); err == nil {
			return entry.Entry{Name: name, Size: info.Size(), Modified: info.ModTime().UnixNano()}
		}
		if name == slashed {
			break
		}
	}
	return entry.Entry{Name: name, Size: -1}
}

// where gives the path of a file of the list.
func (l *List) where(name string) string {
	p := filepath.FromSlash(name)
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(l.base, p)
}

// Read gives a file's bytes. Whatever is wrong with it is its own.
func (l *List) Read(e *entry.Entry, buf []byte) ([]byte, error) {
	if f := l.Far(e); f != nil {
		return f.Read(buf)
	}
	return entry.ReadImage(l.where(e.Name), buf)
}

// Each reads files in the order given.
func (l *List) Each(ctx context.Context, entries []entry.Entry, f entry.Visit) error {
	if len(l.found) > 0 {
		return entry.EachAhead(ctx, l, entries, f)
	}
	return entry.EachRead(ctx, l, entries, f)
}

// Unchanged wants the list to be what it was; its files are each their own.
func (l *List) Unchanged() error {
	if l.File == nil { // it was read from a pipe
		return nil
	}
	return l.File.Unchanged()
}

// Paths gives the files that paths from the working directory, or URLs, lead to.
func Paths(ctx context.Context, paths []string, far Far) (*List, []entry.Entry, error) {
	l := &List{far: far}
	entries, err := l.find(ctx, paths)
	return l, entries, err
}

// ReadPaths reads paths, a line each, or each ended by a zero byte. Nothing is
// dropped but empty ones.
func ReadPaths(ctx context.Context, r io.Reader, zero bool) ([]string, error) {
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
	return paths, nil
}
