package export

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"unicode/utf8"

	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/storage/files"
)

// folder writes files, and leaves alone those that are there with the right
// bytes. No link that lies in the tree is followed.
func (e *exporter) folder(p Split) error {
	to, err := e.out.Tree()
	if err != nil {
		return err
	}
	names := newNamer(p.View, e.tree.choices)
	err = e.each(p.View, 0, p.View.Len(), func(i int, b []byte) error {
		name, err := names.name(i)
		if err != nil {
			return err
		}
		return to.Put(path.Join(p.Name, name), b)
	})
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	if e.mark.Anew {
		if err := e.wantNoOthers(p); err != nil {
			return err
		}
	}
	e.o.Made(p.Name)
	return nil
}

// wantNoOthers wants in the tree of a split no files but its images: where the mark was
// damaged there may have been another export's.
func (e *exporter) wantNoOthers(p Split) error {
	n := 0
	err := e.out.Walk(p.Name, func(_ string, d fs.DirEntry) error {
		if !d.IsDir() && d.Name() != files.Aside {
			n++
		}
		return nil
	})
	if err == nil && n != p.View.Len() {
		err = fmt.Errorf("%w: %s was damaged, and there are %d files of %d images: another export was in it; give another directory",
			shard.ErrCorrupt, markName, n, p.View.Len())
	}
	return err
}

// plainTar writes one tar of a split.
func (e *exporter) plainTar(p Split) error {
	return e.file(p.Name+".tar", func(w io.Writer) error {
		names := newNamer(p.View, e.tree.choices)
		t := tar.NewWriter(w)
		err := e.each(p.View, 0, p.View.Len(), func(i int, b []byte) error {
			name, err := names.name(i)
			if err != nil {
				return err
			}
			return member(t, name, b)
		})
		return cmp.Or(err, t.Close())
	}, p.View, 0, p.View.Len())
}

// member adds a file to a tar, with the same head whenever it is written.
func member(t *tar.Writer, name string, b []byte) error {
	h := &tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644}
	if !utf8.ValidString(name) {
		h.Format = tar.FormatGNU // which takes bytes as they are
	}
	if err := t.WriteHeader(h); err != nil {
		return fmt.Errorf("member %s: %w", name, err)
	}
	_, err := t.Write(b)
	return err
}
