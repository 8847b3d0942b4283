package record

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// TestRecords writes a record and reads it; any damage to it, to its shard or to
// what it was made from makes it count for nothing.
func TestRecords(t *testing.T) {
	out := t.TempDir()
	s := StateIn(files.Local(out))
	if err := s.Begin(Started{}); err != nil {
		t.Fatal(err)
	}
	id := Unit{Split: "train", Class: strings.Repeat("a class with a name longer than a file's ", 20)}
	name := "part-00000.arrow"
	if err := os.WriteFile(filepath.Join(out, name), []byte("shard"), 0o666); err != nil {
		t.Fatal(err)
	}
	want := &Record{Unit: id, Inputs: Digest{1}, Shards: []shard.ShardInfo{{File: name, Size: 5}}, Rows: []shard.Row{{Path: "a\xff.jpg", Label: 3}}, Rejected: []shard.Rejection{{Path: "b"}}}
	if err := s.Finish(want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := s.Done(id, Digest{1})
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Record{})); !ok || err != nil || diff != "" {
		t.Fatalf("%v %v %s", ok, err, diff)
	}
	if _, ok, err := s.Done(id, Digest{2}); ok || err != nil {
		t.Errorf("made from other inputs, and it counts: %v, %v", ok, err)
	}
	if _, err := s.Read(Unit{Split: "train"}); !shard.Damage(err) {
		t.Errorf("of a unit without a record: %v", err)
	}
	file := s.Out.Path(s.path(id))
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1
		if _, ok := decodeRecord(b); ok {
			t.Errorf("byte %d changed, and it counts", i)
		}
		if _, ok := decodeRecord(whole[:i]); ok {
			t.Errorf("cut at %d, and it counts", i)
		}
	}
	if err := os.Truncate(filepath.Join(out, name), 4); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(id); !shard.Damage(err) {
		t.Errorf("its shard has another size: %v", err)
	}
	// What cannot be read at the moment is no damage, and not what is not done.
	s.Out = away{s.Out}
	if _, done, err := s.Done(id, Digest{1}); done || !errors.Is(err, errAway) || shard.Damage(err) {
		t.Errorf("of a store that is away: %v, %v", done, err)
	}
}

var errAway = errors.New("the store is away")

// away is a directory whose store does not answer.
type away struct{ files.Dir }

func (away) Lstat(string) (fs.FileInfo, error) { return nil, errAway }

func TestSafeName(t *testing.T) {
	sum := "0123456789ab-"
	long := strings.Repeat("ä/", 300)
	for in, want := range map[string]string{
		"a.jpg": "a.jpg", "..": "__", "a\x00b\n\x1b[31m.jpg": "a_b___31m.jpg", "\xff\xfe": "__", "é b": "é b",
		sum + long + ".jpg": "",
	} {
		got := safeName(in, maxKeptName)
		if len(got) > maxKeptName || !utf8.ValidString(got) || strings.ContainsAny(got, "/\\\x00\n") || want != "" && got != want {
			t.Errorf("%q: %q", in, got)
		}
		if len(in) > maxKeptName && !(strings.HasPrefix(got, sum) && strings.HasSuffix(got, ".jpg")) {
			t.Errorf("%q lost what tells it from others", got)
		}
	}
}

func (away) Stat(string) (fs.FileInfo, error) { return nil, errAway }

// TestExists: that it cannot be told whether work was begun is not that none was.
func TestExists(t *testing.T) {
	s := StateIn(files.Local(t.TempDir()))
	if begun, err := s.Exists(); begun || err != nil {
		t.Errorf("in an empty directory: %t, %v", begun, err)
	}
	if err := s.Begin(Started{}); err != nil {
		t.Fatal(err)
	}
	if begun, err := s.Exists(); !begun || err != nil {
		t.Errorf("once it has begun: %t, %v", begun, err)
	}
	if _, err := StateIn(away{s.Out}).Exists(); err == nil {
		t.Error("of a store that is away nothing is said")
	}
}
