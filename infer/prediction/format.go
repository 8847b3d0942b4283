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
)

// Formats are the names of all formats.
var Formats = encode.Formats

var endings = map[string]Format{
	".arrow": Arrow, ".feather": Arrow, ".ipc": Arrow, ".arrows": Stream,
	".parquet": Parquet, ".pq": Parquet, ".ndjson": NDJSON, ".jsonl": NDJSON, ".csv": CSV,
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
	ext := filepath.Ext(name)
	if f, ok := endings[strings.ToLower(ext)]; ok {
		return f, nil
	}
	return "", fmt.Errorf("%s: its ending %q names no format of predictions: want .arrow, .arrows, .parquet, .ndjson or .csv, or say the format", name, ext)
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
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n")
	if bytes.HasPrefix(text, []byte("{")) {
		return NDJSON, nil
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if names, err := csv.NewReader(bytes.NewReader(line)).Read(); err == nil && slices.Contains(names, "path") {
		return CSV, nil
	}
	return "", formatf("it begins with %q", head)
}
