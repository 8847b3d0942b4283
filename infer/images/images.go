// Package images is what is predicted over outside a dataset: the images of
// containers (package source), with the truth that their names and columns say
// (source/layout), held to a model's classes.
package images

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/synshard/synshard/internal/utf8name"
	"github.com/synshard/synshard/source"
	"github.com/synshard/synshard/source/layout"
)

// OpenOptions say how images outside a dataset are found and read.
type OpenOptions struct {
	// Classes are the model's, in label order: what names and columns say of an
	// image is held to them.
	Classes []string
	// Split takes the images of one split only, where names or columns tell
	// splits apart; "": all.
	Split string
	// FollowLinks follows links out of folders, see source.Options.
	FollowLinks bool
}

// Images is the images of folders, archives, lists and files of columns: an
// infer.Source. Every image there is has a row, whether its class is known or not.
// Its methods may be called from many goroutines, Close when the others have
// returned.
type Images struct {
	set     *source.Set
	entries []source.Entry // rows, in the order of source.Set.Entries
	truth   []int32        // of each row: a place in names, or -1
	names   []string
	plan    Plan
}

// Plan is what a run over Images does, known before it begins.
type Plan struct {
	Rows   int    `json:"images"`           // images
	Layout string `json:"layout,omitempty"` // how truths were found, for people
	// Known rows have a truth that is a class of the model, Foreign ones a truth that is
	// none; ForeignNames are some of those truths.
	Known        int      `json:"known"`
	Foreign      int      `json:"foreign"`
	ForeignNames []string `json:"foreign_names,omitempty"`
	// Skipped are the files left out, by reason: images first.
	Skipped []layout.Skipped `json:"skipped,omitempty"`
	Notes   []string         `json:"notes,omitempty"` // what is worth knowing, a line each
	// Missing are rows whose files are not there: they will say so.
	Missing *layout.Skipped `json:"missing,omitempty"`
}

// DatasetPlan is the plan of a run over rows of a dataset, which skips nothing.
// classes are the model's.
func DatasetPlan(src interface {
	Len() int
	Synset(i int) string
}, classes []string) Plan {
	p := Plan{Rows: src.Len(), Layout: "a dataset"}
	known, foreign := map[string]bool{}, map[string]bool{}
	for _, c := range classes {
		known[c] = true
	}
	for i := range src.Len() {
		switch name := src.Synset(i); {
		case name == "":
		case known[name]:
			p.Known++
		default:
			p.foreign(name, foreign)
		}
	}
	return p
}

func (p *Plan) foreign(name string, seen map[string]bool) {
	if p.Foreign++; !seen[name] && len(seen) < mostNames {
		seen[name] = true
		p.ForeignNames = append(p.ForeignNames, name)
	}
}

// SkippedImages counts the images among what is left out.
func (p *Plan) SkippedImages() (n int) {
	for _, s := range p.Skipped {
		if s.Images {
			n += s.Count
		}
	}
	return n
}

// Open opens what the paths are: folders, archives, lists, files of columns,
// images. Containers are read as ingest reads them: the same junk, the
// same links, the same meaning of names and columns. What is ambiguous to ingest
// is settled by the model's classes, or leaves images without a truth, and a note
// says so. No image at all is layout.ErrNoImages.
func Open(ctx context.Context, paths []string, o OpenOptions) (*Images, error) {
	return open(o, func(so source.Options) (*source.Set, error) { return source.Open(ctx, paths, so) })
}

// OpenList opens the images whose paths r lists, a line each, or each ended by
// a zero byte with zero set. The order is the list's.
func OpenList(ctx context.Context, r io.Reader, zero bool, o OpenOptions) (*Images, error) {
	return open(o, func(so source.Options) (*source.Set, error) { return source.OpenPaths(ctx, r, zero, so) })
}

func open(o OpenOptions, openSet func(source.Options) (*source.Set, error)) (*Images, error) {
	s := &Images{}
	var left leftOut
	var err error
	s.set, err = openSet(source.Options{Deep: true, Unpack: true, FollowLinks: o.FollowLinks, OnSkip: left.skip})
	if err != nil {
		return nil, err
	}
	if err = s.list(o, &left); err == nil && len(s.entries) == 0 {
		err = layout.WithLeftOut(layout.ErrNoImages, left.sorted())
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	s.plan.Rows, s.plan.Skipped = len(s.entries), left.sorted()
	return s, nil
}

// list makes a row of every image, with the truth that the names give it.
func (s *Images) list(o OpenOptions, left *leftOut) error {
	t, err := s.truths(o)
	if err != nil {
		return err
	}
	s.names, s.plan.Layout, s.plan.Notes = t.names, t.layout, t.notes
	foreign, gone := map[string]bool{}, leftOut{}
	for i := range s.set.Entries() {
		e := &s.set.Entries()[i]
		if t.labels[e] { // it said truths
			continue
		}
		if t.repeats[e] {
			left.add(layout.RepeatReason, e.Name, false)
			continue
		}
		if reason, image, out := s.leftOut(e); out {
			left.add(reason, e.Name, image)
			continue
		}
		place, ok := t.places[e]
		if o.Split != "" && (!ok || place.split != o.Split) {
			left.add("not of the split "+o.Split, e.Name, false)
			continue
		}
		class := int32(-1)
		if ok {
			class = place.class
		}
		switch {
		case class < 0:
		case t.known[class]:
			s.plan.Known++
		default:
			s.plan.foreign(s.names[class], foreign)
		}
		if e.Size < 0 && s.set.Infos()[e.Container].Kind == source.List {
			gone.add("not there", e.Name, true)
		}
		s.entries, s.truth = append(s.entries, *e), append(s.truth, class)
	}
	if len(gone.kinds) > 0 {
		s.plan.Missing = &gone.kinds[0]
	}
	if o.Split != "" && len(s.entries) == 0 {
		return fmt.Errorf("no image is of the split %q", o.Split)
	}
	return nil
}

// leftOut says why an entry is no row, as ingest does: rows of tables are whatever their
// names, and files that were given one by one unless they are known not to be decoded.
func (s *Images) leftOut(e *source.Entry) (reason string, image, out bool) {
	switch {
	case s.columns(e), s.set.Infos()[e.Container].Kind == source.Files && source.UnsupportedImage(e.Name) == "":
		return "", false, false
	}
	return layout.LeftOut(e.Name, func() ([]byte, error) { return s.set.Head(*e) })
}

// columns says whether an entry is a row, whose name may be anything.
func (s *Images) columns(e *source.Entry) bool {
	switch s.set.Infos()[e.Container].Kind {
	case source.Parquet, source.Arrow, source.List:
		return true
	}
	return false
}

// Plan is what a run over the images does.
func (s *Images) Plan() Plan { return s.plan }

// Len is the number of images.
func (s *Images) Len() int { return len(s.entries) }

// Path is an image's name: of a file in a folder with the folder's, of an object its URL, else
// as its container has it. It is valid UTF-8.
func (s *Images) Path(i int) string {
	e := &s.entries[i]
	info := &s.set.Infos()[e.Container]
	name := e.Name
	switch {
	case info.Kind == source.Folder, info.Within != "":
		name = info.At(e.Name)
	case (info.Kind == source.Parquet || info.Kind == source.Arrow) && unnamed(e.Name):
		name = info.Path + "#" + e.Name
	}
	return utf8name.Escape(name)
}

// unnamed says whether a row has no name but its number's.
func unnamed(name string) bool {
	var n int64
	_, err := fmt.Sscanf(name, "row-%d", &n)
	return err == nil && fmt.Sprintf("row-%08d", n) == name
}

// Synset is what names or columns say of an image's class: the model's name for it where it
// is a class of the model; "" where nothing is said.
func (s *Images) Synset(i int) string {
	if t := s.truth[i]; t >= 0 {
		return s.names[t]
	}
	return ""
}

// Read gives an image's bytes, in buf where they fit: see source.Set.Read.
func (s *Images) Read(i int, buf []byte) ([]byte, error) { return s.set.Read(s.entries[i], buf) }

// Identity changes when a container or an image is another, or has another size, time of
// change, truth or place in the order.
func (s *Images) Identity() string {
	h := sha256.New()
	for _, info := range s.set.Infos() {
		fmt.Fprintf(h, "%q %s %d %d\n", info.Path, info.Kind, info.Size, info.Modified)
	}
	for i := range s.entries {
		e := &s.entries[i]
		fmt.Fprintf(h, "%d %q %d %d %q\n", e.Container, e.Name, e.Size, e.Modified, s.Synset(i))
	}
	return fmt.Sprintf("images %x", h.Sum(nil))
}

// Unchanged wants the containers to be what they were when they were opened.
func (s *Images) Unchanged() error { return s.set.Unchanged() }

// Close closes all files.
func (s *Images) Close() error { return s.set.Close() }

// leftOut counts what is left out, by reason.
type leftOut struct{ kinds []layout.Skipped }

const mostNames = 5

// skip counts what a container leaves out by itself.
func (l *leftOut) skip(k source.Skip) { l.add(k.Reason, k.For(), k.Image).Doubt = k.Doubt() }

func (l *leftOut) add(reason, name string, image bool) *layout.Skipped {
	at := slices.IndexFunc(l.kinds, func(s layout.Skipped) bool { return s.Reason == reason && s.Images == image })
	if at < 0 {
		at = len(l.kinds)
		l.kinds = append(l.kinds, layout.Skipped{Reason: reason, Images: image})
	}
	k := &l.kinds[at]
	if k.Count++; len(k.Names) < mostNames {
		k.Names = append(k.Names, utf8name.Escape(name))
	}
	return k
}

// sorted is images first, then by reason.
func (l *leftOut) sorted() []layout.Skipped {
	slices.SortFunc(l.kinds, func(a, b layout.Skipped) int {
		if a.Images != b.Images {
			return map[bool]int{true: -1, false: 1}[a.Images]
		}
		return cmp.Compare(a.Reason, b.Reason)
	})
	return l.kinds
}
