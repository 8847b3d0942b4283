package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// web is a web server, of which files are read by ranges. What it says of redirects is
// followed, up to a few.
type web struct {
	at      location
	client  *http.Client
	summed  bool // Options.Summed
	traffic *Traffic
}

// connections are those of all web servers: where each file of a list has a signature, and so
// a place, of its own, they are one server's all the same.
var connections = sync.OnceValue(func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	t.DisableCompression = true // ranges are of what is stored
	return t
})

func newWeb(at location, o Options, t *Traffic) *web {
	return &web{at, &http.Client{Transport: connections(), CheckRedirect: redirected}, o.Summed, t}
}

// errSentOn is of a server that sends us to where we do not go.
var errSentOn = errors.New("the server redirects to another place")

// redirected follows a server to where it sends us, within what is understood of URLs:
// by https:// alone, unless this machine sends us to itself. Where we come from, with what may
// be a signature, is told to nobody.
func redirected(to *http.Request, via []*http.Request) error {
	const most = 10
	to.Header.Del("Referer")
	switch from := via[len(via)-1].URL; {
	case len(via) >= most:
		return fmt.Errorf("%w: and that on, more than %d times", errSentOn, most)
	case to.URL.Scheme != "https" && !(from.Scheme == "http" && to.URL.Scheme == "http" && loopback(to.URL.Hostname())):
		return fmt.Errorf("%w: and not by https", errSentOn)
	}
	return nil
}

// ask makes a request; an answer that does not bring what is asked for is an error.
func (w *web) ask(ctx context.Context, method, key string, header map[string]string) (*http.Response, error) {
	a, err := w.send(ctx, method, key, header)
	if err != nil {
		return nil, err
	}
	if err := refusal(a); err != nil {
		a.Body.Close()
		return nil, err
	}
	return a, nil
}

// send makes a request; the answer may be any.
func (w *web) send(ctx context.Context, method, key string, header map[string]string) (*http.Response, error) {
	at := w.at
	at.key = key
	to := at.String()
	if at.query != "" {
		to += "?" + at.query
	}
	r, err := http.NewRequestWithContext(ctx, method, to, nil)
	if err != nil {
		return nil, unaddressed(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w.traffic.Requests.Add(1)
	a, err := w.client.Do(r)
	if errors.Is(err, errSentOn) {
		return nil, unserved{unaddressed(err)}
	}
	if err != nil {
		return nil, temporary(unaddressed(err))
	}
	return a, nil
}

// refusal is the error that an answer is which does not bring what was asked for; nil: it does.
func refusal(a *http.Response) error {
	err := fmt.Errorf("the server answers %s", a.Status)
	switch s := a.StatusCode; {
	case s == http.StatusOK, s == http.StatusPartialContent:
		return nil
	case s == http.StatusNotFound, s == http.StatusGone:
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return fmt.Errorf("%w (%w)", fs.ErrPermission, err)
	case s == http.StatusPreconditionFailed, s == http.StatusRequestedRangeNotSatisfiable:
		return ErrChanged
	case retryable(s):
		return temporary(err)
	}
	return unserved{err}
}

// ErrUnserved is of a file that a web server does not serve, or not so that it can be read by
// ranges of one state: what it says of that one file, and will say again.
var ErrUnserved = errors.New("the server does not serve it")

// unserved marks an error as ErrUnserved; its text stays.
type unserved struct{ error }

func (u unserved) Unwrap() error        { return u.error }
func (u unserved) Is(target error) bool { return target == ErrUnserved }

// state names the state of a file: its ETag, or the time of its change, and its size.
func (w *web) state(h http.Header) (string, error) {
	_, total, _ := strings.Cut(h.Get("Content-Range"), "/")
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag + " " + total, nil
	}
	if at := h.Get("Last-Modified"); at != "" {
		return at + " " + total, nil
	}
	if w.summed && total != "" {
		return total, nil
	}
	return "", errors.New("the server tells neither an ETag of the file nor when it was changed")
}

func (w *web) stat(ctx context.Context, key string) (info Info, err error) {
	// A first byte by range, since not every signature is one of HEAD, too.
	a, err := w.send(ctx, http.MethodGet, key, map[string]string{"Range": "bytes=0-0"})
	if err != nil {
		return Info{}, err
	}
	defer func() {
		if a.StatusCode == http.StatusPartialContent {
			_, _ = io.CopyN(io.Discard, a.Body, 2) // to its end, so that the connection is kept
		}
		a.Body.Close()
	}()
	if t, err := time.Parse(http.TimeFormat, a.Header.Get("Last-Modified")); err == nil {
		info.Modified = t
	}
	if bare(a) {
		info.ID = "no bytes" // of which there is no other state
		return info, nil
	}
	switch err := refusal(a); {
	case errors.Is(err, ErrChanged): // there is nothing yet that it could have changed from
		return Info{}, unserved{fmt.Errorf("the server answers %s", a.Status)}
	case err != nil:
		return Info{}, err
	}
	if info.Size, err = ranged(a); err == nil {
		info.ID, err = w.state(a.Header)
	}
	if err != nil {
		return Info{}, unserved{err}
	}
	return info, nil
}

// bare says whether the answer to a range is that of a file without bytes, which has no ranges.
func bare(a *http.Response) bool {
	return a.StatusCode == http.StatusOK && a.ContentLength == 0 ||
		a.StatusCode == http.StatusRequestedRangeNotSatisfiable && a.Header.Get("Content-Range") == "bytes */0"
}

// ranged gives the size of the file that an answer brings a range of.
func ranged(a *http.Response) (int64, error) {
	_, total, ok := strings.Cut(a.Header.Get("Content-Range"), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	switch page := strings.HasPrefix(a.Header.Get("Content-Type"), "text/html"); {
	case ok && err == nil && size > 0 && a.StatusCode == http.StatusPartialContent:
		return size, nil
	case page:
		return 0, errors.New("the server answers with a page (text/html), and not with ranges of the file")
	}
	return 0, errors.New("the server does not serve ranges of the file")
}

func (w *web) first(context.Context, string, int64) (Info, io.ReadCloser, error) {
	return Info{}, nil, errors.ErrUnsupported
}

func (w *web) read(ctx context.Context, key, id string, at, n int64) (io.ReadCloser, error) {
	a, err := w.ask(ctx, http.MethodGet, key, map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", at, at+n-1)})
	if err != nil {
		return nil, err
	}
	begin := fmt.Sprintf("bytes %d-", at)
	now, err := w.state(a.Header)
	switch {
	case err != nil:
	case a.StatusCode != http.StatusPartialContent || !strings.HasPrefix(a.Header.Get("Content-Range"), begin):
		err = errors.New("the server sent another range than was asked for")
	case now != id:
		err = ErrChanged
	}
	if err != nil {
		a.Body.Close()
		return nil, err
	}
	return a.Body, nil
}

// ErrUnlisted says that what lies at a web server is not known but by its name.
var ErrUnlisted = errors.New("a web server does not list what it has")

func (w *web) list(context.Context, string, bool, func(Info) error) error {
	return ErrUnlisted
}

func (w *web) write(context.Context, string, io.ReaderAt, int64, wanted) error { return ErrReadOnly }
func (w *web) copy(context.Context, string, string) error                      { return ErrReadOnly }
func (w *web) remove(context.Context, string) error                            { return ErrReadOnly }
func (w *web) removeMany(context.Context, []string) error                      { return ErrReadOnly }
func (w *web) abort(context.Context, string) error                             { return ErrReadOnly }

// close lets go what nobody uses; other places that want a connection open one anew.
func (w *web) close() error {
	w.client.CloseIdleConnections()
	return nil
}
