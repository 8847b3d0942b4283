package storagetest

import (
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Faults are what a Proxy does to requests, each by its chance.
type Faults struct {
	Refuse float64       // answers 503 instead of asking the server
	Lose   float64       // asks the server and answers 503
	Cut    float64       // ends the answer in the middle of its body
	Stall  float64       // says nothing for Pause in the middle of its body
	Pause  time.Duration // see Stall
	Seed   uint64        // of the chances
}

// Proxy stands before a server and makes faults.
type Proxy struct {
	Addr string // host and port

	mu       sync.Mutex
	faults   Faults
	random   *rand.Rand
	requests int
	made     int
	tag      func(path, etag string) string
	tap      func(w http.ResponseWriter, r *http.Request, forward http.Handler)
}

// Before starts a proxy before a server; it ends with the test.
func Before(t testing.TB, s *Server, f Faults) *Proxy {
	t.Helper()
	p := &Proxy{}
	p.Set(f)
	to := &url.URL{Scheme: "http", Host: s.Addr}
	forward := &httputil.ReverseProxy{
		// The host stays the proxy's, which is what requests are signed for.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
		},
		ModifyResponse: p.damage,
		ErrorLog:       log.New(io.Discard, "", 0),
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests++
		tap := p.tap
		p.mu.Unlock()
		if tap != nil {
			tap(w, r, forward)
			return
		}
		if p.falls(func(f *Faults) float64 { return f.Refuse }) {
			io.Copy(io.Discard, r.Body)
			busy(w)
			return
		}
		if p.falls(func(f *Faults) float64 { return f.Lose }) {
			forward.ServeHTTP(httptest.NewRecorder(), r)
			busy(w)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(h.Close)
	p.Addr = strings.TrimPrefix(h.URL, "http://")
	return p
}

func busy(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
}

// Set changes the faults from here on.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults, p.random = f, rand.New(rand.NewPCG(f.Seed, 1))
}

// Retag changes the ETags that are answered; nil leaves them.
func (p *Proxy) Retag(f func(path, etag string) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tag = f
}

// Tap has f answer requests, who may forward them to the server; nil ends that.
func (p *Proxy) Tap(f func(w http.ResponseWriter, r *http.Request, forward http.Handler)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tap = f
}

// Count says how many requests came, and how many faults were made.
func (p *Proxy) Count() (requests, faults int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests, p.made
}

func (p *Proxy) falls(chance func(*Faults) float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := chance(&p.faults)
	if c == 0 || p.random.Float64() >= c {
		return false
	}
	p.made++
	return true
}

func (p *Proxy) damage(r *http.Response) error {
	p.mu.Lock()
	tag, pause := p.tag, p.faults.Pause
	p.mu.Unlock()
	if tag != nil && r.Header.Get("ETag") != "" {
		r.Header.Set("ETag", tag(r.Request.URL.Path, r.Header.Get("ETag")))
	}
	if r.Request.Method != http.MethodGet || r.ContentLength < 2 {
		return nil
	}
	switch half := r.ContentLength / 2; {
	case p.falls(func(f *Faults) float64 { return f.Cut }):
		r.Body = &halved{r.Body, half, func() error { return io.ErrUnexpectedEOF }}
	case p.falls(func(f *Faults) float64 { return f.Stall }):
		ctx := r.Request.Context()
		r.Body = &halved{r.Body, half, func() error {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			return nil
		}}
	}
	return nil
}

// halved is a body to which something happens after some bytes.
type halved struct {
	io.ReadCloser
	left int64
	then func() error
}

func (h *halved) Read(b []byte) (int, error) {
	if h.left == 0 {
		if err := h.then(); err != nil {
			return 0, err
		}
		h.left = -1
	}
	if h.left > 0 {
		b = b[:min(int64(len(b)), h.left)]
	}
	n, err := h.ReadCloser.Read(b)
	if h.left > 0 {
		h.left -= int64(n)
	}
	return n, err
}
