package infer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/synshard/synshard/shard"
)

// tarFile is the images of a tar, which is read in place, and of the tars in
// it, as ILSVRC2012_img_train.tar has them.
type tarFile struct {
	file    *os.File
	name    string
	members []member
}

type member struct {
	name, synset string
	at, size     int64
}

func openTar(ctx context.Context, p string, o *OpenOptions) (source, error) {
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	t := &tarFile{file: f, name: p}
	info, err := f.Stat()
	if err == nil {
		err = t.index(ctx, 0, info.Size(), "", o)
	}
	if err == nil && len(t.members) == 0 {
		err = errors.New("no images in it")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

// index lists the members of the tar at [at, at+size) of the file. prefix is
// the names of the tars around it.
func (t *tarFile) index(ctx context.Context, at, size int64, prefix string, o *OpenOptions) error {
	section := io.NewSectionReader(t.file, at, size)
	r := tar.NewReader(section)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = fmt.Errorf("%w: %w", shard.ErrCorrupt, err)
			}
			return fmt.Errorf("%safter %d images: %w", prefix, len(t.members), err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		here, err := section.Seek(0, io.SeekCurrent) // the reader reads no further than the header
		if err != nil {
			return err
		}
		name := prefix + path.Clean(h.Name)
		switch {
		case here+h.Size > size:
			return fmt.Errorf("%s: %w: it ends within the member", name, shard.ErrCorrupt)
		case strings.EqualFold(path.Ext(name), ".tar"):
			if err := t.index(ctx, at+here, h.Size, name+"/", o); err != nil {
				return err
			}
		case isImage(name):
			t.members = append(t.members, member{name, o.truth(name), at + here, h.Size})
		default:
			o.ignore(t.name + "/" + name)
		}
	}
}

func (t *tarFile) Len() int            { return len(t.members) }
func (t *tarFile) Path(i int) string   { return t.members[i].name }
func (t *tarFile) Synset(i int) string { return t.members[i].synset }
func (t *tarFile) Close() error        { return t.file.Close() }

func (t *tarFile) Read(i int, buf []byte) ([]byte, error) {
	m := t.members[i]
	if m.size > maxImage {
		return nil, fmt.Errorf("%w: %d bytes", ErrUnreadable, m.size)
	}
	if int64(cap(buf)) < m.size {
		buf = make([]byte, m.size)
	}
	buf = buf[:m.size]
	if _, err := t.file.ReadAt(buf, m.at); err != nil && !(err == io.EOF && m.size == 0) {
		return nil, fmt.Errorf("%s: %s: %w", t.name, m.name, err)
	}
	return buf, nil
}
