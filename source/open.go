package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/inorder"
	"github.com/synshard/synshard/source/columns"
	"github.com/synshard/synshard/source/entry"
	"github.com/synshard/synshard/source/folder"
	"github.com/synshard/synshard/source/list"
	"github.com/synshard/synshard/source/tarfile"
	"github.com/synshard/synshard/source/zipfile"
	"github.com/synshard/synshard/storage"
)

// ErrUnknown says that a file is no container of a kind that is known, and no
// image by its name or its bytes.
var ErrUnknown = errors.New("neither a tar, a zip, Parquet, Arrow, a list of paths nor an image")

// Open opens containers and lists what is in them. What each path is, its bytes
// tell: a folder, a tar (also compressed by gzip, bzip2, xz or zstd), a zip,
// Parquet, an Arrow file or stream, a list of paths with labels (CSV, TSV,
// JSONL); an image, by its name too; "-" is Options.Stdin. Archives and files of
// columns in a folder are opened too, as containers of their own. A file that is
// none of these is ErrUnknown, a damaged one ErrCorrupt. Close must be called.
func Open(ctx context.Context, paths []string, o Options) (*Set, error) {
	return open(ctx, "", paths, o)
}

// OpenAs is Open for paths that must be of one kind. A List may be any text
// then, also of paths alone.
func OpenAs(ctx context.Context, kind Kind, paths []string, o Options) (*Set, error) {
	return open(ctx, kind, paths, o)
}

func open(ctx context.Context, kind Kind, paths []string, o Options) (*Set, error) {
	s := &Set{options: o, files: newOpenArchives(), unpacking: newUnpacking(), remote: remote{ctx: ctx}}
	if err := s.openAll(ctx, kind, paths); err != nil {
		s.Close()
		return nil, err
	}
	s.apart()
	return s, nil
}

// openAll opens paths in their order, and files that stand one behind the other
// at the same time.
func (s *Set) openAll(ctx context.Context, kind Kind, paths []string) error {
	var files []Info
	for _, p := range paths {
		var info os.FileInfo
		var err error
		if storage.IsURL(p) {
			if err := s.openFiles(ctx, kind, files); err != nil {
				return err
			}
			files = nil
			if err := s.openURL(ctx, kind, p); err != nil {
				return err
			}
			continue
		}
		if p != "-" {
			if info, err = os.Stat(p); err != nil {
				return err
			}
			if !info.IsDir() {
				files = append(files, Info{Path: p, Given: p})
				continue
			}
		}
		if err := s.openFiles(ctx, kind, files); err != nil {
			return err
		}
		files = nil
		switch {
		case info == nil:
			err = s.openPipe(kind)
		case kind != "" && kind != Folder:
			err = fmt.Errorf("%s: a folder and no %s", p, kind)
		default:
			err = s.openFolder(ctx, p)
		}
		if err != nil {
			return err
		}
	}
	return s.openFiles(ctx, kind, files)
}

// opened is a container before it has its place in the Set.
type opened struct {
	info      Info
	container container  // nil: an image, given by its path
	far       list.Found // that image, where it lies elsewhere
	entries   []Entry
	home      *home
	plain     bool // it is a file of columns without images, in a folder: one of the folder's files
}

// home is a container's place in its Set, once it has one. What the container
// tells before goes out then, so that it is told in the order of the
// containers.
type home struct {
	set    *Set
	number int32
	joined bool
	early  []Skip
}

func (h *home) skip(name, reason string, image bool) {
	skip := Skip{Container: h.number, Name: name, Reason: reason, Image: image}
	if !h.joined {
		h.early = append(h.early, skip)
		return
	}
	if name == "" || strings.HasSuffix(name, "/") {
		skip.Archive = strings.TrimSuffix(h.set.infos[h.number].Path+"/"+name, "/")
	}
	h.set.skipping.Lock()
	defer h.set.skipping.Unlock()
	if h.set.options.OnSkip != nil {
		h.set.options.OnSkip(skip)
	}
}

// add gives a container its place.
func (s *Set) add(o *opened) {
	if o.container == nil {
		s.addImage(o.info, o.far)
		return
	}
	h := o.home
	h.number, h.joined = int32(len(s.infos)), true
	for i := range o.entries {
		o.entries[i].Container = h.number
	}
	s.infos, s.containers, s.entries = append(s.infos, o.info), append(s.containers, o.container), append(s.entries, o.entries...)
	if c, ok := o.container.(*columns.Columns); ok {
		s.closers = append(s.closers, c.Close)
	}
	for _, e := range h.early {
		h.skip(e.Name, e.Reason, e.Image)
	}
	h.early = nil
}

// addImage adds an image to the container of the images before it, or begins
// one.
func (s *Set) addImage(info Info, far list.Found) {
	if last := len(s.infos) - 1; last < 0 || s.infos[last].Kind != Files {
		s.add(&opened{info: Info{Path: info.Path, Given: info.Path, Kind: Files}, container: &list.List{}, home: &home{set: s}})
	}
	last := len(s.infos) - 1
	e := Entry{Name: filepath.ToSlash(info.Path), Size: info.Size, Modified: info.Modified}
	if far != nil {
		e = s.containers[last].(*list.List).Add(far)
	}
	e.Container = int32(last)
	s.entries = append(s.entries, e)
}

// opening is how many files are opened at a time: listing one waits for each of
// its headers, where a file server has it.
const opening = 8

// openFiles opens files and adds them in their order.
func (s *Set) openFiles(ctx context.Context, kind Kind, files []Info) error {
	found, err := s.openEach(ctx, kind, files)
	for _, o := range found {
		s.add(o)
	}
	return err
}

// openEach opens files, several at a time, and adds none.
func (s *Set) openEach(ctx context.Context, kind Kind, files []Info) ([]*opened, error) {
	found := make([]*opened, len(files))
	err := inorder.Each(ctx, opening, len(files), func(ctx context.Context, i int) (err error) {
		found[i], err = s.openFile(ctx, kind, files[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// containerNames are the endings of names of what is opened as a container of
// its own where a folder has it.
var containerNames = []string{
	".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst",
	".zip", ".parquet", ".pq", ".arrow", ".arrows", ".feather", ".ipc",
}

func containerName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(containerNames, func(end string) bool { return strings.HasSuffix(name, end) })
}

// openFolder opens a folder, and the containers in it.
func (s *Set) openFolder(ctx context.Context, p string) error {
	h := &home{set: s}
	d := folder.New(p, s.options.FollowLinks, h.skip, containerName)
	entries, err := d.List(ctx)
	if err != nil {
		return err
	}
	var within []Info
	entries = slices.DeleteFunc(entries, func(e Entry) bool {
		if containerName(e.Name) {
			within = append(within, Info{Path: filepath.Join(p, filepath.FromSlash(e.Name)), Given: p, Within: e.Name})
			return true
		}
		return false
	})
	found, err := s.openEach(ctx, "", within)
	if err != nil {
		return err
	}
	containers := found[:0]
	for _, o := range found {
		if o.plain {
			entries = append(entries, Entry{Name: o.info.Within, Size: o.info.Size, Modified: o.info.Modified})
		} else {
			containers = append(containers, o)
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	s.add(&opened{info: Info{Path: p, Given: p, Kind: Folder}, container: d, entries: entries, home: h})
	for _, o := range containers {
		s.add(o)
	}
	return nil
}

// openPipe opens standard input, which is a tar.
func (s *Set) openPipe(kind Kind) error {
	if s.options.Stdin == nil {
		return errors.New("standard input is not a source here")
	}
	in := bufio.NewReaderSize(s.options.Stdin, 1<<20)
	head, err := in.Peek(headBytes)
	if err != nil && err != io.EOF {
		return fmt.Errorf("standard input: %w", err)
	}
	if k := kindOfHead(head); k != "" && k != Tar {
		return fmt.Errorf("standard input: %s cannot be read from a pipe: give a file", k)
	}
	if kind != "" && kind != Tar {
		return fmt.Errorf("standard input: only a tar can be read from a pipe, not %s", kind)
	}
	h := &home{set: s}
	s.add(&opened{info: Info{Path: "-", Given: "-", Kind: Tar, Sequential: true}, container: tarfile.NewPipe("standard input", in, h.skip), home: h})
	return nil
}

// headBytes is how much of a file is looked at to tell its kind.
const headBytes = 4096

// openFile opens a file of the kind wanted, or of the kind that its bytes tell.
func (s *Set) openFile(ctx context.Context, kind Kind, info Info) (*opened, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a, err := s.files.add(info.Path)
	if err != nil {
		return nil, err
	}
	return s.openAs(ctx, kind, info, a)
}

// placed is a file that is read in place.
type placed interface {
	entry.File
	modified() int64 // in Unix nanoseconds
}

// openAs opens a file of the kind wanted, or of the kind that its bytes tell.
func (s *Set) openAs(ctx context.Context, kind Kind, info Info, a placed) (*opened, error) {
	info.Size, info.Modified = a.Size(), a.modified()
	head := make([]byte, min(headBytes, a.Size()))
	if _, err := a.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", info.Path, err)
	}
	is := kindOfHead(head)
	if is == "" {
		is = kindOfName(info.Path, head, kind)
	}
	switch {
	case is == "":
		return nil, fmt.Errorf("%s: %s%w", info.Path, foreign(head), ErrUnknown)
	case kind != "" && is != kind:
		return nil, fmt.Errorf("%s: it is %s and not %s", info.Path, is, kind)
	}
	info.Kind = is
	o := &opened{info: info, home: &home{set: s}}
	err := s.openKind(ctx, o, a, tarfile.Compressed(head))
	if errors.Is(err, columns.ErrNoImages) && info.Within != "" {
		o.plain, err = true, nil
	}
	return o, err
}

// openKind opens a file as what it is.
func (s *Set) openKind(ctx context.Context, o *opened, a entry.File, packed bool) (err error) {
	switch o.info.Kind {
	case Tar:
		var f entry.File = a
		switch {
		case packed && s.options.Unpack:
			s.unpackingOne.Lock() // listing reads all of it
			defer s.unpackingOne.Unlock()
			if f, err = s.unpacking.unpack(ctx, a); err != nil {
				return err
			}
		case packed:
			o.info.Sequential = true
			o.container, err = tarfile.NewStream(a, o.home.skip)
			return err
		}
		t := tarfile.New(f, o.home.skip)
		o.container = t
		o.entries, err = t.List(ctx, s.options.Deep)
	case Zip:
		z := zipfile.New(a, o.home.skip)
		o.container = z
		o.entries, err = z.List(ctx)
	case List:
		base := filepath.Dir(a.Path())
		if far, ok := a.(archive); ok {
			base = far.url
		}
		l := list.New(a, base, &s.remote)
		o.container = l
		var t *list.Table
		if o.entries, t, err = l.Entries(ctx); err == nil {
			o.info.Columns, o.info.Splits, o.info.Others = t.Columns, t.Splits, t.Others
			o.info.Lines, o.info.Comments = t.Lines, t.Comments
		}
	case Parquet, Arrow:
		var c *columns.Columns
		if c, o.entries, o.info.Columns, err = columns.Open(ctx, a, o.home.skip); err == nil {
			o.container, o.info.Unread = c, c.Unread()
		}
	}
	if o.info.Kind != List {
		o.info.Columns, o.info.Splits = entry.CutSplits(o.info.Columns)
	}
	if err == nil {
		o.label()
	}
	return err
}

// label takes the entries' labels from the best of the columns.
func (o *opened) label() {
	best := entry.Best(o.info.Columns)
	if best < 0 {
		return
	}
	c := &o.info.Columns[best]
	o.info.LabelColumn, o.info.ClassNames = c.Name, c.ClassNames
	for i := range o.entries {
		o.entries[i].Label = c.Values[c.Rows[i]]
	}
}

// OpenPaths opens the images whose paths r lists, a line each, or each ended by
// a zero byte with zero set. Paths are relative to the working directory, the
// order is the list's, and nothing is dropped but empty lines.
func OpenPaths(ctx context.Context, r io.Reader, zero bool, o Options) (*Set, error) {
	paths, err := list.ReadPaths(ctx, r, zero)
	if err != nil {
		return nil, err
	}
	s := &Set{options: o, files: newOpenArchives(), unpacking: newUnpacking(), remote: remote{ctx: ctx}}
	l, entries, err := list.Paths(ctx, paths, &s.remote)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.add(&opened{info: Info{Path: "-", Given: "-", Kind: List}, container: l, entries: entries, home: &home{set: s}})
	s.apart()
	return s, nil
}

// kindOfHead tells a container's kind by the bytes at its beginning; "": they
// are none that is known.
func kindOfHead(head []byte) Kind {
	switch {
	case columns.IsParquet(head):
		return Parquet
	case columns.IsArrow(head):
		return Arrow
	case zipfile.IsZip(head):
		return Zip
	case tarfile.Compressed(head), tarfile.IsTar(head):
		return Tar
	}
	return ""
}

// foreign names what is known by its first bytes and not read.
func foreign(head []byte) string {
	for magic, name := range map[string]string{
		"7z\xbc\xaf\x27\x1c": "a 7z archive, to be unpacked first", "Rar!\x1a\x07": "a RAR archive, to be unpacked first",
		"\x04\x22\x4d\x18": "compressed by LZ4, to be unpacked first", "\x1f\x9d": "compressed by compress (.Z), to be unpacked first",
		"]\x00\x00": "compressed by LZMA of before xz, to be unpacked first", "\x89HDF\r\n\x1a\n": "an HDF5 file", "\x93NUMPY": "an array of NumPy's",
		"SQLite format 3\x00": "an SQLite database", "[": "one document of JSON, and a list has an object a line (jq -c .[] makes it so)",
	} {
		if strings.HasPrefix(string(head), magic) {
			return "it is " + name + ": "
		}
	}
	return ""
}

// kindOfName tells what the beginning of a container does not: an image, by its name,
// whatever its bytes are, or by its bytes, whatever it is called, and a zip behind other
// bytes. Any text is a list where a list is wanted.
func kindOfName(path string, head []byte, wanted Kind) Kind {
	switch {
	case wanted == List && list.IsText(head):
		return List
	case ImageName(path):
		return Files
	case strings.EqualFold(filepath.Ext(path), ".zip"), wanted == Zip:
		return Zip
	case ImageBytes(head):
		return Files
	case list.LooksLike(path, head):
		return List
	}
	return ""
}
