package ingest

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// stream is an archive that can only be read front to back: a pipe, or a
// compressed file.
type stream struct {
	split, path string
	in          io.Reader // instead of path
}

// streamBytes bounds the images that are read and not yet written.
const streamBytes = 256 << 20

func (s stream) open() (io.Reader, io.Closer, error) {
	if s.in != nil {
		r, err := unzipped(s.in)
		return r, io.NopCloser(s.in), err
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, nil, err
	}
	r, err := unzipped(f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return r, f, nil
}

// walk calls f with every image and the class it is in: of a tar of one tar a
// class, or of a tar of one directory a class. Flat splits have no classes.
// With names, contents are passed over and r is nil.
func (s stream) walk(ctx context.Context, f func(class string, h *tar.Header, r io.Reader) error) error {
	in, closer, err := s.open()
	if err != nil {
		return err
	}
	defer closer.Close()
	t := tar.NewReader(in)
	last := "its beginning"
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if err == io.EOF {
			// The stream may be damaged behind the tar's end, too.
			if _, err := io.Copy(io.Discard, in); err != nil {
				return fmt.Errorf("%s: after %s: %w", s.path, last, unexpected(err))
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: after %s: %w", s.path, last, unexpected(err))
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		last = "member " + h.Name
		switch {
		case s.split == "train" && strings.HasSuffix(h.Name, ".tar"):
			err = s.walkInner(ctx, strings.TrimSuffix(path.Base(h.Name), ".tar"), t, f)
		case s.split == "train" && path.Dir(h.Name) == ".":
			err = errors.New("neither a tar nor in a directory, so of no class")
		case s.split == "train":
			err = f(path.Base(path.Dir(h.Name)), h, t)
		default:
			err = f("", h, t)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.path, last, err)
		}
	}
}

func (s stream) walkInner(ctx context.Context, class string, in io.Reader, f func(string, *tar.Header, io.Reader) error) error {
	t := tar.NewReader(in)
	for last := "its beginning"; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %s: %w", last, unexpected(err))
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		last = h.Name
		if err := f(class, h, t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// classes lists the classes by reading the whole archive once.
func (s stream) classes(ctx context.Context) ([]string, error) {
	if s.in != nil {
		return nil, errors.New("ingest: a pipe is read once, and labels depend on all classes: give the development kit or a list of the classes")
	}
	var out []string
	err := s.walk(ctx, func(class string, _ *tar.Header, _ io.Reader) error {
		if class != "" && (len(out) == 0 || out[len(out)-1] != class) {
			out = append(out, class)
		}
		return nil
	})
	return out, err
}

// pass reads a stream once and writes its groups, several at a time.
func (j *job) pass(ctx context.Context, s stream) error {
	eg, ctx := errgroup.WithContext(ctx)
	p := &passing{j: j, s: s, eg: eg, ctx: ctx, slots: make(chan struct{}, j.o.Workers), room: semaphore.NewWeighted(streamBytes), seen: map[string]bool{}}
	eg.Go(func() error {
		if err := s.walk(ctx, p.image); err != nil {
			return err // without closing the open group: it is not whole
		}
		p.end()
		return nil
	})
	if err := eg.Wait(); err != nil {
		return err
	}
	if len(p.seen) == 0 {
		return fmt.Errorf("%s: no files in it; is it a tar?", s.path)
	}
	return nil
}

// passing is one reading of a stream.
type passing struct {
	j     *job
	s     stream
	eg    *errgroup.Group
	ctx   context.Context
	slots chan struct{}
	room  *semaphore.Weighted
	seen  map[string]bool

	class string
	size  int64     // of the open group
	out   chan item // to the open group's writer; nil where it was written before
}

// image hands an image to its group's writer.
func (p *passing) image(class string, h *tar.Header, r io.Reader) error {
	if h.Size > maxImage {
		return fmt.Errorf("%d bytes, more than an image has", h.Size)
	}
	flat := class == ""
	if len(p.seen) == 0 || class != p.class || flat && p.size > 0 && p.size+h.Size > p.j.o.ShardBytes {
		p.end()
		if err := p.begin(class); err != nil {
			return err
		}
	}
	p.size += h.Size
	if p.out == nil {
		return nil
	}
	weight := min(h.Size, streamBytes)
	if err := p.room.Acquire(p.ctx, weight); err != nil {
		return err
	}
	b := make([]byte, h.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return unexpected(err)
	}
	select {
	case p.out <- item{name: path.Base(h.Name), b: b}:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *passing) begin(class string) error {
	g := group{split: p.s.split, name: class, synset: class, from: p.s.path}
	if class == "" {
		g.name = fmt.Sprintf("piece-%05d", len(p.seen))
	}
	if p.seen[g.name] {
		return fmt.Errorf("class %s is in two places of the archive", g.name)
	}
	p.seen[g.name], p.class, p.size = true, class, 0
	if _, ok := p.j.label[class]; !ok && class != "" {
		return fmt.Errorf("class %s is not among those given", class)
	}
	p.j.groups = append(p.j.groups, g)
	if p.j.state.done(g) {
		return nil
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
	in := make(chan item, 1024)
	p.out = in
	g.each = func(ctx context.Context, f func(item) error) error {
		for {
			select {
			case it, ok := <-in:
				if !ok {
					return nil
				}
				err := f(it)
				p.room.Release(min(int64(len(it.b)), streamBytes))
				if err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	p.eg.Go(func() error {
		defer func() { <-p.slots }()
		return p.j.write(p.ctx, g)
	})
	return nil
}

// end closes the open group, which is whole.
func (p *passing) end() {
	if p.out != nil {
		close(p.out)
		p.out = nil
	}
}
