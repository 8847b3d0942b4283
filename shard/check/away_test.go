package check

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

var errAway = errors.New("the store is away")

// away is a directory of which one file cannot be had: opened, or even asked about.
type away struct {
	files.Dir
	opened, asked string
}

func (a away) Open(name string) (files.Opened, error) {
	if name == a.opened {
		return nil, errAway
	}
	return a.Dir.Open(name)
}

func (a away) Stat(name string) (fs.FileInfo, error) {
	if name == a.asked {
		return nil, errAway
	}
	return a.Dir.Stat(name)
}

// TestAway: what cannot be read at the moment is not lost, accepted or not.
func TestAway(t *testing.T) {
	index, list := "train/"+shard.IndexName, "train/"+shard.ShardsName
	for _, c := range []struct {
		name string
		lose []string
		away away
	}{
		{"an ingest's state", nil, away{asked: unfinishedName}},
		{"classes", nil, away{opened: shard.ClassesName}},
		{"classes, without the manifest", []string{shard.ManifestName}, away{opened: shard.ClassesName}},
		{"the index", nil, away{asked: index}},
		{"the index, without manifest and list", []string{shard.ManifestName, list}, away{opened: index}},
		{"the list", nil, away{opened: list}},
	} {
		dir := small(t)
		for _, name := range c.lose {
			remove(t, dir, name)
		}
		before := filesOf(t, dir)
		c.away.Dir = files.Local(dir)
		for _, accept := range []bool{false, true} {
			if got, err := Repair(context.Background(), c.away, RepairOptions{AcceptLoss: accept}); !errors.Is(err, errAway) {
				t.Errorf("%s: %+v, %v", c.name, got, err)
			}
		}
		if diff := cmp.Diff(before, filesOf(t, dir)); diff != "" {
			t.Errorf("%s: files (-want +got):\n%s", c.name, diff)
		}
		if _, err := Verify(context.Background(), c.away, VerifyOptions{}); c.lose == nil && c.away.asked != index && !errors.Is(err, errAway) {
			t.Errorf("%s: verify: %v", c.name, err)
		}
	}
}

// TestLink: a dataset behind a link is looked at like another.
func TestLink(t *testing.T) {
	dir := small(t)
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	found, err := verifyAll(link)
	if diff := cmp.Diff([]string{"notes.txt"}, found); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// opening is a directory that counts how often each file is opened.
type opening struct {
	files.Dir
	mu    sync.Mutex
	times map[string]int
}

func (o *opening) Open(name string) (files.Opened, error) {
	o.mu.Lock()
	o.times[name]++
	o.mu.Unlock()
	return o.Dir.Open(name)
}

// TestOpenedOnce: a shard is opened once, as elsewhere that is a request.
func TestOpenedOnce(t *testing.T) {
	for _, fast := range []bool{false, true} {
		dir := &opening{Dir: files.Local(small(t)), times: map[string]int{}}
		found, err := Verify(context.Background(), dir, VerifyOptions{Fast: fast})
		if err != nil || len(found) > 0 {
			t.Fatal(found, err)
		}
		shards := 0
		for name, n := range dir.times {
			if isShard(path.Base(name)) {
				if shards++; n != 1 {
					t.Errorf("fast %v: %s is opened %d times", fast, name, n)
				}
			}
		}
		if shards == 0 {
			t.Errorf("fast %v: no shard is opened", fast)
		}
	}
}
