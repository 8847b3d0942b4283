package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/source/layout"
)

// state is what is known of an unfinished dataset. DIR/.ingest/ holds
//
//	plan.json     the fingerprint of what is being made
//	dataset.json  the manifest of the dataset that is being amended, if one is
//	*.unit        a record for each finished unit
//
// and is removed when the dataset is whole. A record is the line recordMagic, the
// SHA-256 of all that follows, and a record in encoding/gob. One that cannot be
// read, whose sum is wrong, that was made from other inputs, or whose shards are
// not there in their sizes, counts for nothing: its unit is made again.
type state struct{ out, dir string }

const (
	stateName   = ".ingest"
	planName    = "plan.json"
	recordMagic = "synshard unit 1\n"
	recordEnd   = ".unit"
)

func stateIn(out string) *state { return &state{out, filepath.Join(out, stateName)} }

// record is what is kept of a finished unit.
type record struct {
	Unit     unitID
	Inputs   digest // unit.sum of what it was made from
	Shards   []shardFile
	Rows     []shard.Row
	Rejected []Rejection
	Skipped  []layout.Skipped // of archives that are listed only when they are read
	Kept     bool             // it is of the dataset that is amended
}

// started is plan.json: what is being made.
type started struct {
	Fingerprint fingerprint `json:"fingerprint"`
	Amendment   *amendment  `json:"amendment,omitempty"` // of a whole dataset; nil: there was none
}

// shardFile is a shard of a unit, relative to the dataset's directory.
type shardFile struct {
	Name string
	Size int64
}

// started reads what is being made; ok is false where nothing is.
func (s *state) started() (f started, ok bool, err error) {
	path := filepath.Join(s.dir, planName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return f, false, fmt.Errorf("%s: %w", path, err)
	}
	return f, true, nil
}

// begin notes what is being made from here on.
func (s *state) begin(f started) error {
	if err := durable.MkdirAll(s.dir); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(s.dir, planName), func(w io.Writer) error {
		return json.NewEncoder(w).Encode(f)
	})
}

// exists says whether there is work that was not finished.
func (s *state) exists() bool {
	info, err := os.Stat(s.dir)
	return err == nil && info.IsDir()
}

func (s *state) path(id unitID) string {
	name := fmt.Sprintf("%s-%05d", id.Split, id.Piece)
	if id.Class != "" { // of any length, with any characters
		name = fmt.Sprintf("%s-%x", id.Split, sha256.Sum256([]byte(id.Class)))
	}
	return filepath.Join(s.dir, name+recordEnd)
}

// finish records a unit whose shards are in place.
func (s *state) finish(r *record) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(r); err != nil {
		return fmt.Errorf("record of %s: %w", r.Unit, err)
	}
	sum := sha256.Sum256(b.Bytes())
	return durable.WriteFile(s.path(r.Unit), func(w io.Writer) error {
		_, err := io.WriteString(w, recordMagic)
		if err == nil {
			_, err = w.Write(sum[:])
		}
		if err == nil {
			_, err = w.Write(b.Bytes())
		}
		return err
	})
}

// load gives the record of a unit, whatever lies in the place of its shards; ok
// is false where there is none that can be read.
func (s *state) load(id unitID) (r *record, ok bool) {
	b, err := os.ReadFile(s.path(id))
	if err != nil {
		return nil, false
	}
	r, ok = decodeRecord(b)
	return r, ok && r.Unit == id
}

// read gives the record of a unit; ok is false where there is none to rely on.
func (s *state) read(id unitID) (r *record, ok bool) {
	if r, ok = s.load(id); !ok {
		return nil, false
	}
	for _, f := range r.Shards {
		info, err := os.Lstat(filepath.Join(s.out, filepath.FromSlash(f.Name)))
		if err != nil || !info.Mode().IsRegular() || info.Size() != f.Size {
			return nil, false
		}
	}
	return r, true
}

func decodeRecord(b []byte) (*record, bool) {
	b, ok := bytes.CutPrefix(b, []byte(recordMagic))
	if !ok || len(b) < sha256.Size || sha256.Sum256(b[sha256.Size:]) != [sha256.Size]byte(b) {
		return nil, false
	}
	r := &record{}
	return r, gob.NewDecoder(bytes.NewReader(b[sha256.Size:])).Decode(r) == nil
}

// done gives the record of a unit that need not be made again.
func (s *state) done(u *unit) (*record, bool) {
	r, ok := s.read(u.unitID)
	return r, ok && r.Inputs == u.sum
}

// kept lists the units of the dataset that is amended.
func (s *state) kept() ([]unitID, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []unitID
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), recordEnd) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(s.dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if r, ok := decodeRecord(b); ok && r.Kept && s.path(r.Unit) == filepath.Join(s.dir, e.Name()) {
			out = append(out, r.Unit)
		}
	}
	return out, nil
}

func (s *state) remove() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	return durable.SyncDir(s.out)
}
