package export

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/synshard/synshard/storage/files"
)

// FuzzMark: what a mark of an export says is an error, another export's, or files of which
// none is whole but those that are there as they were written.
func FuzzMark(f *testing.F) {
	f.Add([]byte(`{"version":4,"to":"folder","shard_bytes":0,"splits":null,"files":{"a":{"size":5,"crc32c":2591144765}}}`))
	f.Add([]byte(`{"version":4,"to":"folder","splits":null,"files":{"a":5,"../a":{"size":5},"":null,"out":{"size":-1}}}`))
	f.Add([]byte(`{"files":{"a":{"size":"5"}}}`))
	out := filepath.Join(f.TempDir(), "out")
	if err := os.MkdirAll(out, 0o777); err != nil {
		f.Fatal(err)
	}
	want := summed{w: new(discard)}
	want.Write([]byte("hello"))
	for _, name := range []string{"a", "../a"} {
		if err := os.WriteFile(filepath.Join(out, name), []byte("hello"), 0o666); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(out, markName), text, 0o666); err != nil {
			t.Fatal(err)
		}
		m := mark{Version: exportVersion, To: "folder"}
		if m.begin(files.Local(out)) != nil {
			return
		}
		for name, is := range m.Files {
			if has, err := m.has(files.Local(out), name); has && (err != nil || is != want.f) {
				t.Errorf("%q is taken for whole with %+v", name, is)
			}
		}
	})
}

type discard struct{}

func (*discard) Write(p []byte) (int, error) { return len(p), nil }
