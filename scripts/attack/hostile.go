//go:build linux

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/synshard/synshard/internal/filetest"
)

// Bounds of a command that meets something hostile. Reading what is here takes a moment and some tens of megabytes, so
// that only what hangs or grows without end comes near them, on a busy machine too.
const (
	hostileTime  = 60 * time.Second
	hostileBytes = 2 << 30
)

// specials stand in a file's place and are none.
var specials = []struct {
	name string
	make func(path string) error
}{
	{"a FIFO", func(p string) error { return unix.Mkfifo(p, 0o666) }},
	{"a directory", func(p string) error { return os.Mkdir(p, 0o777) }},
	{"a loop of links", func(p string) error { return os.Symlink(filepath.Base(p), p) }},
	{"a link to nothing", func(p string) error { return os.Symlink("nothing", p) }},
	{"a link to /dev/zero", func(p string) error { return os.Symlink("/dev/zero", p) }},
	{"a link to /dev/full", func(p string) error { return os.Symlink("/dev/full", p) }},
	{"a link to /dev/null", func(p string) error { return os.Symlink("/dev/null", p) }},
	{"a socket", func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o666, 0) }},
}

// special puts what is no file in the place of one that the command trusts. It must refuse, naming it, or do without,
// in bounded time and memory.
func (e *exposure) special(s *scene, r *rand.Rand) (result, error) {
	dir, names, err := e.ready(s)
	defer os.RemoveAll(dir)
	if err != nil || len(names) == 0 {
		return result{}, err
	}
	name, what := names[r.IntN(len(names))], specials[r.IntN(len(specials))]
	path := filepath.Join(dir, name)
	if e.same != nil {
		if b, err := os.ReadFile(path); err != nil {
			return result{}, err
		} else if _, promised := e.same(name, b); !promised {
			return result{}, nil
		}
	}
	if err := os.Remove(path); err != nil {
		return result{}, err
	}
	if err := what.make(path); err != nil {
		return result{}, err
	}
	run := s.command(dir, e.args...)
	run.limit, run.bytes = hostileTime, hostileBytes
	o, err := run.do()
	if err != nil {
		return result{}, err
	}
	return e.judge(dir, damage{names: []string{name}, told: []string{name + ": " + what.name + " in its place"}}, o)
}

// lure is a hostile file, and what is done with it, step by step. No step may crash, hang or grow, write outside of
// d/ and e/, or print control characters.
type lure struct {
	name  string
	files func(r *rand.Rand) []file
	steps [][]string
}

func lures() []lure {
	one := func(name string, b []byte) func(*rand.Rand) []file {
		return func(*rand.Rand) []file { return []file{{name, b}} }
	}
	ingest := func(what string) []string { return []string{"ingest", what, "--out", "d"} }
	onTo := [][]string{{"ls", "d"}, {"classes", "d"}, {"verify", "d"}, {"verify", "d", "--duplicates"},
		{"export", "d", "--to", "folder", "--out", "e/folder"}, {"export", "d", "--to", "tar", "--out", "e/tar"},
		{"export", "d", "--to", "webdataset", "--out", "e/webdataset"}}
	return []lure{
		{"names-in-tar", func(r *rand.Rand) []file { return []file{{"x.tar", tarOf(named(r)...)}} }, append([][]string{ingest("x.tar")}, onTo...)},
		{"names-in-zip", func(r *rand.Rand) []file { return []file{{"x.zip", zipOf(named(r)...)}} }, append([][]string{ingest("x.zip")}, onTo...)},
		{"links-in-tar", one("x.tar", linkTar()), append([][]string{ingest("x.tar")}, onTo...)},
		{"tar-in-tar", one("x.tar", nestedTar(400)), [][]string{ingest("x.tar"), {"infer", "@/model.onnx", "x.tar", "--out", "e/p.ndjson"}}},
		{"gzip-bomb", one("x.tar.gz", filetest.Gzip(make([]byte, 64<<20))), [][]string{ingest("x.tar.gz")}},
		{"zip-bomb", one("x.zip", zipOf(file{"a/0.jpg", make([]byte, 64<<20)}, file{"b/0.jpg", make([]byte, 64<<20)})), [][]string{ingest("x.zip")}},
		{"png-header", one("x.zip", zipOf(file{"a/0.png", hugePNG()}, file{"b/0.png", hugePNG()})), [][]string{ingest("x.zip")}},
		{"pickle-cycle", one("x.pth", torchZip([]byte("\x80\x02}q\x00X\x0a\x00\x00\x00state_dictq\x01h\x00s."))), [][]string{imported("x.pth")}},
		{"pickle-depth", one("x.pth", torchZip([]byte("\x80\x02"+strings.Repeat("]", 1<<20)+strings.Repeat("a", 1<<20-1)+"."))), [][]string{imported("x.pth")}},
		{"pickle-code", one("x.pth", torchZip([]byte("\x80\x02cposix\nsystem\nX\x0c\x00\x00\x00touch canary\x85R."))), [][]string{imported("x.pth")}},
		{"safetensors-depth", one("x.safetensors", safetensors(strings.Repeat("[", 1<<20))), [][]string{{"model", "export", "x.safetensors", "--out", "e/w.onnx"}}},
		{"yaml-depth", one("x.yaml", []byte(strings.Repeat("[", 100_000))), [][]string{{"train", "@/dataset", "--out", "d", "--config", "x.yaml"}}},
		{"yaml-aliases", one("x.yaml", aliases()), [][]string{{"train", "@/dataset", "--out", "d", "--config", "x.yaml"}}},
		{"spec-depth", one("x.json", []byte(strings.Repeat(`{"a":`, 200_000))), [][]string{{"infer", "@/model.onnx", "@/dataset", "--spec", "x.json", "--out", "e/p.csv"}}},
		{"classes-depth", one("x.json", []byte(strings.Repeat("[", 200_000))), [][]string{{"ingest", "@/tree", "--classes", "x.json", "--out", "d"}}},
		{"onnx-depth", one("x.onnx", nestedProto()), [][]string{{"infer", "x.onnx", "@/dataset", "--out", "e/p.csv"}, {"model", "import", "x.onnx", "--out", "e/w.safetensors"}}},
		{"list-traversal", one("x.csv", []byte("path,label\n../in/tree.zip,a\n/etc/passwd,b\n../../../../etc/hostname,c\n")), [][]string{{"ingest", "--list", "x.csv", "--out", "d"}}},
	}
}

func imported(name string) []string {
	return []string{"model", "import", name, "--out", "e/w.safetensors"}
}

// named are images whose classes and names are none that a file should have.
func named(r *rand.Rand) []file {
	odd := []string{"..", ".", "a\x1b[31mred", "new\nline", "back\\slash", "tab\tname", "con", "nul.jpg", "bell\a", "\xff\xfe", "-rf", " ", "~", "$(touch canary)",
		strings.Repeat("long", 60), "c1\u009bm", "rtl\u202etxt", "e\u0301", "'; drop", "../../canary", "/canary", "a/../../../canary", "C:\\canary", "x\x00y", ".aside", ".synshard-export.json"}
	var all []file
	for i := range 12 {
		class, name := odd[r.IntN(len(odd))], odd[r.IntN(len(odd))]
		if i%3 == 0 {
			class = "class" + fmt.Sprint(i)
		}
		all = append(all, file{class + "/" + name, drawn(fmt.Sprint(i))}, file{class + "/image" + fmt.Sprint(i) + ".jpg", drawn(fmt.Sprint("+", i))})
	}
	return all
}

func zipOf(all ...file) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range all {
		to, err := w.Create(f.name)
		if err != nil {
			continue // a name that no zip has
		}
		to.Write(f.data)
	}
	w.Close()
	return out.Bytes()
}

// linkTar has links out of the tree, and members behind them.
func linkTar() []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	b := drawn("a")
	for _, h := range []*tar.Header{
		{Name: "a/0.jpg", Size: int64(len(b))},
		{Name: "b/out", Typeflag: tar.TypeSymlink, Linkname: "../../.."},
		{Name: "b/out/canary", Size: int64(len(b))},
		{Name: "b/passwd.jpg", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "b/hard.jpg", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
		{Name: "b/loop.jpg", Typeflag: tar.TypeSymlink, Linkname: "loop.jpg"},
		{Name: "b/device.jpg", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5},
		{Name: "b/pipe.jpg", Typeflag: tar.TypeFifo},
		{Name: "b/0.jpg", Size: int64(len(b))},
	} {
		h.Mode = 0o644
		if w.WriteHeader(h) == nil && h.Size > 0 {
			w.Write(b)
		}
	}
	w.Close()
	return out.Bytes()
}

func nestedTar(depth int) []byte {
	b := drawn("a")
	name := "a/0.jpg"
	for range depth {
		b = tarOf(file{name, b})
		name = "a.tar"
	}
	return b
}

// hugePNG says that it has 60,000 by 60,000 pixels.
func hugePNG() []byte {
	return []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xea\x60\x00\x00\xea\x60\x08\x02\x00\x00\x00\x00\x00\x00\x00")
}

// torchZip is a .pth with this pickle.
func torchZip(pickle []byte) []byte {
	return zipOf(file{"archive/data.pkl", pickle}, file{"archive/version", []byte("3\n")})
}

func safetensors(head string) []byte {
	n := len(head)
	return append([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), 0, 0, 0, 0}, head...)
}

// aliases double a list thirty times.
func aliases() []byte {
	text := "a0: &a0 [x, x]\n"
	for i := range 30 {
		text += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	return []byte(text)
}

// nestedProto is a graph in an attribute of a node of a graph, many times over.
func nestedProto() []byte {
	var b []byte
	field := func(number byte, inner []byte) []byte {
		head := []byte{number<<3 | 2}
		for n := len(inner); ; n >>= 7 {
			if n < 0x80 {
				head = append(head, byte(n))
				break
			}
			head = append(head, byte(n)|0x80)
		}
		return append(head, inner...)
	}
	for range 5000 { // GraphProto.node, NodeProto.attribute, AttributeProto.g
		b = field(1, field(5, field(6, b)))
	}
	return field(7, b)
}

// try sets a lure and takes the steps.
func (l lure) try(s *scene, r *rand.Rand) (result, error) {
	dir, err := s.dir()
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	for _, f := range append(l.files(r), file{"canary", []byte("whole")}, file{"e/.keep", nil}) {
		if err := put(dir, f); err != nil {
			return result{}, err
		}
	}
	outside := func() (tree, error) {
		t, err := readTree(dir, nil)
		for name := range t {
			if top, _, _ := strings.Cut(name, "/"); slices.Contains([]string{"d", "e"}, top) {
				delete(t, name)
			}
		}
		return t, err
	}
	before, err := outside()
	if err != nil {
		return result{}, err
	}
	res := result{acts: 1}
	for _, args := range l.steps {
		run := s.command(dir, args...)
		run.limit, run.bytes = hostileTime, hostileBytes
		o, err := run.do()
		if err != nil {
			return res, err
		}
		if o.crashed() || o.signal != 0 {
			return res, finding("%s: %v", strings.Join(args, " "), o)
		}
		if o.code != 0 && o.code != 3 && strings.TrimSpace(o.stderr+o.stdout) == "" {
			return res, finding("%s: exit %d without a word", strings.Join(args, " "), o.code)
		}
		if !isText([]byte(o.stdout)) || !isText([]byte(o.stderr)) {
			return res, finding("%s: control characters in what it prints: %q", strings.Join(args, " "), shorten(o.stdout+o.stderr))
		}
		after, err := outside()
		if err != nil {
			return res, err
		}
		if what := before.differences(after); what != "" {
			return res, finding("%s: outside of its output, %s", strings.Join(args, " "), what)
		}
		res.code = o.code
		if o.code != 0 && o.code != 3 {
			break
		}
	}
	if res.code == 0 || res.code == 3 {
		res.right++
	} else {
		res.refused++
	}
	return res, nil
}

// limited runs a job where there is too little: open files, bytes of a file, room or inodes of a file system, or one
// that only reads. It ends right, or with a message and without leavings; with enough, it ends right.
func (j *job) limited(s *scene, r *rand.Rand) (result, error) {
	dir, err := s.dir()
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	kind := shortages[r.IntN(len(shortages))]
	if kind.mount && unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1g") != nil {
		kind = shortages[r.IntN(2)] // not root: file systems are made by nobody else
	}
	if kind.mount {
		defer unix.Unmount(dir, unix.MNT_DETACH)
	}
	if j.prepare != nil {
		if err := j.prepare(s, dir); err != nil {
			return result{}, err
		}
	}
	run := s.command(dir, j.args...)
	told, again, err := kind.begin(&run, dir, r)
	if err != nil {
		return result{}, err
	}
	o, err := run.do()
	if err != nil {
		return result{}, err
	}
	if err := again(); err != nil {
		return result{}, err
	}
	res := result{acts: 1, code: o.code}
	got, err := readTree(dir, j.same)
	if err != nil {
		return res, err
	}
	if o.signal != 0 {
		return res, finding("%s: %v", told, o)
	}
	if err := j.weigh(&res, told, o, got, j.want.differences(got), false); err != nil {
		return res, err
	}
	return res, j.finish(s, dir, fmt.Sprintf("%s (exit %d: %s)", told, o.code, strings.TrimSpace(shorten(o.stderr))))
}

// weigh judges how a job ended that met trouble, told so: right, as it says itself, or refused with a line and
// without leavings, unless they are forgiven. different is what its result has of another.
func (j *job) weigh(res *result, told string, o outcome, got tree, different string, forgiven bool) error {
	switch {
	case o.crashed():
		return finding("%s: %v", told, o)
	case j.ended(o):
		if different != "" && !forgiven {
			return silent("%s: exit %d, but %s", told, o.code, different)
		}
		res.right++
	case strings.TrimSpace(o.stderr) == "":
		return finding("%s: exit %d without a word", told, o.code)
	case len(got.leftovers()) > 0 && !forgiven:
		return finding("%s: exit %d, and left %v", told, o.code, got.leftovers())
	default:
		res.refused++
	}
	return nil
}

// shortage is something that a job has too little of.
type shortage struct {
	mount bool // in a file system of its own, at dir
	// begin has the command meet it, and says what it is, and what ends it.
	begin func(c *run, dir string, r *rand.Rand) (told string, end func() error, err error)
}

// shortages: the first two need no file system.
var shortages = []shortage{
	{false, func(c *run, _ string, r *rand.Rand) (string, func() error, error) {
		n := 8 + r.IntN(56)
		return fmt.Sprintf("%d open files", n), ulimit(c, "-n", n), nil
	}},
	{false, func(c *run, _ string, r *rand.Rand) (string, func() error, error) {
		n := r.IntN(64) // of 512 bytes
		return fmt.Sprintf("files of %d bytes", n*512), ulimit(c, "-f", n), nil
	}},
	{true, func(_ *run, dir string, r *rand.Rand) (string, func() error, error) {
		var stat unix.Statfs_t
		if err := unix.Statfs(dir, &stat); err != nil {
			return "", nil, err
		}
		room := int64(stat.Blocks-stat.Bfree)*stat.Bsize + 4096*(1+r.Int64N(64))
		end, err := remount(dir, 0, fmt.Sprintf("size=%d", room), "size=1g")
		return fmt.Sprintf("room for %d bytes", room), end, err
	}},
	{true, func(_ *run, dir string, r *rand.Rand) (string, func() error, error) {
		var stat unix.Statfs_t
		if err := unix.Statfs(dir, &stat); err != nil {
			return "", nil, err
		}
		n := stat.Files - stat.Ffree + 1 + uint64(r.IntN(30))
		end, err := remount(dir, 0, fmt.Sprintf("nr_inodes=%d", n), "nr_inodes=100000")
		return fmt.Sprintf("%d inodes", n), end, err
	}},
	{true, func(_ *run, dir string, _ *rand.Rand) (string, func() error, error) {
		end, err := remount(dir, unix.MS_RDONLY, "", "")
		return "a file system that only reads", end, err
	}},
}

// ulimit runs the command under a limit of the shell's.
func ulimit(c *run, what string, n int) (end func() error) {
	c.args = append([]string{"/bin/sh", "-c", `ulimit "$0" "$1"; shift; exec "$@"`, what, fmt.Sprint(n)}, c.args...)
	return func() error { return nil }
}

// remount changes the file system at dir, and gives what changes it back.
func remount(dir string, flags uintptr, how, back string) (end func() error, err error) {
	err = unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, how)
	return func() error { return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, back) }, err
}
