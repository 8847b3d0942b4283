package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/shard"

	"github.com/synshard/synshard/storage/files"
)

// FuzzRecord: the record of a unit is what was written or counts for nothing; with a sum
// that is right, too, it takes no more memory than its size, but for a bound.
func FuzzRecord(f *testing.F) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&Record{Unit: Unit{Split: "train", Class: "n01"}, Shards: []shard.ShardInfo{{File: "train/x", Rows: 1}}, Rows: make([]shard.Row, 2)}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), true)
	f.Add(b.Bytes()[:b.Len()/2], true)
	f.Add(b.Bytes(), false)
	f.Fuzz(func(t *testing.T, body []byte, sound bool) {
		sum := sha256.Sum256(body)
		if !sound {
			sum[7]++
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, ok := decodeRecord(append(append([]byte(recordMagic), sum[:]...), body...))
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20+1000*uint64(len(body)) {
			t.Errorf("%d MiB for %d bytes", took>>20, len(body))
		}
		if ok && (!sound || r == nil) {
			t.Errorf("a record whose sum is wrong is %+v", r)
		}
	})
}

// FuzzStarted: a plan is what was written, or shard.ErrCorrupt; what is read is begun
// again as it is.
func FuzzStarted(f *testing.F) {
	f.Add([]byte(`{"Fingerprint":{"shard_bytes":1,"check":"full","classes":["a"],"splits":{"train":[{"source":"x","images":2}]}}}`), true)
	f.Add([]byte(`{"Amendment":{}}`), true)
	f.Add([]byte(`{"Fingerprint":{"classes":["\ud800\n"],"file_bytes":{"":-1}}}`), true)
	f.Add([]byte(`[]`), false)
	f.Fuzz(func(t *testing.T, text []byte, sound bool) {
		s := StateIn(files.Local(t.TempDir()))
		if err := os.MkdirAll(s.Out.Path(StateName), 0o777); err != nil {
			t.Fatal(err)
		}
		sum := Digest(sha256.Sum256(text)).Hex()
		if !sound {
			sum = Digest{}.Hex()
		}
		if err := os.WriteFile(filepath.Join(s.Out.Path(StateName), planName), fmt.Appendf(nil, "%s\n%s", sum, text), 0o666); err != nil {
			t.Fatal(err)
		}
		got, ok, err := s.Started()
		if err != nil {
			if !errors.Is(err, shard.ErrCorrupt) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if !ok || !sound {
			t.Fatalf("%v: %q with a wrong sum is %+v", ok, text, got)
		}
		if err := s.Begin(got); err != nil {
			t.Fatal(err)
		}
		again, _, err := s.Started()
		if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v (-was +begun again):\n%s", err, diff)
		}
	})
}

// FuzzFingerprint: options of a manifest are none that can be compared, or such that
// their own JSON gives back and that differ in nothing from themselves.
func FuzzFingerprint(f *testing.F) {
	f.Add([]byte(`{"shard_bytes":1,"check":"full","on_bad":"stop","classes":["a"],"splits":{"train":[{"source":"x","images":2}],"val":[]},"skipped":[{}]}`))
	f.Add([]byte(`{"unknown":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := Of(&shard.Manifest{Options: json.RawMessage(text)})
		if !ok {
			return
		}
		again, ok := Of(&shard.Manifest{Options: got.Encode()})
		if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); !ok || diff != "" {
			t.Errorf("%v, by its own JSON (-was +is):\n%s", ok, diff)
		}
		different := append(DifferentOptions(got, again), DifferentClasses(got.Classes, again.Classes))
		if diff := cmp.Diff([]string{""}, different); diff != "" {
			t.Errorf("differs from itself:\n%s", diff)
		}
	})
}
