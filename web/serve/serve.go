// Package serve shows a dataset, and predictions over it, to whoever opens a browser: pages
// made here, read only, that work without a script and at a keyboard.
package serve

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/recent"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/web/explore"
	"github.com/synshard/synshard/web/look"
)

// Options are what is shown, and to whom.
type Options struct {
	Explorer    *explore.Explorer               // of the dataset, with the predictions
	Name        string                          // the dataset's, for people
	Predictions string                          // their file's, for people; "": there are none
	Heat        *Heat                           // of the model that made them; nil: it is not here
	Token       string                          // who looks must know it; "": nobody must
	Hosts       []string                        // names of this machine beside localhost and numbers, in lower case
	OnError     func(request string, err error) // is told of what went wrong in a page
}

// How much is on a page.
const (
	imagesAPage    = 48
	mistakesAPage  = 24
	found          = 100 // of a search
	matrixBranches = 20
	worstClasses   = 12
	subtrees       = 12
	samples        = 12
	treeLines      = 18 // of the tree when nobody has opened anything
)

// site makes the pages.
type site struct {
	Options
	e       *explore.Explorer
	workers chan *worker                    // who decode
	sending *semaphore.Weighted             // bytes of originals on their way
	views   *recent.Shared[[32]byte, shown] // by the image's SHA-256
	turn    *semaphore.Weighted             // to run the model
	heats   *recent.Shared[explore.Ref, heats]
}

//go:embed pages.html
var pagesText string

//go:embed serve.css
var styleText string

//go:embed script.js
var scriptText []byte

//go:embed icon.svg
var iconText []byte

var pages = template.Must(template.New("pages").Funcs(template.FuncMap{
	"percent":  look.Percent,
	"name":     ui.Text,
	"breaking": look.Breaking,
	"count":    look.Count,
	"bytes":    size,
	"image":    imageHref,
	"query":    query,
	"add":      func(a, b int) int { return a + b },
}).Parse(pagesText))

// Handler makes the pages of a dataset.
func Handler(o Options) http.Handler {
	s := &site{Options: o, e: o.Explorer, workers: make(chan *worker, processors.Count()), sending: semaphore.NewWeighted(mostSending),
		views: recent.NewShared[[32]byte, shown](keptViews), turn: semaphore.NewWeighted(1), heats: recent.NewShared[explore.Ref, heats](keptHeats)}
	for range cap(s.workers) {
		s.workers <- &worker{}
	}
	mux := http.NewServeMux()
	for pattern, page := range map[string]func(*http.Request) (any, error){
		"/{$}": s.home, "/search": s.search, "/synset/{key}": s.synset, "/tree/{key}": s.tree,
		"/image/{split}/{row}": s.image, "/image/{split}/{row}/neighbours": s.neighbours,
		"/image/{split}/{row}/heat": s.heat, "/mistakes": s.mistakes, "/confusion": s.confusion, "/reading": s.howFar, "/": s.nowhere,
	} {
		mux.HandleFunc(pattern, s.page(page))
	}
	mux.HandleFunc("/image/{split}/{row}/thumbnail", s.made("", s.thumbnailOf))
	mux.HandleFunc("/image/{split}/{row}/view", s.made("", func(r *http.Request, im *explore.Image) ([]byte, error) {
		v, err := s.viewOf(r, im)
		return v.jpeg, err
	}))
	mux.HandleFunc("/image/{split}/{row}/original", s.original)
	if o.Heat != nil {
		mux.HandleFunc("/image/{split}/{row}/heat/{class}", s.made(o.Heat.Model, s.heatOf))
	}
	mux.HandleFunc("/style.css", fixed("text/css; charset=utf-8", []byte(string(look.Style())+styleText)))
	mux.HandleFunc("/script.js", fixed("text/javascript; charset=utf-8", scriptText))
	mux.HandleFunc("/icon.svg", fixed("image/svg+xml", iconText))
	return &guard{token: o.Token, hosts: o.Hosts, next: mux}
}

// grace is how long what was begun has when the server ends.
const grace = 5 * time.Second

// Run answers on a listener until the context ends, and then what was begun; what takes
// longer than some seconds is told to end. When it returns nothing of h runs.
func Run(ctx context.Context, l net.Listener, h http.Handler) error {
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var running sync.RWMutex // each answer holds it for reading
	answer := func(w http.ResponseWriter, r *http.Request) {
		if !running.TryRLock() {
			http.Error(w, "this server has ended", http.StatusServiceUnavailable)
			return
		}
		defer running.RUnlock()
		h.ServeHTTP(w, r)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(answer), BaseContext: func(net.Listener) context.Context { return base }, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 20 * time.Second, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() {
		end()
		server.Close()
		running.Lock() // for good
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(base, grace)
	defer cancel()
	_ = server.Shutdown(last) // what is left is closed
	<-ended
	return ctx.Err()
}

func fixed(kind string, b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

// notFound is an error of the address: what is not there.
type notFound struct{ what string }

func (n *notFound) Error() string { return n.what }

// left says that a request failed because nobody waits for it, or the server ends.
func left(r *http.Request, err error) bool {
	return r.Context().Err() != nil && errors.Is(err, r.Context().Err())
}

// awaited is an error of what only predictions say, while they are being read.
type awaited struct{}

func (awaited) Error() string { return "the predictions are being read, and not there yet" }

// predictions are those that a page is made of.
func (s *site) predictions() (*explore.Predictions, error) {
	_, reading := s.e.Reading() // asked first: they may come meanwhile
	switch p := s.e.Predictions(); {
	case p != nil:
		return p, nil
	case reading:
		return nil, awaited{}
	}
	return nil, noPredictions
}

var noPredictions = &notFound{"no predictions were given: 'synshard serve DATASET PREDICTIONS' shows them"}

// refusal is the code that an error is answered with; OnError is told of what went wrong here.
func (s *site) refusal(r *http.Request, err error) int {
	switch missing := (*notFound)(nil); {
	case errors.As(err, &missing):
		return http.StatusNotFound
	case errors.Is(err, awaited{}), left(r, err):
		return http.StatusServiceUnavailable
	}
	s.OnError(r.URL.Path, err)
	return http.StatusInternalServerError
}

// waitingPage stands for a page until predictions are there.
type waitingPage struct{ Address string }

// readingPage is how far predictions are, to be put into a page.
type readingPage struct{ *reading }

// reading is how much of the predictions is read, 0 to 1.
type reading struct{ Share float64 } // 0: that is not known

func (s *site) reading() *reading {
	if share, ok := s.e.Reading(); ok {
		return &reading{share}
	}
	return nil
}

func (s *site) howFar(*http.Request) (any, error) {
	if !s.e.Predicted() {
		return nil, noPredictions
	}
	return readingPage{s.reading()}, nil
}

// errorPage tells what went wrong.
type errorPage struct{ Title, Text string }

// view is what a template sees: the site, and the page's own.
type view struct {
	Template string
	Title    string
	Name     string   // of the dataset
	Judged   bool     // there are predictions, or will be
	Reading  *reading // of those; nil: they are there, or there are none
	Query    string   // of a search
	Page     any
}

// page answers with a page, whole or not at all. A page is a template of its type's name.
func (s *site) page(make func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := make(r)
		code := http.StatusOK
		if err != nil {
			code, p = s.refusal(r, err), errorPage{"That did not work", err.Error()}
		}
		switch {
		case code == http.StatusNotFound:
			p = errorPage{"Not here", err.Error()}
		case errors.Is(err, awaited{}):
			p = waitingPage{r.URL.RequestURI()}
			w.Header().Set("Retry-After", "2")
		}
		v := view{Name: s.Name, Judged: s.e.Predicted(), Reading: s.reading(), Page: p}
		v.Template, v.Title = s.titled(p)
		if found, ok := p.(searchPage); ok {
			v.Query = found.Text
		}
		layout := "layout"
		if v.Template == "branch" || v.Template == "reading" {
			layout = v.Template
		}
		var b bytes.Buffer
		if err := pages.ExecuteTemplate(&b, layout, v); err != nil {
			s.OnError(r.URL.Path, err)
			http.Error(w, "the page could not be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		_, _ = w.Write(b.Bytes()) // who left does not listen
	}
}

// titled is a page's template and title.
func (s *site) titled(p any) (name, title string) {
	switch p := p.(type) {
	case homePage:
		return "home", ""
	case synsetPage:
		return "synset", p.Label.String()
	case branchPage:
		return "branch", ""
	case readingPage:
		return "reading", ""
	case waitingPage:
		return "waiting", "Not yet"
	case imagePage:
		return "image", p.Image.Path
	case neighboursPage:
		return "neighbours", "Like " + p.Image.Path
	case heatPage:
		return "heat", "Where the model looked: " + p.Image.Path
	case searchPage:
		return "search", "Search: " + p.Text
	case mistakesPage:
		return "mistakes", "Mistakes"
	case confusionPage:
		return "confusion", "Confusion"
	}
	return "error", p.(errorPage).Title
}

func (s *site) nowhere(r *http.Request) (any, error) {
	return nil, &notFound{"there is no page " + r.URL.Path}
}

// pager is a page of a list, from 1.
type pager struct {
	Number, Pages, Total int
	Base                 string // the address without the page
}

// placed is a pager above or below its list.
type placed struct {
	pager
	Place string
}

// In places the pager.
func (p pager) In(place string) placed { return placed{p, place} }

// from is the first place of the list that is on the page.
func (p pager) from(each int) int { return (p.Number - 1) * each }

// At is the address of a page.
func (p pager) At(n int) string {
	u, _ := url.Parse(p.Base)
	q := u.Query()
	if n > 1 {
		q.Set("page", strconv.Itoa(n))
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// newPager reads which page is asked for.
func newPager(r *http.Request) (pager, error) {
	q := r.URL.Query()
	p := pager{Number: 1}
	if text := q.Get("page"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1<<31 {
			return p, &notFound{fmt.Sprintf("there is no page %q", text)}
		}
		p.Number = n
	}
	q.Del("page")
	p.Base = (&url.URL{Path: r.URL.Path, RawQuery: q.Encode()}).String()
	return p, nil
}

// of says how long the list is.
func (p *pager) of(total, each int) error {
	p.Total, p.Pages = total, max((total+each-1)/each, 1)
	if p.Number > p.Pages {
		return &notFound{fmt.Sprintf("there are %d pages, not %d", p.Pages, p.Number)}
	}
	return nil
}

// size writes bytes as people do.
func size(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	v, u := float64(n), 0
	for v >= 1000 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d\u00a0bytes", n)
	}
	return fmt.Sprintf("%.3g\u00a0%s", v, units[u])
}

// imageHref is the address of an image's page.
func imageHref(r explore.Ref) string {
	return "/image/" + url.PathEscape(r.Split) + "/" + strconv.Itoa(r.Row)
}

// query makes an address with what is asked for, of which "" is left out.
func query(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return (&url.URL{Path: path, RawQuery: q.Encode()}).String()
}
