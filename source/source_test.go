package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/internal/filetest"
)

// contents is what a container should give: bytes by name.
type contents map[string]string

// skips is what it should leave out: reasons by name, with " (image)" behind
// those that may lose one.
type skips map[string]string

// openTest opens a path and reads everything in it, at random and in order.
func openTest(t *testing.T, o Options, paths ...string) (contents, skips, error) {
	t.Helper()
	left := skips{}
	o.OnSkip = func(s Skip) {
		if s.Image {
			s.Reason += " (image)"
		}
		left[s.Name] = s.Reason
	}
	s, err := Open(t.Context(), paths, o)
	if err != nil {
		return nil, left, err
	}
	defer s.Close()
	got, err := readAll(t, s)
	if err == nil {
		err = s.Unchanged()
	}
	return got, left, err
}

func readAll(t *testing.T, s *Set) (contents, error) {
	t.Helper()
	got := contents{}
	note := func(name string, b []byte) {
		if _, twice := got[name]; twice {
			t.Errorf("%s came twice", name)
		}
		got[name] = string(b)
	}
	err := s.Each(t.Context(), s.Entries(), func(e Entry, b []byte, err error) error {
		if err != nil {
			return err
		}
		if e.Size >= 0 && e.Size != int64(len(b)) {
			t.Errorf("%s: %d bytes, announced as %d", e.Name, len(b), e.Size)
		}
		note(e.Name, b)
		return nil
	})
	if err != nil {
		return got, err
	}
	for _, e := range s.Entries() {
		if e.Archive {
			continue
		}
		b, err := s.Read(e, nil)
		if err != nil || string(b) != got[e.Name] {
			t.Errorf("%s: Read gives %q, %v; Each gave %q", e.Name, b, err, got[e.Name])
		}
	}
	for i, info := range s.Infos() {
		if !info.Sequential {
			continue
		}
		err := s.Walk(t.Context(), i, func(e Entry, r io.Reader) error {
			b, err := io.ReadAll(r)
			note(e.Name, b)
			return err
		})
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

// check compares what a path gives with what it should.
func check(t *testing.T, want contents, left skips, o Options, paths ...string) {
	t.Helper()
	got, skipped, err := openTest(t, o, paths...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if left == nil {
		left = skips{}
	}
	if diff := cmp.Diff(left, skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
}

// refused wants opening or reading to fail with an error that holds the texts.
func refused(t *testing.T, p string, texts ...string) error {
	t.Helper()
	_, _, err := openTest(t, Options{}, p)
	if err == nil {
		t.Fatalf("%s was read", p)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
	return err
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return p
}

// tarOf packs headers; a file's bytes are in its Xattrs' place, the map.
func tarOf(t *testing.T, headers []tar.Header, files contents) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(files[h.Name]))
		}
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, files[h.Name])
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pack is tarOf plain files by name.
func pack(t *testing.T, files contents) []byte {
	t.Helper()
	var headers []tar.Header
	for _, name := range slices.Sorted(maps.Keys(files)) {
		headers = append(headers, tar.Header{Name: name})
	}
	return tarOf(t, headers, files)
}

func zipOf(t *testing.T, files contents, change func(*zip.FileHeader)) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		if change != nil {
			change(h)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, files[name])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func folderOf(t *testing.T, files contents) string {
	t.Helper()
	root := t.TempDir()
	for name, b := range files {
		p := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(b), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// What tars are told by, as in package tarfile.
const (
	tarBlock  = 512
	maxGap    = 4 << 20
	tooDeep   = "an archive in an archive in an archive: unpack the outermost first"
	noEndMark = "the archive has no mark at its end: if it was cut off there, members are missing"
)

var classes = contents{"n01440764/a.JPEG": "one", "n01440764/b.JPEG": "", "n01443537/a.JPEG": strings.Repeat("x", 5000), "notes.txt": "n"}

func TestSameTreeInEveryContainer(t *testing.T) {
	packed := pack(t, classes)
	check(t, classes, nil, Options{}, folderOf(t, classes))
	check(t, classes, nil, Options{}, write(t, "a.tar", packed))
	check(t, classes, nil, Options{}, write(t, "a.zip", zipOf(t, classes, nil)))
	check(t, classes, nil, Options{}, write(t, "no-name", packed))
	check(t, classes, nil, Options{}, write(t, "a.tar.gz", filetest.Gzip(packed)))
	check(t, classes, nil, Options{Stdin: bytes.NewReader(packed)}, "-")
	check(t, classes, nil, Options{Stdin: bytes.NewReader(filetest.Gzip(packed))}, "-")

	outer := pack(t, contents{"in.tar": string(packed)})
	want := contents{}
	for name, b := range classes {
		want["in.tar/"+name] = b
	}
	check(t, want, nil, Options{}, write(t, "o.tar", outer))
	check(t, want, nil, Options{Deep: true}, write(t, "o.tar", outer))
	check(t, want, nil, Options{}, write(t, "o.tgz", filetest.Gzip(outer)))
}

func TestTarOfTarOfTar(t *testing.T) {
	b := pack(t, contents{"a.jpg": "a"})
	for _, name := range []string{"in.tar", "out.tar"} {
		b = pack(t, contents{name: string(b), name + ".jpg": "x"})
	}
	want := contents{"out.tar.jpg": "x", "out.tar/in.tar.jpg": "x"}
	left := skips{"out.tar/in.tar": tooDeep + " (image)"}
	check(t, want, left, Options{}, write(t, "a.tar", b))
	check(t, want, left, Options{Deep: true}, write(t, "a.tar", b))
	check(t, want, left, Options{}, write(t, "a.tar.gz", filetest.Gzip(b)))
}

func TestConcatenatedTars(t *testing.T) {
	a, b := pack(t, contents{"a/1.jpg": "1"}), pack(t, contents{"b/2.jpg": "22"})
	both := slices.Concat(a, make([]byte, 7*tarBlock), b)
	want := contents{"a/1.jpg": "1", "b/2.jpg": "22"}
	check(t, want, nil, Options{}, write(t, "a.tar", both))
	check(t, want, nil, Options{}, write(t, "a.tgz", filetest.Gzip(both)))
	check(t, want, nil, Options{}, write(t, "a.tgz", slices.Concat(filetest.Gzip(a), filetest.Gzip(b))))
	check(t, contents{"i.tar/a/1.jpg": "1", "i.tar/b/2.jpg": "22"}, nil, Options{}, write(t, "a.tar", pack(t, contents{"i.tar": string(both)})))
	check(t, contents{"i.tar/a/1.jpg": "1", "i.tar/b/2.jpg": "22"}, nil, Options{}, write(t, "a.tgz", filetest.Gzip(pack(t, contents{"i.tar": string(both)}))))

	tail := slices.Concat(a, []byte(strings.Repeat("junk", 300)))
	left := skips{"": "1200 bytes behind the end of the archive that are no tar (image)"}
	check(t, contents{"a/1.jpg": "1"}, left, Options{}, write(t, "a.tar", tail))
	check(t, contents{"a/1.jpg": "1"}, left, Options{}, write(t, "a.tgz", filetest.Gzip(tail)))

	hole := slices.Concat(a, make([]byte, maxGap+tarBlock), b)
	if err := refused(t, write(t, "a.tar", hole), "a/1.jpg", "a hole"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v is not ErrCorrupt", err)
	}
	check(t, contents{"a/1.jpg": "1"}, skips{"a/1.jpg": twice}, Options{}, write(t, "a.tar", slices.Concat(a, a)))
}

func TestTarLinks(t *testing.T) {
	files := contents{"n1/a.jpg": "a", "n2/b.jpg": "b"}
	headers := []tar.Header{
		{Name: "n1/early.jpg", Typeflag: tar.TypeSymlink, Linkname: "../n2/b.jpg"},
		{Name: "n1/a.jpg"}, {Name: "n2/b.jpg"},
		{Name: "n1/hard.jpg", Typeflag: tar.TypeLink, Linkname: "./n2/b.jpg"},
		{Name: "n1/chain.jpg", Typeflag: tar.TypeSymlink, Linkname: "early.jpg"},
		{Name: "n1/dead.jpg", Typeflag: tar.TypeSymlink, Linkname: "none.jpg"},
		{Name: "n1/out.jpg", Typeflag: tar.TypeSymlink, Linkname: "../../etc/passwd"},
		{Name: "n1/abs.jpg", Typeflag: tar.TypeSymlink, Linkname: "/n2/b.jpg"},
		{Name: "n1/x.jpg", Typeflag: tar.TypeSymlink, Linkname: "y.jpg"},
		{Name: "n1/y.jpg", Typeflag: tar.TypeSymlink, Linkname: "x.jpg"},
		{Name: "n1/up", Typeflag: tar.TypeSymlink, Linkname: ".."},
		{Name: "n3", Typeflag: tar.TypeSymlink, Linkname: "n2"},
		{Name: "n4", Typeflag: tar.TypeSymlink, Linkname: "n3"},
		{Name: "n2/more", Typeflag: tar.TypeSymlink, Linkname: "../n5"},
		{Name: "n5/c.jpg", Typeflag: tar.TypeSymlink, Linkname: "../n4/b.jpg"},
		{Name: "n1/fifo.jpg", Typeflag: tar.TypeFifo}, {Name: "null", Typeflag: tar.TypeChar},
		{Name: "../n6.jpg", Typeflag: tar.TypeSymlink, Linkname: "b"},
		{Name: "n1/", Typeflag: tar.TypeDir},
	}
	want := contents{
		"n1/a.jpg": "a", "n2/b.jpg": "b", "n1/early.jpg": "b", "n1/hard.jpg": "b", "n1/chain.jpg": "b", "n3/b.jpg": "b", "n4/b.jpg": "b",
		"n2/more/c.jpg": "b", "n3/more/c.jpg": "b", "n4/more/c.jpg": "b", "n5/c.jpg": "b",
	}
	left := skips{
		"n1/dead.jpg": "a link to n1/none.jpg, which is not there (image)",
		"n1/out.jpg":  "a link out of the archive, to ../../etc/passwd (image)", "n1/abs.jpg": "a link out of the archive, to /n2/b.jpg (image)",
		"n1/x.jpg": "a link that leads to itself" + " (image)", "n1/y.jpg": "a link that leads to itself" + " (image)",
		"n1/up": "a link to a directory that it is in", "n1/fifo.jpg": "a FIFO (image)", "null": "a device",
		"../n6.jpg": "its name leads out of the archive (image)",
	}
	b := tarOf(t, headers, files)
	check(t, want, left, Options{}, write(t, "a.tar", b))
	check(t, want, left, Options{}, write(t, "a.tar.gz", filetest.Gzip(b)))

	within := func(prefix string) (contents, skips) {
		c, s := contents{}, skips{}
		for name, v := range want {
			c[prefix+name] = v
		}
		for name, v := range left {
			s[prefix+name] = strings.Replace(v, "to n1/none.jpg", "to "+prefix+"n1/none.jpg", 1)
		}
		return c, s
	}
	want2, left2 := within("in.tar/")
	outer := pack(t, contents{"in.tar": string(b)})
	check(t, want2, left2, Options{}, write(t, "a.tar", outer))
	check(t, want2, left2, Options{Deep: true}, write(t, "a.tar", outer))
	check(t, want2, left2, Options{}, write(t, "a.tgz", filetest.Gzip(outer)))
}

func TestTruncatedTar(t *testing.T) {
	b := pack(t, contents{"n1/a.jpg": "a", "n1/b.jpg": strings.Repeat("b", 3000)})
	check(t, contents{"n1/a.jpg": "a"}, skips{"": noEndMark}, Options{}, write(t, "a.tar", b[:tarBlock+100]))
	check(t, contents{"n1/a.jpg": "a"}, skips{"": noEndMark}, Options{}, write(t, "a.tgz", filetest.Gzip(b[:2*tarBlock])))
	for _, cut := range []int{2*tarBlock + 10, 3*tarBlock + 1, 3*tarBlock + 2900} {
		err := refused(t, write(t, "a.tar", b[:cut]), "n1/")
		if cut > 2*tarBlock {
			err = errors.Join(err, refused(t, write(t, "a.tgz", filetest.Gzip(b[:cut])), "a.tgz"))
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v is not ErrCorrupt", cut, err)
		}
	}
	z := filetest.Gzip(b)
	for _, cut := range []int{len(z) - 1, len(z) - 8, len(z) / 2, 12} {
		refused(t, write(t, "a.tar.gz", z[:cut]), "a.tar.gz")
	}
	z[len(z)-6] ^= 1 // of the checksum, behind the end of the tar
	refused(t, write(t, "a.tar.gz", z), "gzip")
}

// TestTarCutBehindAnExtendedHeader cuts tars between what is said of a member ahead of it,
// in PAX's form or in GNU's, and the member.
func TestTarCutBehindAnExtendedHeader(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"pax":              {Name: "n1/é.jpg", Format: tar.FormatPAX},
		"gnu":              {Name: "n1/" + strings.Repeat("x", 200) + ".jpg", Format: tar.FormatGNU},
		"a block of zeros": {Name: "n1/" + strings.Repeat("x", 505) + ".jpg", Format: tar.FormatGNU}, // the name's end
		"two blocks":       {Name: "n1/" + strings.Repeat("é", 200) + ".jpg", Format: tar.FormatPAX, PAXRecords: map[string]string{"comment": strings.Repeat("c", 600)}},
	} {
		files := contents{"n1/a.jpg": "a", h.Name: "b"}
		b := tarOf(t, []tar.Header{{Name: "n1/a.jpg"}, h}, files)
		check(t, files, nil, Options{}, write(t, "a.tar", b))
		member := len(b) - 4*tarBlock // behind its header: a block of its own, and two at the end
		cut := b[:member]
		marked := slices.Concat(cut, make([]byte, 2*tarBlock))
		for form, b := range map[string][]byte{"cut": cut, "ended": marked, "cut in the padding": cut[:member-1], "within": pack(t, contents{"in.tar": string(cut)})} {
			for _, path := range []string{write(t, "a.tar", b), write(t, "a.tar.gz", filetest.Gzip(b))} {
				if err := refused(t, path, "extended header"); !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s, %s: %v is not ErrCorrupt", name, form, err)
				}
			}
			if _, _, err := openTest(t, Options{Stdin: bytes.NewReader(b)}, "-"); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, %s, from a pipe: %v is not ErrCorrupt", name, form, err)
			}
		}
	}
}

// TestDoubtNamesTheArchive wants to be told which of several archives may have been cut off.
func TestDoubtNamesTheArchive(t *testing.T) {
	whole := pack(t, classes)
	outer := pack(t, contents{"in.tar": string(whole[:len(whole)-2*tarBlock])})
	dir := folderOf(t, contents{"w.tar": string(whole), "x.tar": string(whole[:len(whole)-2*tarBlock]), "y.tar": string(outer), "z.tar": string(whole) + strings.Repeat("z", 2000)})
	var got []string
	s, err := Open(t.Context(), []string{dir}, Options{Deep: true, OnSkip: func(k Skip) {
		got = append(got, fmt.Sprintf("%s %v %s", strings.TrimPrefix(k.For(), dir), k.Doubt(), k.Reason))
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := []string{"/x.tar true " + noEndMark, "/y.tar/in.tar true " + noEndMark, "/z.tar false 2000 bytes behind the end of the archive that are no tar"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTarIsJunkAware(t *testing.T) {
	files := contents{"n1/a.jpg": "a", "n1/._a.jpg": "macOS", "__MACOSX/n1/a.jpg": "m", ".DS_Store": "x", "./n2/b.jpg": "b", "/n3/c.jpg": "c"}
	want := contents{"n1/a.jpg": "a", "n2/b.jpg": "b", "n3/c.jpg": "c"}
	left := skips{"n1/._a.jpg": JunkReason, "__MACOSX/n1/a.jpg": JunkReason, ".DS_Store": JunkReason}
	check(t, want, left, Options{}, write(t, "a.tar", pack(t, files)))
	check(t, want, left, Options{}, write(t, "a.zip", zipOf(t, files, nil)))
	delete(files, "./n2/b.jpg")
	delete(files, "/n3/c.jpg")
	left["__MACOSX"] = JunkReason
	delete(left, "__MACOSX/n1/a.jpg")
	check(t, contents{"n1/a.jpg": "a"}, left, Options{}, folderOf(t, files))
}

func TestZip(t *testing.T) {
	files := contents{"n1/a.jpg": "a", `n2\b.jpg`: "b", `n3\deep\c.jpg`: "c"}
	want := contents{"n1/a.jpg": "a", "n2/b.jpg": "b", "n3/deep/c.jpg": "c"}
	plain := zipOf(t, files, nil)
	check(t, want, nil, Options{}, write(t, "a.zip", plain))
	check(t, want, nil, Options{}, write(t, "a.zip", slices.Concat([]byte("#!/bin/sh\nexit\n"), plain)))
	check(t, contents{}, nil, Options{}, write(t, "empty.zip", zipOf(t, contents{}, nil)))
	refused(t, write(t, "a.zip", plain[:len(plain)-30]), "not a whole zip")

	links := zipOf(t, contents{"n1/a.jpg": "a", "n2": "n1", "n3/x.jpg": "../n2/a.jpg", "n3/dead.jpg": "b", "n3/out.jpg": "../../b"}, func(h *zip.FileHeader) {
		h.SetMode(0o644)
		if h.Name != "n1/a.jpg" {
			h.SetMode(os.ModeSymlink | 0o777)
		}
	})
	check(t, contents{"n1/a.jpg": "a", "n2/a.jpg": "a", "n3/x.jpg": "a"}, skips{
		"n3/dead.jpg": "a link to n3/b, which is not there (image)", "n3/out.jpg": "a link out of the archive, to ../../b (image)",
	}, Options{}, write(t, "l.zip", links))
}

func TestZipNames(t *testing.T) {
	files := contents{"caf\xe9.jpg": "utf", "\x82t\x82.jpg": "cp437"} // é is 0x82 in code page 437
	b := zipOf(t, files, func(h *zip.FileHeader) { h.NonUTF8 = true })
	check(t, contents{"cafΘ.jpg": "utf", "été.jpg": "cp437"}, nil, Options{}, write(t, "a.zip", b))
	b = zipOf(t, contents{"été.jpg": "x"}, func(h *zip.FileHeader) { h.NonUTF8 = true }) // as Info-ZIP and macOS do
	check(t, contents{"été.jpg": "x"}, nil, Options{}, write(t, "a.zip", b))
}

func TestZipThatCannotBeRead(t *testing.T) {
	b := zipOf(t, contents{"a.jpg": "aaaa", "b.txt": "bbbb", "c.jpg": "c"}, nil)
	directory := bytes.Index(b, []byte("PK\x01\x02"))
	b[directory+8] |= 1 // the first member is encrypted
	next := directory + 46 + len("a.jpg")
	b[next+10] = 98 // the second packed by PPMd
	check(t, contents{"c.jpg": "c"}, skips{"a.jpg": "encrypted (image)", "b.txt": "compressed by PPMd, which is not read"}, Options{}, write(t, "a.zip", b))

	b = zipOf(t, contents{"a.jpg": strings.Repeat("a", 100)}, nil)
	at := bytes.Index(b, []byte("PK\x01\x02"))
	b[at+16] ^= 1 // the checksum
	err := refused(t, write(t, "a.zip", b), "a.jpg", "checksum")
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v is not ErrCorrupt", err)
	}
}

func TestFolderLinks(t *testing.T) {
	outside := folderOf(t, contents{"n1/a.jpg": "a", "n1/b.jpg": "b", "secret": "s", "blobs/" + strings.Repeat("ab", 32): "blob"})
	root := folderOf(t, contents{"n2/c.jpg": "c", "labels.txt": "l"})
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(root, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(outside, "n1"), "n1")
	link("n2", "n3")
	link("../n2/c.jpg", "n2/d.jpg")
	link(filepath.Join(outside, "n1/a.jpg"), "n2/e.jpg")
	link(filepath.Join(outside, "secret"), "n2/f.jpg")
	link(filepath.Join(outside, "blobs", strings.Repeat("ab", 32)), "n2/g.jpg")
	link("../labels.txt", "n2/labels.txt")
	link("gone.jpg", "n2/gone.jpg")
	link("gone", "n9")
	link("..", "n2/up")
	link(filepath.Dir(root), "n2/above")
	link("/", "n2/all")
	link("/dev/zero", "n2/zero.jpg")
	want := contents{
		"labels.txt": "l", "n1/a.jpg": "a", "n1/b.jpg": "b", "n2/c.jpg": "c", "n2/d.jpg": "c", "n2/e.jpg": "a", "n2/g.jpg": "blob", "n2/labels.txt": "l",
		"n3/c.jpg": "c", "n3/d.jpg": "c", "n3/e.jpg": "a", "n3/g.jpg": "blob", "n3/labels.txt": "l",
	}
	left := skips{"n9": "a link that leads nowhere (image)"}
	for _, n := range []string{"n2/", "n3/"} {
		left[n+"f.jpg"] = "a link out of the folder to what is not called as an image is (image)"
		left[n+"gone.jpg"] = "a link that leads nowhere (image)"
		left[n+"zero.jpg"] = "not a regular file: a device (image)"
		for _, up := range []string{"up", "above", "all"} {
			left[n+up] = "a link to a directory that it is in"
		}
	}
	check(t, want, left, Options{FollowLinks: true}, root)
	linked := filepath.Join(t.TempDir(), "root")
	if err := os.Symlink(root, linked); err != nil {
		t.Fatal(err)
	}
	check(t, want, left, Options{FollowLinks: true}, linked)

	const out = "a link out of the folder, which --follow-links follows (image)"
	for _, name := range []string{"n1/a.jpg", "n1/b.jpg", "n2/e.jpg", "n2/g.jpg", "n3/e.jpg", "n3/g.jpg"} {
		delete(want, name)
	}
	left["n1"] = out
	for _, n := range []string{"n2/", "n3/"} {
		left[n+"e.jpg"], left[n+"f.jpg"], left[n+"g.jpg"] = out, out, out
	}
	check(t, want, left, Options{}, root)
	check(t, want, left, Options{}, linked)
}

func TestArchivesInFolder(t *testing.T) {
	root := folderOf(t, contents{"n1.tar": string(pack(t, contents{"a.jpg": "a"})), "sub/b.tar.gz": string(filetest.Gzip(pack(t, contents{"b.jpg": "b"}))), "c.jpg": "c"})
	s, err := Open(t.Context(), []string{root}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []Info
	for _, i := range s.Infos() {
		i.Size, i.Modified, i.Path, i.Given = 0, 0, strings.TrimPrefix(i.Path, root), strings.TrimPrefix(i.Given, root)
		got = append(got, i)
	}
	want := []Info{{Kind: Folder}, {Path: "/n1.tar", Within: "n1.tar", Kind: Tar}, {Path: "/sub/b.tar.gz", Within: "sub/b.tar.gz", Kind: Tar, Sequential: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("infos (-want +got):\n%s", diff)
	}
	all, err := readAll(t, s)
	if diff := cmp.Diff(contents{"c.jpg": "c", "a.jpg": "a", "b.jpg": "b"}, all); diff != "" || err != nil {
		t.Errorf("%v, entries (-want +got):\n%s", err, diff)
	}
}

// TestColumnsWithoutImagesInFolder wants Hugging Face's metadata.parquet to be
// one of the folder's files.
func TestColumnsWithoutImagesInFolder(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "columns", "refused-no-image.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	files := contents{"a.jpg": "a", "metadata.parquet": string(b), "z.jpg": "z"}
	check(t, files, nil, Options{}, folderOf(t, files))
}

const twice = "a file whose name was there before in its archive (image)"

// TestSameNameTwice: of files of one name the first is read and the others are
// told, however the archive is packed.
func TestSameNameTwice(t *testing.T) {
	plain := tarOf(t, []tar.Header{{Name: "a/b.jpg"}, {Name: "./a//b.jpg"}}, contents{"a/b.jpg": "1", "./a//b.jpg": "2"})
	same := tarOf(t, []tar.Header{{Name: "a/b.jpg"}, {Name: "a/b.jpg"}}, contents{"a/b.jpg": "1"})
	linked := tarOf(t, []tar.Header{{Name: "b.jpg"}, {Name: "c.jpg"}, {Name: "b.jpg", Typeflag: tar.TypeLink, Linkname: "c.jpg"}}, contents{"b.jpg": "1", "c.jpg": "2"})
	for _, is := range []struct {
		b    []byte
		want contents
		name string
	}{
		{plain, contents{"a/b.jpg": "1"}, "a/b.jpg"},
		{same, contents{"a/b.jpg": "1"}, "a/b.jpg"},
		{slices.Concat(plain, same), contents{"a/b.jpg": "1"}, "a/b.jpg"},
		{linked, contents{"b.jpg": "1", "c.jpg": "2"}, "b.jpg"},
	} {
		inner := contents{}
		for name, b := range is.want {
			inner["in.tar/"+name] = b
		}
		check(t, is.want, skips{is.name: twice}, Options{}, write(t, "a.tar", is.b))
		check(t, is.want, skips{is.name: twice}, Options{}, write(t, "a.tgz", filetest.Gzip(is.b)))
		for _, deep := range []bool{false, true} {
			check(t, inner, skips{"in.tar/" + is.name: twice}, Options{Deep: deep}, write(t, "in.tar", pack(t, contents{"in.tar": string(is.b)})))
		}
		check(t, inner, skips{"in.tar/" + is.name: twice}, Options{}, write(t, "in.tgz", filetest.Gzip(pack(t, contents{"in.tar": string(is.b)}))))
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range []string{"a/b.jpg", `a\b.jpg`} {
		w, err := z.Create(name)
		if _, werr := io.WriteString(w, name); errors.Join(err, werr, z.Flush()) != nil {
			t.Fatal(err, werr)
		}
	}
	z.Close()
	check(t, contents{"a/b.jpg": "a/b.jpg"}, skips{"a/b.jpg": twice}, Options{}, write(t, "a.zip", out.Bytes()))
}

func TestImagesByTheirPaths(t *testing.T) {
	root := folderOf(t, contents{"a.jpg": "a", "b.JPEG": "b"})
	a, b := filepath.Join(root, "a.jpg"), filepath.Join(root, "b.JPEG")
	check(t, contents{filepath.ToSlash(a): "a", filepath.ToSlash(b): "b"}, nil, Options{}, b, a)
	for _, head := range []string{"\xff\xd8\xff\xe0", "\x89PNG\r\n\x1a\n", "RIFF\x04\x00\x00\x00WEBPVP8 "} {
		for _, name := range []string{"no ending", "photo.txt", "x.part"} { // its bytes say what it is
			p := write(t, name, []byte(head))
			check(t, contents{filepath.ToSlash(p): head}, nil, Options{}, p)
		}
	}
	refused(t, write(t, "a.zip", []byte("\xff\xd8\xff\xe0")))
	if err := refused(t, write(t, "a.txt.exe", []byte("MZ"))); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v is not ErrUnknown", err)
	}
	refused(t, filepath.Join(root, "none.jpg"), "no such file")
	refused(t, write(t, "a.7z", []byte("7z\xbc\xaf\x27\x1c\x00\x04")), "a 7z archive")
	refused(t, write(t, "a.tar.Z", []byte("\x1f\x9d\x90a")), "compress (.Z)")
	refused(t, write(t, "a.tar.lzma", []byte("]\x00\x00\x80\x00\xff\xff")), "LZMA")
}

func TestManyArchivesFewOpenFiles(t *testing.T) {
	files := contents{}
	want := contents{}
	for i := range 3 * mostFiles {
		name := fmt.Sprintf("%03d", i)
		files[name+".tar"], want[name+".jpg"] = string(pack(t, contents{name + ".jpg": name})), name
	}
	check(t, want, nil, Options{}, folderOf(t, files))
}

func TestChangedArchive(t *testing.T) {
	p := write(t, "a.tar", pack(t, contents{"a.jpg": "a"}))
	s, err := Open(t.Context(), []string{p}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Unchanged(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(p, pack(t, contents{"b.jpg": "b"}), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(p, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Unchanged(); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("a changed archive: %v", err)
	}
}

func TestStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := write(t, "a.tar", pack(t, classes))
	s, err := Open(ctx, []string{p, folderOf(t, classes)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stop := errors.New("stop")
	if err := s.Each(ctx, s.Entries(), func(Entry, []byte, error) error { return stop }); err != stop {
		t.Errorf("Each gives %v", err)
	}
	cancel()
	if err := s.Each(ctx, s.Entries(), func(Entry, []byte, error) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Each after a stop gives %v", err)
	}
	for _, p := range []string{p, write(t, "a.zip", zipOf(t, classes, nil)), folderOf(t, classes)} {
		if _, err := Open(ctx, []string{p}, Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Open of %s after a stop gives %v", path.Base(p), err)
		}
	}
}
