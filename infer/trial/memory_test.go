package trial

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func someKey() Key {
	return Key{Model: "5e", Size: 299, CPUs: 2, Device: "cpu", Processor: "one", Libraries: map[string]string{"onnx": "1", "openvino": "2"}}
}

func someResult() Result {
	chosen := Tried{Way: Way{"openvino", 1, 2, 8}, PerSecond: 12.5}
	return Result{Chosen: chosen, Tried: []Tried{{Way: Way{"onnx", 1, 2, 8}, PerSecond: 10}, chosen, {Way: Way{Engine: "torch"}, LeftOut: "no"}}}
}

func TestRemembers(t *testing.T) {
	m := Memory(filepath.Join(t.TempDir(), "below", "trials"))
	if _, ok, err := m.Recall(someKey()); ok || err != nil {
		t.Errorf("before: %v, %v", ok, err)
	}
	if err := m.Remember(someKey(), someResult()); err != nil {
		t.Fatal(err)
	}
	r, ok, err := m.Recall(someKey())
	if diff := cmp.Diff(someResult(), r); !ok || err != nil || diff != "" {
		t.Errorf("%v, %v (-want +got):\n%s", ok, err, diff)
	}
	// What it holds for is each part of the key.
	for name, change := range map[string]func(*Key){
		"model": func(k *Key) { k.Model = "5f" }, "size": func(k *Key) { k.Size = 224 }, "CPUs": func(k *Key) { k.CPUs = 3 },
		"processor": func(k *Key) { k.Processor = "other" }, "library": func(k *Key) { k.Libraries["onnx"] = "1.1" },
		"a library more": func(k *Key) { k.Libraries["torch"] = "2" }, "a library less": func(k *Key) { delete(k.Libraries, "openvino") },
		"precision": func(k *Key) { k.Precision = "bf16" }, "outputs": func(k *Key) { k.Outputs = "logits" }, "batch": func(k *Key) { k.Batch = 8 },
		"device": func(k *Key) { k.Device = "cuda:0" },
	} {
		k := someKey()
		change(&k)
		if _, ok, err := m.Recall(k); ok || err != nil {
			t.Errorf("another %s: %v, %v", name, ok, err)
		}
	}
}

// damages are files that are none of someKey's.
func damages(t testing.TB) map[string]string {
	t.Helper()
	good := func(change func(*remembered)) string {
		f := remembered{memoryVersion, someKey(), someResult()}
		change(&f)
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	whole := good(func(*remembered) {})
	return map[string]string{
		"nothing": "", "half": whole[:len(whole)/2], "twice": whole + whole, "an unknown field": `{"why":1}`,
		"another version":     good(func(f *remembered) { f.Version++ }),
		"another's":           good(func(f *remembered) { f.Key.Model = "00" }),
		"an engine not there": good(func(f *remembered) { f.Result.Chosen.Engine = "torch" }),
		"left out":            good(func(f *remembered) { f.Result.Chosen.LeftOut = "x" }),
		"no batch":            good(func(f *remembered) { f.Result.Chosen.Batch = 0 }),
		"a vast batch":        good(func(f *remembered) { f.Result.Chosen.Batch = 1 << 20 }),
		"no runs":             good(func(f *remembered) { f.Result.Chosen.Runs = -1 }),
		"threads":             good(func(f *remembered) { f.Result.Chosen.Threads = -1 }),
		"no rate":             good(func(f *remembered) { f.Result.Chosen.PerSecond = 0 }),
	}
}

// TestNotBelieved: what is there and is not what Remember wrote is an error that names the file,
// and is replaced by what is remembered next.
func TestNotBelieved(t *testing.T) {
	m := Memory(t.TempDir())
	path, err := m.path(someKey())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range damages(t) {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := m.Recall(someKey()); ok || err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if err := m.Remember(someKey(), someResult()); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := m.Recall(someKey()); !ok || err != nil {
			t.Errorf("%s, replaced: %v, %v", name, ok, err)
		}
	}
	if err := os.WriteFile(path, []byte(`{"a":`+strings.Repeat(" ", 2<<20)), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := m.Recall(someKey()); ok || err == nil {
		t.Errorf("a large file: %v, %v", ok, err)
	}
}

// TestManyRemember has writers and readers at one file: it is always whole.
func TestManyRemember(t *testing.T) {
	m := Memory(t.TempDir())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if err := m.Remember(someKey(), someResult()); err != nil {
					t.Error(err)
				}
				if _, ok, err := m.Recall(someKey()); !ok || err != nil {
					t.Errorf("%v, %v", ok, err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzParse(f *testing.F) {
	for _, text := range damages(f) {
		f.Add([]byte(text))
	}
	whole, err := json.Marshal(remembered{memoryVersion, someKey(), someResult()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parse(text, someKey())
		if c := r.Chosen; err == nil && (c.Batch < 1 || c.Runs < 1 || c.Threads < 0 || someKey().Libraries[c.Engine] == "" || !(c.PerSecond > 0)) {
			t.Errorf("believed: %+v", c)
		}
	})
}
