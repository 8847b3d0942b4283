package prediction

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/infer/prediction/encode"
)

// Format is a form of output.
type Format = encode.Format

// The formats.
const (
	Arrow   = encode.Arrow
	Stream  = encode.Stream
	Parquet = encode.Parquet
	NDJSON  = encode.NDJSON
	CSV     = encode.CSV
	TSV     = encode.TSV
)

// Formats are the names of all formats.
var Formats = encode.Formats

var endings = map[string]Format{
	".arrow": Arrow, ".feather": Arrow, ".ipc": Arrow, ".arrows": Stream,
	".parquet": Parquet, ".pq": Parquet, ".ndjson": NDJSON, ".jsonl": NDJSON, ".csv": CSV, ".tsv": TSV,
}

// FormatOf gives the format that a file's name ends in; "-" is standard output,
// which takes a stream. A name that says nothing, or is a URL, is an error: no
// format is guessed.
func FormatOf(name string) (Format, error) {
	if name == "-" {
		return Stream, nil
	}
	if err := CheckName(name); err != nil {
		return "", err
	}
	packing := PackingOf(name)
	ext := filepath.Ext(strings.TrimSuffix(name, filepath.Ext(name)))
	if packing == "" {
		ext = filepath.Ext(name)
	}
	f, ok := endings[strings.ToLower(ext)]
	switch {
	case !ok:
		return "", fmt.Errorf("%s: its ending %q names no format of predictions: want .arrow, .arrows, .parquet, .ndjson, .jsonl, .csv or .tsv, the text ones with .gz or .zst behind it too, or say the format", name, filepath.Ext(name))
	case packing != "" && !f.Text():
		return "", fmt.Errorf("%s: %s is not packed as a whole, which nothing could read by parts: text is, as in .csv.%s", name, f, packing)
	}
	return f.Packed(packing), nil
}

// PackingOf is how what a file's name says is packed; "": it is not.
func PackingOf(name string) string {
	switch ext := strings.ToLower(strings.TrimPrefix(filepath.Ext(name), ".")); ext {
	case encode.Gzip, encode.Zstd:
		return ext
	}
	return ""
}

// CheckName refuses a name that is a URL: predictions are written to local
// files.
func CheckName(name string) error {
	if scheme, _, ok := strings.Cut(name, "://"); ok && scheme != "" && strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+-.") == "" {
		return fmt.Errorf("%s: predictions are written to local files, not to %s://", name, scheme)
	}
	return nil
}

// sniff tells from its first bytes what form of output comes, without taking
// any of it. r must hold a line of text.
func sniff(r *bufio.Reader) (Format, error) {
	head, err := r.Peek(8)
	if err != nil && err != io.EOF {
		return "", err
	}
	for _, k := range []struct {
		magic  string
		format Format
	}{{"ARROW1", Arrow}, {"\xff\xff\xff\xff", Stream}, {"PAR1", Parquet}} {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return k.format, nil
		}
	}
	if len(head) == 0 {
		return "", formatf("it is empty")
	}
	text, err := r.Peek(r.Size())
	if err != nil && err != io.EOF {
		return "", err
	}
	if packing := packingOf(head); packing != "" {
		return sniffPacked(text, packing)
	}
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n")
	if bytes.HasPrefix(text, []byte("{")) {
		return NDJSON, nil
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	for _, f := range []Format{CSV, TSV} {
		if names, err := newCSVReader(bytes.NewReader(line), f).Read(); err == nil && slices.Contains(names, "path") {
			return f, nil
		}
	}
	return "", formatf("it begins with %q", head)
}

// packingOf tells from first bytes how they are packed; "": they are not.
func packingOf(head []byte) string {
	for packing, magic := range map[string]string{encode.Gzip: "\x1f\x8b", encode.Zstd: "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return packing
		}
	}
	return ""
}

// sniffPacked is sniff for the beginning of what is packed, which is text.
func sniffPacked(head []byte, packing string) (Format, error) {
	in, err := NDJSON.Packed(packing).Unpack(bytes.NewReader(head))
	if err != nil {
		return "", formatf("%w", err)
	}
	defer in.Close()
	text, _ := io.ReadAll(io.LimitReader(in, 1<<16)) // its end is not there
	if packingOf(text) != "" {
		return "", formatf("it is packed twice")
	}
	format, err := sniff(bufio.NewReaderSize(bytes.NewReader(text), 1<<16))
	if err == nil && !format.Text() {
		err = formatf("packed, and %s", format)
	}
	return format.Packed(packing), err
}

// newCSVReader reads CSV or TSV.
func newCSVReader(in io.Reader, f Format) *csv.Reader {
	r := csv.NewReader(in)
	if f.Plain() == TSV {
		r.Comma = '\t'
	}
	return r
}
