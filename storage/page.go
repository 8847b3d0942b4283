package storage

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/synshard/synshard/internal/regular"
)

// Page is what a web server makes for who asks: it has neither a state nor ranges.
type Page struct {
	Text []byte   // the whole page
	Type string   // its media type, as the server's Content-Type has it
	URL  *url.URL // where it came from: links in it are relative to that
}

// ReadPage reads a page of at most limit bytes from a web server; a larger one is
// regular.ErrUnfit, one that is not there fs.ErrNotExist, a URL of no web server ErrURL.
// accept says in which forms it is understood, as HTTP's header of that name has it.
func ReadPage(ctx context.Context, at, accept string, limit int64, o Options) (Page, error) {
	p, err := Open(ctx, at, o)
	if err != nil {
		return Page{}, err
	}
	defer p.Close()
	w, ok := p.store.(*web)
	if !ok {
		return Page{}, fmt.Errorf("%s: a web server's page is wanted, and it is %w", p, ErrURL)
	}
	var page Page
	err = p.again(ctx, func(ctx context.Context) error {
		return p.heard(ctx, func(ctx context.Context, word func()) error {
			page, err = w.page(ctx, accept, limit, word)
			return err
		})
	})
	if err != nil {
		return Page{}, fmt.Errorf("read %s: %w", p, err)
	}
	p.traffic.Read.Add(int64(len(page.Text)))
	return page, nil
}

// page asks for what lies at the URL once.
func (w *web) page(ctx context.Context, accept string, limit int64, word func()) (Page, error) {
	a, err := w.ask(ctx, http.MethodGet, w.at.key, map[string]string{"Accept": accept})
	if err != nil {
		return Page{}, err
	}
	defer a.Body.Close()
	word()
	text, err := io.ReadAll(io.LimitReader(heardReader{a.Body, word}, limit+1))
	switch {
	case err != nil:
		return Page{}, temporary(unaddressed(err))
	case int64(len(text)) > limit:
		return Page{}, fmt.Errorf("more than the %d bytes that it may have: %w", limit, regular.ErrUnfit)
	}
	return Page{Text: text, Type: a.Header.Get("Content-Type"), URL: a.Request.URL}, nil
}

// heardReader calls word at each read.
type heardReader struct {
	io.Reader
	word func()
}

func (r heardReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.word()
	return n, err
}
