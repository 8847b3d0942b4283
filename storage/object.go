package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// Object is an object in the state in which it was opened. It is read from many
// goroutines; its reads end with the context it was opened with.
type Object struct {
	p    *Place
	ctx  context.Context
	name string
	info Info
	// first are bytes that came along when it was opened.
	first []byte
}

// OpenObject opens an object to be read; one that is not there is fs.ErrNotExist.
func (p *Place) OpenObject(ctx context.Context, name string) (*Object, error) {
	info, err := p.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	return &Object{p: p, ctx: ctx, name: name, info: info}, nil
}

// firstBytes is how much of an object comes along when it is opened to be read.
const firstBytes = 64 << 10

// OpenRead is OpenObject for who reads from the object's beginning: its first bytes come
// along, so that a small one is a single request. It holds them for as long as it is used, or
// gives them to the Ahead that reads it, within whose bound they are then.
func (p *Place) OpenRead(ctx context.Context, name string) (*Object, error) {
	o := &Object{p: p, ctx: ctx, name: name}
	err := p.again(ctx, func(ctx context.Context) error {
		return p.heard(ctx, func(ctx context.Context, word func()) (err error) {
			o.info, o.first, err = p.first(ctx, name, word)
			return err
		})
	})
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return p.OpenObject(ctx, name)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", p.shown(name), err)
	}
	o.info.Name = name
	return o, nil
}

// first describes an object and reads its first bytes, by one request.
func (p *Place) first(ctx context.Context, name string, word func()) (Info, []byte, error) {
	info, r, err := p.store.first(ctx, p.key(name), firstBytes)
	if err != nil {
		return Info{}, nil, err
	}
	defer r.Close()
	word()
	b := make([]byte, min(info.Size, firstBytes))
	n, err := io.ReadFull(r, b)
	p.traffic.Read.Add(int64(n))
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = errShort
	}
	return info, b, temporary(err)
}

// Listed gives an object as List told of it.
func (p *Place) Listed(ctx context.Context, info Info) *Object {
	return &Object{p: p, ctx: ctx, name: info.Name, info: info}
}

// Path is the object's URL, as errors have it.
func (o *Object) Path() string { return o.p.shown(o.name) }

// Size is the object's, in bytes.
func (o *Object) Size() int64 { return o.info.Size }

// Info describes the object as it was opened.
func (o *Object) Info() Info { return o.info }

// ReadAt reads a range by one request, and what is missing of it by others. Another
// state of the object than the one that was opened is ErrChanged.
func (o *Object) ReadAt(b []byte, at int64) (int, error) {
	short := false
	if left := o.info.Size - at; int64(len(b)) > left {
		b, short = b[:max(left, 0)], true
	}
	n := 0
	if at >= 0 && at < int64(len(o.first)) {
		n = copy(b, o.first[at:])
	}
	err := o.p.progress(o.ctx, func(ctx context.Context) (bool, error) {
		got, err := o.some(ctx, b[n:], at+int64(n))
		n += got
		return got > 0, err
	})
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // of an answer, and not of the object
		return n, fmt.Errorf("read %s: %v", o.Path(), err)
	}
	if err != nil {
		return n, fmt.Errorf("read %s: %w", o.Path(), err)
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

// some reads into b by one request; less than all of it is an error.
func (o *Object) some(ctx context.Context, b []byte, at int64) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	err = o.p.heard(ctx, func(ctx context.Context, word func()) error {
		r, err := o.p.store.read(ctx, o.p.key(o.name), o.info.ID, at, int64(len(b)))
		if err != nil {
			return err
		}
		defer r.Close()
		for n < len(b) && err == nil {
			var k int
			k, err = r.Read(b[n:min(len(b), n+256<<10)])
			n += k
			o.p.traffic.Read.Add(int64(k))
			word()
		}
		switch {
		case n == len(b):
			return nil
		case err == io.EOF:
			err = errShort
		}
		return temporary(err)
	})
	return n, err
}

// Unchanged wants the object to be in the state in which it was opened.
func (o *Object) Unchanged() error {
	now, err := o.p.Stat(o.ctx, o.name)
	if err == nil && now.ID != o.info.ID {
		err = fmt.Errorf("%s: %w", o.Path(), ErrChanged)
	}
	return err
}

// Reader reads the object from its beginning, by large ranges.
func (o *Object) Reader() io.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(o, 0, o.info.Size), int(min(max(o.info.Size, 1), 8<<20)))
}
