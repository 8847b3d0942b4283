package export

import (
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// TestKeptHasSums: what an export keeps beside its images, and its mark, are held to their
// sums where the export is read; the same export makes them anew.
func TestKeptHasSums(t *testing.T) {
	t.Parallel()
	for _, to := range Forms {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			v := write(t, "train", []named{{"a", "x.jpg"}, {"con", "y.jpg"}, {"b", ".."}})
			dir := t.TempDir()
			again := func() error { return Write(t.Context(), files.Local(dir), []Split{{"train", v}}, Options{To: to}) }
			if err := again(); err != nil {
				t.Fatal(err)
			}
			read := func() error {
				_, err := shard.ReadExportClasses(files.Local(dir))
				_, nerr := shard.ReadExportNames(files.Local(dir))
				_, oerr := shard.ReadExportObjects(files.Local(dir))
				return errors.Join(err, nerr, oerr)
			}
			if err := read(); err != nil {
				t.Fatal(err)
			}
			whole := readAll(t, dir)
			kept := 0
			for name, content := range whole {
				if name != markName && !strings.HasPrefix(name, shard.ExportName+"/") {
					continue
				}
				kept++
				for _, damaged := range []string{content[:len(content)*2/3] + string(content[len(content)*2/3]^1) + content[len(content)*2/3+1:], content[:len(content)/2], ""} {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(damaged), 0o666); err != nil {
						t.Fatal(err)
					}
					if err := read(); !errors.Is(err, shard.ErrCorrupt) || !strings.Contains(err.Error(), name) {
						t.Errorf("%s, damaged, is read: %v", name, err)
					}
					if err := again(); err != nil {
						t.Errorf("%s is not made anew: %v", name, err)
					}
					if diff := cmp.Diff(whole, readAll(t, dir)); diff != "" {
						t.Errorf("%s made anew (-want +got):\n%s", name, diff)
					}
				}
			}
			// A mark that is gone is as one that is damaged.
			if err := os.Remove(filepath.Join(dir, markName)); err != nil {
				t.Fatal(err)
			}
			if err := read(); !errors.Is(err, shard.ErrCorrupt) || !strings.Contains(err.Error(), markName) {
				t.Errorf("without its mark it is read: %v", err)
			}
			if err := again(); err != nil {
				t.Errorf("without its mark it is not made anew: %v", err)
			}
			if diff := cmp.Diff(whole, readAll(t, dir)); diff != "" {
				t.Errorf("without its mark made anew (-want +got):\n%s", diff)
			}
			if kept < 2 {
				t.Errorf("only %d files are kept", kept)
			}
			// Another export, whose mark is damaged, is not mixed with this one.
			stranger := filepath.Join(dir, "stranger.jpg")
			if to == "folder" {
				stranger = filepath.Join(dir, "train", "stranger.jpg")
			}
			if err := errors.Join(os.WriteFile(stranger, []byte("x"), 0o666), os.WriteFile(filepath.Join(dir, markName), []byte("{"), 0o666)); err != nil {
				t.Fatal(err)
			}
			for _, how := range []string{"damaged", "gone"} {
				for range 2 {
					if err := again(); !errors.Is(err, shard.ErrCorrupt) {
						t.Errorf("over another export whose mark is %s: %v", how, err)
					}
				}
				if err := os.Remove(filepath.Join(dir, markName)); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
		})
	}
}

// readAll gives the files of a directory by name.
func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, rerr := filepath.Rel(dir, path)
		all[name] = string(b)
		return errors.Join(err, rerr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var errAway = errors.New("the store is away")

// away is a directory whose store does not answer.
type away struct{ files.Dir }

func (away) Lstat(string) (fs.FileInfo, error) { return nil, errAway }

// TestHas: what is gone, or is not what was written, was not finished; what cannot be looked at is an error.
func TestHas(t *testing.T) {
	dir := t.TempDir()
	out, text := files.Local(dir), []byte("what was written")
	sum := crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))
	m := mark{Files: map[string]finished{"a": {Size: int64(len(text)), CRC32C: sum}}}
	for what, c := range map[string]struct {
		text []byte
		want bool
	}{"gone": {nil, false}, "shorter": {text[1:], false}, "other": {[]byte("What was written"), false}, "whole": {text, true}} {
		os.Remove(filepath.Join(dir, "a"))
		if c.text != nil {
			if err := os.WriteFile(filepath.Join(dir, "a"), c.text, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if has, err := m.has(out, "a"); has != c.want || err != nil {
			t.Errorf("%s: %t, %v", what, has, err)
		}
	}
	if has, err := m.has(away{out}, "a"); has || !errors.Is(err, errAway) {
		t.Errorf("of a store that is away: %t, %v", has, err)
	}
}
