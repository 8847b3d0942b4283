package prediction

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/synshard/synshard/infer/prediction/encode"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
)

// sidecar is FILE.meta.json: what a text file has no room for. The sum is of all the
// file's bytes.
type sidecar struct {
	Bytes    int64    `json:"bytes"`
	SHA256   string   `json:"sha256"`
	Metadata metadata `json:"metadata"`

	read []byte // the text that it was read from
}

func sidecarName(path string) string { return path + ".meta.json" }

// readSidecar reads what lies beside a text file, if anything does.
func readSidecar(path string) (s sidecar, err error) {
	b, err := regular.ReadFile(sidecarName(path), regular.Document)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, formatf("%s: %w", filepath.Base(sidecarName(path)), err)
	}
	if s.Metadata == nil {
		return s, formatf("%s has no metadata", filepath.Base(sidecarName(path)))
	}
	s.read = b
	return s, s.Metadata.check()
}

// write writes it to w.
func (s *sidecar) write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(s)
}

// written wants every byte of one that was read to be as write has it, where it has sums: JSON says the
// same in many ways, and other readers than ours are particular about them.
func (s *sidecar) written(path string) error {
	var b bytes.Buffer
	if err := s.write(&b); err != nil {
		return err
	}
	if s.Metadata[keyVersion] != "" && !bytes.Equal(b.Bytes(), s.read) {
		return formatf("%s is not as it was written", filepath.Base(sidecarName(path)))
	}
	return nil
}

// check holds a text file to its sidecar.
func (s *sidecar) check(path string, sum *byteSum) error {
	if s.Metadata == nil || s.SHA256 == "" && s.Metadata[keyVersion] == "" && s.Bytes == sum.n {
		return nil // there is none, or one of before there were sums
	}
	if s.Bytes != sum.n || s.SHA256 != sum.hex() {
		return formatf("%s is of other contents: the file is damaged, or was changed after it was written (then remove the sidecar and give the classes)", filepath.Base(sidecarName(path)))
	}
	return nil
}

// byteSum is the size and the sha256 of what is written to it.
type byteSum struct {
	hash.Hash
	n int64
}

func newByteSum() *byteSum { return &byteSum{Hash: sha256.New()} }

func (s *byteSum) Write(b []byte) (int, error) {
	s.n += int64(len(b))
	return s.Hash.Write(b)
}

func (s *byteSum) hex() string { return fmt.Sprintf("%x", s.Sum(nil)) }

// writeFile writes records to a file that is whole or absent.
func writeFile(path string, format Format, schema *arrow.Schema, each func(write func(arrow.Record) error) error) error {
	f, err := durable.Create(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	w, sum := io.Writer(f), newByteSum()
	if format.Text() {
		w = io.MultiWriter(f, sum)
	}
	out, err := encode.New(format, w, schema)
	if err == nil {
		err = each(out.Write)
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if format.Text() {
		beside := sidecar{Bytes: sum.n, SHA256: sum.hex(), Metadata: schema.Metadata().ToMap()}
		err = durable.WriteFile(sidecarName(path), beside.write)
		if err != nil {
			return err
		}
	}
	return f.Commit()
}

// state is what lies under an output's name.
type state int

const (
	absent   state = iota
	done           // what is wanted, and sound
	unsound        // what is wanted, but damaged
	occupied       // something else
)

// inspect says what lies under the name of an output of a format whose metadata are to
// be want's, and how many of its rows failed. Of what is occupied, err says by
// what.
func inspect(path string, format Format, want metadata) (s state, failed int, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return absent, 0, nil
	}
	if err != nil {
		return occupied, 0, err
	}
	if !info.Mode().IsRegular() {
		return occupied, 0, fmt.Errorf("%s exists and is not a regular file", path)
	}
	md, err := verify(path, format)
	ours := md[KeyFingerprint] == want[KeyFingerprint] && md[KeyJob] == want[KeyJob] && (!format.Text() || looksLike(path, format))
	if err == nil && ours {
		failed, err = md.number(KeyFailed)
	}
	switch {
	case err == nil && ours:
		return done, failed, nil
	case err == nil:
		return occupied, 0, fmt.Errorf("%s: %w: %s; --overwrite replaces it, or give another name", path, ErrOther, differences(md, want))
	case !errors.Is(err, ErrFormat):
		return occupied, 0, err
	}
	// What is known as ours by its own bytes, or looks like the text that a sidecar
	// of ours describes, is damaged; all else is somebody's.
	if ours || mentions(path, want[KeyFingerprint]) || format.Text() && looksLike(path, format) && mentions(sidecarName(path), want[KeyFingerprint]) {
		return unsound, 0, nil
	}
	return occupied, 0, fmt.Errorf("%s exists and is not a file of predictions (%w); --overwrite replaces it, or give another name", path, err)
}

// verify holds a file that infer or merge wrote to its sums, and gives its metadata as far
// as they were read.
func verify(path string, format Format) (metadata, error) {
	f, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	have, err := sniff(in)
	if err != nil {
		return nil, err
	}
	if have != format {
		return nil, formatf("it is %s, not %s", have, format)
	}
	if format.Text() {
		s, err := readSidecar(path)
		if err != nil || s.Metadata == nil {
			return s.Metadata, errors.Join(err, formatf("%s says nothing of it", filepath.Base(sidecarName(path))))
		}
		sum := newByteSum()
		if _, err := io.Copy(sum, in); err != nil {
			return s.Metadata, err
		}
		return s.Metadata, errors.Join(s.check(path, sum), s.written(path))
	}
	t, err := openTable(f, info.Size(), format)
	if err != nil {
		return nil, err
	}
	return t.metadata(), readTable(t, true, nil)
}

func looksLike(path string, format Format) bool {
	f, _, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	have, err := sniff(bufio.NewReaderSize(f, 1<<16))
	return err == nil && have == format
}

// mentions looks for a text in a file.
func mentions(path, text string) bool {
	f, _, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	buf, kept := make([]byte, 1<<20), 0
	for {
		n, err := io.ReadFull(f, buf[kept:])
		if bytes.Contains(buf[:kept+n], []byte(text)) {
			return true
		}
		if err != nil {
			return false
		}
		kept = copy(buf, buf[kept+n-len(text):kept+n])
	}
}

// touch gives finished work a fresh time, so that a Makefile is content with
// it.
func touch(path string) error {
	now := time.Now()
	return os.Chtimes(path, now, now)
}

// Begun says what runs the network, and with which options, of the predictions whose chunks lie
// beside an output or, where there are none and whole is true, of those that it holds: those of
// Identity. ok is false where there is nothing yet, or nothing that says it.
func Begun(path string, whole bool) (backend string, options map[string]string, ok bool) {
	var md metadata
	names, err := filepath.Glob(filepath.Join(globQuote(ChunksDir(path)), "chunk-*.arrow"))
	for _, name := range names {
		if md, err = verifyHead(name); err == nil {
			break
		}
	}
	if md == nil && whole {
		md, err = Metadata(path)
	}
	ok = err == nil && json.Unmarshal([]byte(md[KeyOptions]), &options) == nil
	return md[KeyBackend], options, ok
}

// Verify holds a file of predictions to the sums that it, or what lies beside it, has: what is not
// what they say is ErrFormat. A table of another program may have none.
func Verify(path string) error {
	f, size, format, err := openAny(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if format.Text() {
		err = verifyText(f, path)
	} else {
		var t table
		if t, err = openTable(f, size, format); err == nil {
			err = readTable(t, false, func(predicted) error { return nil }) // whose columns must be there
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func verifyText(f io.Reader, path string) error {
	beside, err := readSidecar(path)
	if err != nil || beside.Metadata == nil {
		return err
	}
	sum := newByteSum()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	return beside.check(path, sum)
}

// Metadata gives what a file of predictions says of itself (FORMAT.md), or what lies beside
// it, by key; a table of another program says nothing. What is no file of predictions, or is
// damaged where that stands, is ErrFormat.
func Metadata(path string) (map[string]string, error) {
	f, size, format, err := openAny(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var md metadata
	if format.Text() {
		s, err := readSidecar(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		md = s.Metadata
	} else {
		t, err := openTable(f, size, format)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		md = t.metadata()
	}
	if err := md.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return md, nil
}
