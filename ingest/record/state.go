package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source/layout"
	"github.com/synshard/synshard/storage/files"
)

// State is what is known of an unfinished dataset. DIR/.ingest/ holds
//
//	plan          the Fingerprint of what is being made, in JSON, behind a line with its SHA-256
//	dataset.json  the manifest of the dataset that is being amended, if one is
//	*.unit        a record for each finished unit
//	clearing      while what was made otherwise is cleared away
//	array-*.json, job-*.done, job-*.lock
//	              of jobs that make it together: see Array and Job
//
// and is removed when the dataset is whole. A record is the line recordMagic, the
// SHA-256 of all that follows, and a record in encoding/gob. One that cannot be
// read, whose sum is wrong, that was made from other inputs, or whose shards are
// not there in their sizes, counts for nothing: its unit is made again.
type State struct {
	Out files.Dir // the dataset's directory

	listed map[string]bool // names of the records that there were, see List
}

const (
	// StateName is the state's directory, in the dataset's.
	StateName   = ".ingest"
	planName    = "plan"
	clearName   = "clearing"
	recordMagic = "synshard unit 1\n"
	// End is what names of records end in.
	End = ".unit"
)

// StateIn is the state of the dataset in the directory out, whether there is one or
// not.
func StateIn(out files.Dir) *State { return &State{Out: out} }

// Record is what is kept of a finished unit.
type Record struct {
	Unit     Unit              // what it is of
	Inputs   Digest            // of what it was made from: see Summer
	Shards   []shard.ShardInfo // in their order
	Rows     []shard.Row       // of all shards, in their order
	Rejected []shard.Rejection // images refused
	Skipped  []layout.Skipped  // of archives that are listed only when they are read
	Kept     bool              // it is of the dataset that is amended

	sum Digest // of the record as it was read
}

// Sum is that of a record that was read.
func (r *Record) Sum() Digest { return r.sum }

// Started is the plan: what is being made.
type Started struct {
	Fingerprint Fingerprint `json:"Fingerprint"`         // of the dataset when it is whole
	Amendment   *Amendment  `json:"Amendment,omitempty"` // of a whole dataset; nil: there was none
}

// Started reads what is being made; ok is false where nothing is. One that is not
// what was written is shard.ErrCorrupt.
func (s *State) Started() (f Started, ok bool, err error) {
	err = s.readSummed(planName, &f)
	if errors.Is(err, fs.ErrNotExist) {
		return f, false, nil
	}
	return f, err == nil, err
}

// readSummed reads JSON behind a line with its SHA-256 into v.
func (s *State) readSummed(name string, v any) error {
	name = StateName + "/" + name
	path := s.Out.Path(name)
	b, err := files.Read(s.Out, name, regular.Document)
	if err != nil {
		return err
	}
	sum, text, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != Digest(sha256.Sum256(text)).Hex() {
		return fmt.Errorf("%s: it does not have its sha256: %w", path, shard.ErrCorrupt)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w: %w", path, shard.ErrCorrupt, err)
	}
	return nil
}

// writeSummed writes JSON behind a line with its SHA-256.
func (s *State) writeSummed(name string, text []byte) error {
	return files.Write(s.Out, StateName+"/"+name, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\n%s", Digest(sha256.Sum256(text)).Hex(), text)
		return err
	})
}

// Begin notes what is being made from here on, and makes the state's directory.
func (s *State) Begin(f Started) error {
	if err := s.Out.MkdirAll(StateName); err != nil {
		return err
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("%s: %w", planName, err)
	}
	return s.writeSummed(planName, text)
}

// Clear makes the state of what is being cleared away, of which nothing is known but that
// it is none of a whole dataset.
func (s *State) Clear() error {
	if err := s.Out.MkdirAll(StateName); err != nil {
		return err
	}
	return files.WriteBytes(s.Out, StateName+"/"+clearName, nil)
}

// Exists says whether there is work that was not finished.
func (s *State) Exists() (bool, error) {
	info, err := files.Look(s.Out, StateName)
	return info != nil && info.IsDir(), err
}

func (s *State) path(id Unit) string {
	name := fmt.Sprintf("%s-%05d", id.Split, id.Piece)
	if id.Class != "" { // of any length, with any characters
		name = fmt.Sprintf("%s-%x", id.Split, sha256.Sum256([]byte(id.Class)))
	}
	return StateName + "/" + name + End
}

// Finish records a unit whose shards are in place.
func (s *State) Finish(r *Record) error {
	return writeGob(s.Out, s.path(r.Unit), recordMagic, r)
}

// writeGob writes v in encoding/gob behind a line that says what it is, and its
// SHA-256.
func writeGob(dir files.Dir, name, magic string, v any) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return fmt.Errorf("%s: %w", dir.Path(name), err)
	}
	sum := sha256.Sum256(b.Bytes())
	return files.Write(dir, name, func(w io.Writer) error {
		_, err := io.WriteString(w, magic)
		if err == nil {
			_, err = w.Write(sum[:])
		}
		if err == nil {
			_, err = w.Write(b.Bytes())
		}
		return err
	})
}

// decodeGob reads what writeGob wrote into v, and gives its sum; ok is false
// where it is not what was written.
func decodeGob(b []byte, magic string, v any) (sum Digest, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte(magic))
	if !ok || len(b) < sha256.Size || sha256.Sum256(b[sha256.Size:]) != [sha256.Size]byte(b) {
		return sum, false
	}
	return Digest(b[:sha256.Size]), gob.NewDecoder(bytes.NewReader(b[sha256.Size:])).Decode(v) == nil
}

// Load gives the record of a unit, whatever lies in the place of its shards. One that
// was not written so is shard.ErrCorrupt.
func (s *State) Load(id Unit) (*Record, error) {
	name := s.path(id)
	b, err := files.Read(s.Out, name, regular.Table)
	if err != nil {
		return nil, notWritten(err)
	}
	r, ok := decodeRecord(b)
	if !ok || r.Unit != id {
		return nil, fmt.Errorf("%s: it is not the record of %s: %w", s.Out.Path(name), id, shard.ErrCorrupt)
	}
	return r, nil
}

// Read gives the record of a unit whose shards have the sizes that it says: shard.Damage is what
// there is none to rely on for, and any other error says nothing of it.
func (s *State) Read(id Unit) (*Record, error) {
	r, err := s.Load(id)
	if err != nil {
		return nil, err
	}
	for _, f := range r.Shards {
		info, err := s.Out.Lstat(f.File)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size() != f.Size {
			return nil, fmt.Errorf("%s: it is not the shard that was written: %w", s.Out.Path(f.File), shard.ErrCorrupt)
		}
	}
	return r, nil
}

func decodeRecord(b []byte) (*Record, bool) {
	r := &Record{}
	var ok bool
	r.sum, ok = decodeGob(b, recordMagic, r)
	return r, ok
}

// Done gives the record of a unit that need not be made again.
func (s *State) Done(id Unit, inputs Digest) (r *Record, done bool, err error) {
	if s.listed != nil && !s.listed[path.Base(s.path(id))] {
		return nil, false, nil
	}
	switch r, err := s.Read(id); {
	case shard.Damage(err):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	default:
		return r, r.Inputs == inputs, nil
	}
}

// List looks which records there are, so that Done need not ask for each that is not
// there. It is for who alone makes the units that it will ask for.
func (s *State) List() error {
	entries, err := s.Out.ReadDir(StateName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.listed = map[string]bool{}
	for _, e := range entries {
		s.listed[e.Name()] = true
	}
	return nil
}

// Sound wants the shards of a unit, and the refused images that are kept of it, to be what was written, byte for byte.
func (s *State) Sound(r *Record) error {
	for _, want := range r.Shards {
		if err := ShardAsWritten(s.Out, want); err != nil {
			return err
		}
	}
	for _, want := range r.Rejected {
		if err := RejectedAsWritten(s.Out, want); err != nil {
			return err
		}
	}
	return nil
}

// ShardAsWritten reads a shard of a dataset: one that is not what was written is
// shard.ErrCorrupt.
func ShardAsWritten(out files.Dir, want shard.ShardInfo) error {
	size, sum, err := files.CRC32C(out, want.File)
	err = notWritten(err)
	if err == nil && (size != want.Size || sum != want.CRC32C) {
		err = fmt.Errorf("%s: it does not have the crc32c with which it was written: %w", out.Path(want.File), shard.ErrCorrupt)
	}
	return err
}

// notWritten is an error of reading: what is no regular file, or too large a one, is none that
// was written.
func notWritten(err error) error {
	if errors.Is(err, regular.ErrUnfit) {
		return fmt.Errorf("%w: %w", shard.ErrCorrupt, err)
	}
	return err
}

// RejectedAsWritten reads a refused image, where it is kept: one that is not what was written
// is shard.ErrCorrupt.
func RejectedAsWritten(out files.Dir, want shard.Rejection) error {
	if want.File == "" {
		return nil
	}
	sum, err := files.SHA256(out, want.File)
	err = notWritten(err)
	if err == nil && sum != want.SHA256 {
		err = fmt.Errorf("%s: it does not have the sha256 with which it was written: %w", out.Path(want.File), shard.ErrCorrupt)
	}
	return err
}

// Kept lists the units of the dataset that is amended.
func (s *State) Kept() ([]Unit, error) {
	entries, err := s.Out.ReadDir(StateName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []Unit
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), End) {
			continue
		}
		b, err := files.Read(s.Out, StateName+"/"+e.Name(), regular.Table)
		if err != nil {
			return nil, err
		}
		if r, ok := decodeRecord(b); ok && r.Kept && s.path(r.Unit) == StateName+"/"+e.Name() {
			out = append(out, r.Unit)
		}
	}
	return out, nil
}

// Remove removes the state: the dataset is whole, or is begun anew.
func (s *State) Remove() error {
	if err := s.Out.RemoveAll(StateName); err != nil {
		return err
	}
	return s.Out.Sync(".")
}
