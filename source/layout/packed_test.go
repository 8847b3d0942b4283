package layout

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout/naming"
)

// drawn are trees that people have, by name, with all files of each.
var drawn = map[string][]string{
	"classes": {"cat/a.jpg", "cat/b.jpg", "dog/a.jpg", "dog/notes.txt", "dog/d.avif"},
	"synsets": {"n01440764/n01440764_1.JPEG", "n01443537/n01443537_1.JPEG", "n01443537/n01443537_2.JPEG"},
	"splits":  {"train/cat/a.jpg", "train/dog/b.jpg", "val/cat/c.jpg", "test/1.jpg", "test/2.jpg"},
	"around":  {"set/data/train/n01440764/a.jpg", "set/data/validation/n01440764/b.jpg", "set/README.md"},
	"tiny":    {"train/n01440764/images/a.JPEG", "train/n01440764/n01440764_boxes.txt", "val/images/v.JPEG", "val/val_annotations.txt", "test/images/t.JPEG", "wnids.txt"},
}

var texts = map[string]string{"val/val_annotations.txt": "v.JPEG\tn01440764\t0\t0\t1\t1\n", "wnids.txt": "n01440764\n"}

func content(name string) []byte {
	if t, ok := texts[name]; ok {
		return []byte(t)
	}
	return []byte(name)
}

// packings are the ways to pack a tree. Each gives what to open.
var packings = map[string]func(t *testing.T, dir string, names []string) string{
	"folder": packFolder,
	"links": func(t *testing.T, dir string, names []string) string {
		packFolder(t, dir, names)
		top := filepath.Join(t.TempDir(), "links")
		ok(t, os.Mkdir(top, 0o777))
		list, err := os.ReadDir(filepath.Join(dir, "tree"))
		ok(t, err)
		for _, e := range list {
			ok(t, os.Symlink(filepath.Join(dir, "tree", e.Name()), filepath.Join(top, e.Name())))
		}
		return top
	},
	"zip": func(t *testing.T, dir string, names []string) string {
		return packFile(t, filepath.Join(dir, "tree.zip"), func(w io.Writer) {
			z := zip.NewWriter(w)
			for _, n := range append([]string{"__MACOSX/._x"}, names...) {
				f, err := z.Create(n)
				ok(t, err)
				_, err = f.Write(content(n))
				ok(t, err)
			}
			ok(t, z.Close())
		})
	},
	"tar": func(t *testing.T, dir string, names []string) string {
		return packFile(t, filepath.Join(dir, "tree.tar"), func(w io.Writer) { writeTar(t, w, names, content) })
	},
	"tar with dots": func(t *testing.T, dir string, names []string) string {
		return packFile(t, filepath.Join(dir, "tree.tar"), func(w io.Writer) {
			t1 := tar.NewWriter(w)
			for _, n := range names {
				ok(t, t1.WriteHeader(&tar.Header{Name: "./" + n, Size: int64(len(content(n))), Mode: 0o644}))
				_, err := t1.Write(content(n))
				ok(t, err)
			}
			ok(t, t1.Close())
		})
	},
	"tar.gz": func(t *testing.T, dir string, names []string) string {
		return packFile(t, filepath.Join(dir, "tree.tar.gz"), func(w io.Writer) {
			g := gzip.NewWriter(w)
			writeTar(t, g, names, content)
			ok(t, g.Close())
		})
	},
	"list": func(t *testing.T, dir string, names []string) string {
		packFolder(t, dir, names)
		return packFile(t, filepath.Join(dir, "list.txt"), func(w io.Writer) {
			for _, n := range names {
				if source.ImageName(n) {
					fmt.Fprintln(w, "tree/"+n)
				}
			}
		})
	},
	"tar of tars": func(t *testing.T, dir string, names []string) string {
		return packFile(t, filepath.Join(dir, "tree.tar"), func(w io.Writer) { tarOfTars(t, w, names) })
	},
	"folder of tars": func(t *testing.T, dir string, names []string) string {
		top := filepath.Join(dir, "tars")
		ok(t, os.Mkdir(top, 0o777))
		for first, rest := range byFirst(names) {
			if rest == nil {
				ok(t, os.WriteFile(filepath.Join(top, first), content(first), 0o666))
				continue
			}
			packFile(t, filepath.Join(top, first+".tar"), func(w io.Writer) {
				writeTar(t, w, rest, func(n string) []byte { return content(first + "/" + n) })
			})
		}
		return top
	},
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func packFolder(t *testing.T, dir string, names []string) string {
	top := filepath.Join(dir, "tree")
	for _, n := range append([]string{".DS_Store"}, names...) {
		p := filepath.Join(top, filepath.FromSlash(n))
		ok(t, errors.Join(os.MkdirAll(filepath.Dir(p), 0o777), os.WriteFile(p, content(n), 0o666)))
	}
	return top
}

func packFile(t *testing.T, path string, write func(io.Writer)) string {
	f, err := os.Create(path)
	ok(t, err)
	write(f)
	ok(t, f.Close())
	return path
}

func writeTar(t *testing.T, w io.Writer, names []string, bytes func(string) []byte) {
	tw := tar.NewWriter(w)
	for _, n := range names {
		ok(t, tw.WriteHeader(&tar.Header{Name: n, Size: int64(len(bytes(n))), Mode: 0o644}))
		_, err := tw.Write(bytes(n))
		ok(t, err)
	}
	ok(t, tw.Close())
}

// byFirst gives the names in each first directory; nil for a file.
func byFirst(names []string) map[string][]string {
	out := map[string][]string{}
	for _, n := range names {
		if first, rest, in := strings.Cut(n, "/"); in {
			out[first] = append(out[first], rest)
		} else {
			out[n] = nil
		}
	}
	return out
}

func tarOfTars(t *testing.T, w io.Writer, names []string) {
	var outer []string
	inner := map[string][]byte{}
	for first, rest := range byFirst(names) {
		if rest == nil {
			outer, inner[first] = append(outer, first), content(first)
			continue
		}
		var b strings.Builder
		writeTar(t, &b, rest, func(n string) []byte { return content(first + "/" + n) })
		outer, inner[first+".tar"] = append(outer, first+".tar"), []byte(b.String())
	}
	slices.Sort(outer)
	writeTar(t, w, outer, func(n string) []byte { return inner[n] })
}

// planOf opens what was packed and reads it: every image's split, class and name
// in its class.
func planOf(t *testing.T, path string) (images []string, skipped map[string]int) {
	t.Helper()
	set, err := source.Open(context.Background(), []string{path}, source.Options{Deep: true, FollowLinks: true})
	ok(t, err)
	defer set.Close()
	var inputs []Input
	for i, info := range set.Infos() {
		in := Input{Info: info}
		if info.Sequential {
			ok(t, set.Walk(context.Background(), i, func(e source.Entry, _ io.Reader) error {
				in.Entries = append(in.Entries, e)
				return nil
			}))
		}
		inputs = append(inputs, in)
	}
	for _, e := range set.Entries() {
		inputs[e.Container].Entries = append(inputs[e.Container].Entries, e)
	}
	p, err := Make(inputs, Options{Read: func(e source.Entry) ([]byte, error) {
		if inputs[e.Container].Info.Sequential {
			return readWalking(t, set, e)
		}
		return set.Read(e, nil)
	}})
	ok(t, err)
	for _, s := range p.Splits {
		for _, im := range s.Images {
			path := im.Path
			if rowKind(inputs[im.Container].Info.Kind) {
				path = naming.Base(im.Name)
			}
			images = append(images, fmt.Sprintf("%s %s", describe(p, s.Name, im.Class), path))
		}
	}
	slices.Sort(images)
	skipped = map[string]int{}
	for _, s := range p.Skipped {
		skipped[s.Reason] += s.Count
	}
	return images, skipped
}

func readWalking(t *testing.T, set *source.Set, want source.Entry) (b []byte, err error) {
	t.Helper()
	err = set.Walk(context.Background(), int(want.Container), func(e source.Entry, r io.Reader) error {
		if e.Name != want.Name {
			return nil
		}
		var err error
		b, err = io.ReadAll(r)
		return err
	})
	return b, err
}

// TestPacked holds that a tree means the same, however it is packed.
func TestPacked(t *testing.T) {
	for tree, names := range drawn {
		want, left := planOf(t, packFolder(t, t.TempDir(), names))
		if len(want) == 0 {
			t.Fatalf("%s: no images", tree)
		}
		for _, how := range slices.Sorted(maps.Keys(packings)) {
			if tree == "tiny" && how == "list" {
				continue // a list has no files of labels
			}
			got, skipped := planOf(t, packings[how](t, t.TempDir(), names))
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s as %s (-folder +%s):\n%s", tree, how, how, d)
			}
			if how == "list" {
				continue // it lists images only
			}
			if d := cmp.Diff(left, skipped); d != "" {
				t.Errorf("%s as %s: left out (-folder +%s):\n%s", tree, how, how, d)
			}
		}
	}
}
