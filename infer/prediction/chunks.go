package prediction

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// ChunksDir is where the finished chunks of an output lie until it is whole.
func ChunksDir(path string) string { return path + ".chunks" }

// Output is a file of predictions that is being made: chunks of its rows, each whole or
// absent, then all of them as one file. One process at a time makes it.
type Output struct {
	// Failed is the rows that failed, of an output that is Done.
	Failed int
	// Done says that the file is there, sound, and holds what was asked for.
	Done bool

	path   string
	format Format
	header Header
	md     metadata
	layout layout
	dir    string
	lock   *durable.Lock
}

// OutputOptions say what is made, and where.
type OutputOptions struct {
	Path    string  // of the file, which exists when it is whole
	Format  Format  // of the file
	Header  Header  // what the predictions are of: its fingerprint tells them from others
	Columns Columns // what is kept of each row
	// Overwrite starts anew where the path, or the chunks beside it, hold other
	// predictions, which is ErrOther otherwise. The file that is there stays
	// until the new one is whole.
	Overwrite bool
}

// Begin looks at what is there. A damaged output of the same predictions is
// made anew; what killed writers left is removed. Another process at work is
// durable.ErrLocked. Close must be called.
func Begin(o OutputOptions) (*Output, error) {
	if err := errors.Join(o.Columns.Check(), o.Header.Job.Check(), CheckName(o.Path)); err != nil {
		return nil, err
	}
	out := &Output{path: o.Path, format: o.Format, header: o.Header, md: o.Header.metadata(), layout: newLayout(o.Columns, o.Header.Spec.Classes), dir: ChunksDir(o.Path)}
	if err := out.begin(o.Overwrite); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

func (out *Output) begin(overwrite bool) error {
	if err := out.look(overwrite); err != nil {
		return err
	}
	if _, err := os.Stat(out.dir); out.Done && errors.Is(err, fs.ErrNotExist) {
		return errors.Join(out.removeTemps(), touch(out.path))
	}
	if err := durable.MkdirAll(out.dir); err != nil {
		return err
	}
	var err error
	if out.lock, err = durable.TryLock(filepath.Join(out.dir, ".lock")); err != nil {
		if out.Done { // somebody makes other predictions of it
			return nil
		}
		return fmt.Errorf("%s: %w", out.path, err)
	}
	if err := errors.Join(out.removeTemps(), durable.RemoveTemps(out.dir)); err != nil {
		return err
	}
	if err := out.look(overwrite); err != nil { // another may have ended meanwhile
		return err
	}
	if out.Done {
		return errors.Join(os.RemoveAll(out.dir), touch(out.path))
	}
	return out.clear(overwrite)
}

// look inspects the file of the output's name.
func (out *Output) look(overwrite bool) error {
	s, failed, err := inspect(out.path, out.format, out.md)
	if s == occupied && !overwrite {
		return err
	}
	out.Done, out.Failed = s == done, failed
	return nil
}

func (out *Output) removeTemps() error {
	return errors.Join(durable.RemoveTempsOf(out.path), durable.RemoveTempsOf(sidecarName(out.path)))
}

// clear refuses chunks of other predictions, or takes them away. Damaged ones
// are found when they are asked for.
func (out *Output) clear(overwrite bool) error {
	names, err := filepath.Glob(filepath.Join(globQuote(out.dir), "chunk-*.arrow"))
	if err != nil {
		return err
	}
	for _, name := range names {
		md, err := verifyHead(name)
		if err != nil || md[KeyFingerprint] == out.md[KeyFingerprint] && md[KeyJob] == out.md[KeyJob] {
			continue
		}
		if !overwrite {
			return fmt.Errorf("%s: %w: %s; --overwrite replaces them, or give another name", out.dir, ErrOther, differences(md, out.md))
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// globQuote makes a path stand for itself in a pattern.
func globQuote(path string) string {
	var b []byte
	for i := range len(path) {
		if c := path[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, path[i])
	}
	return string(b)
}

// verifyHead gives the metadata of an Arrow file if they are sound.
func verifyHead(path string) (metadata, error) {
	f, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := openTable(f, info.Size(), Arrow)
	if err != nil {
		return nil, err
	}
	return t.metadata(), t.metadata().check()
}

// Chunk is a run of rows, [From, To) of all images, that is written whole.
type Chunk struct {
	Number   int // among those of the output
	From, To int
}

func (out *Output) chunkName(c Chunk) string {
	return filepath.Join(out.dir, fmt.Sprintf("chunk-%06d.arrow", c.Number))
}

func (out *Output) chunkMetadata(c Chunk) metadata {
	return metadata{keyRows: fmt.Sprintf("%d-%d", c.From, c.To)}
}

// Have says whether a chunk is there, whole and sound, and how many of its
// rows failed. A damaged one counts as absent.
func (out *Output) Have(c Chunk) (ok bool, failed int, err error) {
	path := out.chunkName(c)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, 0, nil
	}
	f, err := openArrowFile(path)
	if errors.Is(err, ErrFormat) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	if f.md[KeyFingerprint] != out.md[KeyFingerprint] || f.md[keyRows] != out.chunkMetadata(c)[keyRows] || !sameFields(f.fields, out.layout.fields) {
		return false, 0, nil
	}
	rows, failed, err := f.verify(nil)
	if errors.Is(err, ErrFormat) || err == nil && rows != c.To-c.From {
		return false, 0, nil
	}
	return err == nil, failed, err
}

// Write writes the rows of a chunk, whole or not at all. It may be called from many
// goroutines.
func (out *Output) Write(c Chunk, rows []Row) error {
	rec, err := out.layout.record(nil, rows)
	if err != nil {
		return err
	}
	defer rec.Release()
	sums := newRecordSums(out.layout.fields)
	if err := sums.add(rec); err != nil {
		return err
	}
	md := out.md.sealed(merged(out.chunkMetadata(c), sums.metadata()))
	return writeFile(out.chunkName(c), Arrow, out.layout.schema(md), func(write func(arrow.Record) error) error { return write(rec) })
}

// Join makes the file of its chunks, which must all be there, and removes them.
func (out *Output) Join(chunks []Chunk) error {
	var names []string
	for _, c := range chunks {
		names = append(names, out.chunkName(c))
	}
	if _, _, err := join(out.path, out.format, out.layout.fields, out.md, out.header.BatchRows, names); err != nil {
		return err
	}
	return os.RemoveAll(out.dir)
}

// Close lets other processes at the output. What is not joined stays for the next
// Begin.
func (out *Output) Close() error {
	if out.lock == nil {
		return nil
	}
	err := out.lock.Unlock()
	out.lock = nil
	return err
}
