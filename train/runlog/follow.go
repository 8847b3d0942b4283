package runlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/synshard/synshard/internal/regular"
)

// Follower reads a log that is being written: each line once, when it is whole.
type Follower struct {
	f     *os.File
	in    *bufio.Reader
	lines checker
	part  []byte // of a line whose end is not there yet
}

// Follow opens a log to be followed from its beginning.
func Follow(path string) (*Follower, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("follow log: %w", err)
	}
	return &Follower{f: f, in: bufio.NewReaderSize(f, 64<<10)}, nil
}

// Next gives the next line's record, and false where no whole line is there now. Lines
// that are not what was written are passed over.
func (w *Follower) Next() (Record, bool, error) {
	for {
		b, err := w.in.ReadBytes('\n')
		w.part = append(w.part, b...)
		switch {
		case errors.Is(err, io.EOF):
			return Record{}, false, nil
		case err != nil:
			return Record{}, false, fmt.Errorf("follow log: %w", err)
		}
		line := bytes.TrimRight(w.part, "\n")
		w.part = w.part[:0]
		if rec := w.lines.record(line); rec != nil {
			return *rec, true, nil
		}
	}
}

// Close closes the file.
func (w *Follower) Close() error { return w.f.Close() }
