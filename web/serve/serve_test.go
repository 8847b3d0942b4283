package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/shard"
	"github.com/synshard/synshard/shard/shardtest"
	"github.com/synshard/synshard/web/explore"
	"github.com/synshard/synshard/web/look"
	"github.com/synshard/synshard/wordnet"
)

// Names that want to be more than names.
const (
	script = `<script>alert(1)</script>`
	quote  = `"><img src=x onerror=alert(2)>' onclick='alert(3)`
	dots   = `../../../../etc/passwd`
	hidden = "a\x1b[2J\u202eb\x00\r\nc"
)

func jpeg(t testing.TB) []byte {
	t.Helper()
	b, err := pixel.EncodeJPEG(40, 20, bytes.Repeat([]byte{200, 100, 50}, 40*20), 90)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hostile is a dataset in which every name, word and image wants out.
func hostile(t testing.TB) (*explore.Explorer, []string) {
	t.Helper()
	e, p, names := opened(t)
	if err := p.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e, names
}

// opened is that dataset, whose predictions are still to be read.
func opened(t testing.TB) (*explore.Explorer, *explore.Predictions, []string) {
	t.Helper()
	wn := t.TempDir()
	data := "00000001 03 n 01 top<b>bold</b> 0 000 | gloss " + script + "\n00000002 03 n 02 " + `x"y'z` + " 0 javascript:alert(4) 0 001 @ 00000001 n 0000 | " + quote + "\n"
	if err := os.WriteFile(filepath.Join(wn, "data.noun"), []byte(data), 0o666); err != nil {
		t.Fatal(err)
	}
	g, err := wordnet.Open(wn)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"n00000002", script, quote, dots, hidden, strings.Repeat("long ", 2000)}
	var images []*shard.Image
	add := func(path string, label int, b []byte) {
		images = append(images, &shard.Image{Bytes: b, Row: shard.Row{Path: path, Label: int64(label), Synset: names[label], Format: quote, Mode: script,
			Objects: []shard.Object{{Synset: script, XMin: 1, YMin: 2, XMax: 30, YMax: 1 << 30}}}})
	}
	for label, name := range names {
		add(fmt.Sprintf("%d", label)+name, label, jpeg(t))
	}
	add("html.jpg", 0, []byte("<!doctype html><script>alert(5)</script>"))
	add("svg.png", 0, []byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(6)"><script>alert(7)</script></svg>`))
	add("cut.jpg", 0, jpeg(t)[:200])
	dir := t.TempDir()
	shardtest.Write(t, dir, names, shardtest.Split{Name: `va"l<i>%2e`, Images: images})
	set := shardtest.Open(t, dir)
	e, err := explore.Open(set, g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	predictions := filepath.Join(t.TempDir(), "p.csv")
	var b strings.Builder
	b.WriteString("path,label,pred_label_1,pred_prob_1,error\n")
	for i, im := range images {
		wrong, failed := fmt.Sprint((im.Label+1)%int64(len(names))), ""
		if i == 1 {
			wrong, failed = "", script
		}
		prob := "0.5"
		if wrong == "" {
			prob = ""
		}
		fmt.Fprintf(&b, "\"%s\",%d,%s,%s,%s\n", strings.ReplaceAll(im.Path, `"`, `""`), im.Label, wrong, prob, failed)
	}
	if err := os.WriteFile(predictions, []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := e.OpenPredictions(predictions, names)
	if err != nil {
		t.Fatal(err)
	}
	return e, p, names
}

func handler(t testing.TB, o Options) http.Handler {
	t.Helper()
	if o.Explorer == nil {
		o.Explorer, _ = hostile(t)
	}
	o.OnError = func(request string, err error) { t.Logf("%s: %v", request, err) }
	return Handler(o)
}

func get(h http.Handler, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = "127.0.0.1:1234"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var hrefs = regexp.MustCompile(`(?:href|src)="([^"]*)"`)

// TestHostileNames walks to every page that a page leads to: none has a tag, an attribute
// or a character that a name brought along, none is missing, and all say what a browser
// may do with them.
func TestHostileNames(t *testing.T) {
	h := handler(t, Options{Name: script, Predictions: quote})
	seen, queue := map[string]bool{"/": true}, []string{"/", "/search?q=x", "/confusion?node=n00000001"}
	for len(queue) > 0 {
		target := queue[0]
		queue = queue[1:]
		w := get(h, target)
		body, kind := w.Body.String(), w.Header().Get("Content-Type")
		if w.Code != http.StatusOK && !strings.HasSuffix(target, "/original") {
			t.Errorf("%s: %d\n%.300s", target, w.Code, body)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'") || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", target, w.Header())
		}
		switch {
		case strings.HasPrefix(kind, "text/html"):
			for _, bad := range []string{"<script>", "<img src=x", "onclick='", "onerror=alert(2)>", "<b>bold", "<i>", "\x1b", "\u202e", "\x00", "javascript:"} {
				if bad == "javascript:" {
					bad = `href="javascript:`
				}
				if strings.Contains(body, bad) {
					t.Errorf("%s holds %q", target, bad)
				}
			}
			for _, m := range hrefs.FindAllStringSubmatch(body, -1) {
				to := strings.ReplaceAll(strings.ReplaceAll(m[1], "&amp;", "&"), "&#43;", "+")
				if !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "#") || strings.HasPrefix(to, "//") {
					t.Errorf("%s leads to %q", target, to)
				}
				if to, _, _ = strings.Cut(to, "#"); to != "" && !seen[to] {
					seen[to] = true
					queue = append(queue, to)
				}
			}
		case strings.HasPrefix(kind, "image/svg+xml") && strings.HasSuffix(target, "/thumbnail"):
			if strings.Contains(body, "<script") || strings.Contains(body, "onload=\"") {
				t.Errorf("%s is a drawing with a script: %s", target, body)
			}
		}
		if strings.HasSuffix(target, "/original") && strings.Contains(body, "<") && w.Header().Get("Content-Disposition") != "attachment" {
			t.Errorf("%s is shown: %v", target, w.Header())
		}
		if strings.Contains(target, "/thumbnail") || strings.Contains(target, "/original") {
			if !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox") {
				t.Errorf("%s is not sealed", target)
			}
		}
	}
	if len(seen) < 50 {
		t.Errorf("only %d addresses were found", len(seen))
	}
}

// TestDamagedImage: a page says why an image is not shown, and its thumbnail does.
func TestDamagedImage(t *testing.T) {
	e, _ := hostile(t)
	h := handler(t, Options{Explorer: e})
	images, _, err := e.Images("n00000002", "", true, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for _, im := range images {
		thumb, page := get(h, imageHref(im.Ref)+"/thumbnail"), get(h, imageHref(im.Ref))
		sound := strings.HasPrefix(im.Path, "0")
		if got := thumb.Header().Get("Content-Type") == "image/jpeg"; got != sound || strings.Contains(page.Body.String(), `role="alert"`) == sound {
			t.Errorf("%s: thumbnail %s; alert: %v", im.Path, thumb.Header().Get("Content-Type"), !sound)
		}
		if !sound {
			damaged++
		}
	}
	if damaged != 3 {
		t.Errorf("%d damaged images", damaged)
	}
}

// TestOneDecoding: what the page of an image decoded is what its view shows, and is not read
// again.
func TestOneDecoding(t *testing.T) {
	e, _ := hostile(t)
	images, _, err := e.Images("n00000002", "", true, 0, 1)
	if err != nil || len(images) != 1 {
		t.Fatal(images, err)
	}
	view := func(pageFirst bool) string {
		h := handler(t, Options{Explorer: e})
		if pageFirst {
			get(h, imageHref(images[0].Ref))
		}
		shards, err := filepath.Glob(filepath.Join(e.Summary().Dir, "*", "*.arrow"))
		if err != nil || len(shards) == 0 {
			t.Fatal(shards, err)
		}
		for _, shard := range shards {
			if err := os.Rename(shard, shard+".gone"); err != nil {
				t.Fatal(err)
			}
			defer os.Rename(shard+".gone", shard)
		}
		return get(h, imageHref(images[0].Ref)+"/view").Header().Get("Content-Type")
	}
	if d := gocmp.Diff([]string{"image/svg+xml", "image/jpeg"}, []string{view(false), view(true)}); d != "" {
		t.Errorf("the view without and after the page, when the shards are gone (-want +got):\n%s", d)
	}
}

// TestUnfold: a tree is open when it is shown, and not longer than it may be.
func TestUnfold(t *testing.T) {
	e, _ := hostile(t)
	s := &site{e: e}
	roots, _ := e.Children("")
	for most, want := range map[int]int{len(roots): len(roots), len(roots) + 1: len(roots) + 1, 100: len(roots) + 1} {
		tree := branches(roots)
		s.unfold(tree, most)
		lines := len(tree)
		for _, n := range tree {
			lines += len(n.Children)
		}
		if lines != want {
			t.Errorf("%d lines of at most %d: want %d", lines, most, want)
		}
	}
}

// TestHosts: only names that are this machine's are answered, whatever the port.
func TestHosts(t *testing.T) {
	h := handler(t, Options{Hosts: []string{"gpu1"}})
	for host, want := range map[string]int{
		"127.0.0.1:80": 200, "localhost": 200, "LOCALHOST:9": 200, "[::1]:8080": 200, "[::1]": 200, "10.1.2.3:1": 200, "gpu1:8080": 200, "gpu1.": 200, "x.localhost": 200,
		"evil.example": 421, "evil.example:80": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example": 421, "": 421, "gpu1.evil": 421,
	} {
		if got := get(h, "/style.css", func(r *http.Request) { r.Host = host }).Code; got != want {
			t.Errorf("host %q: %d, want %d", host, got, want)
		}
	}
}

func TestMethods(t *testing.T) {
	h := handler(t, Options{})
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"} {
		w := get(h, "/", func(r *http.Request) { r.Method = method })
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if w := get(h, "/", func(r *http.Request) { r.Method = "HEAD" }); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
}

// TestToken: nothing is shown without it, once it was given the cookie is enough, and the
// address it is taken from leads nowhere else.
func TestToken(t *testing.T) {
	token := NewToken()
	if len(token) < 22 || token == NewToken() {
		t.Fatalf("token %q", token)
	}
	h := handler(t, Options{Token: token})
	for _, target := range []string{"/", "/style.css", "/image/x/1/original", "/?token=", "/?token=" + token[1:], "/?token=" + token + "x"} {
		if w := get(h, target); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), token) {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	w := get(h, "/mistakes?page=1&token="+token)
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	type answer struct {
		Code     int
		Location string
		HttpOnly bool
		SameSite http.SameSite
	}
	got := answer{w.Code, w.Header().Get("Location"), cookies[0].HttpOnly, cookies[0].SameSite}
	if diff := gocmp.Diff(answer{http.StatusSeeOther, "/mistakes?page=1", true, http.SameSiteLaxMode}, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if w := get(h, "/", func(r *http.Request) { r.AddCookie(cookies[0]) }); w.Code != http.StatusOK {
		t.Errorf("with the cookie: %d", w.Code)
	}
	if w := get(h, "/mistakes?token="+token, func(r *http.Request) { r.AddCookie(cookies[0]) }); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/mistakes" {
		t.Errorf("with the cookie and the token: %d to %q", w.Code, w.Header().Get("Location"))
	}
	other := *cookies[0]
	other.Value = NewToken()
	if w := get(h, "/", func(r *http.Request) { r.AddCookie(&other) }); w.Code != http.StatusForbidden {
		t.Errorf("with another's cookie: %d", w.Code)
	}
	for _, path := range []string{"//evil.example/x", `/\evil.example/x`, "///evil.example"} {
		w := get(h, "/x", func(r *http.Request) { r.URL.Path, r.URL.RawQuery = path, "token="+token })
		if to := w.Header().Get("Location"); strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) || !strings.HasPrefix(to, "/") {
			t.Errorf("%s leads on to %q", path, to)
		}
	}
}

// TestNothingThere: addresses that mean nothing are 404, in words.
func TestNothingThere(t *testing.T) {
	h := handler(t, Options{})
	for _, target := range []string{
		"/nix", "/synset/n99999999", "/synset/class-99", "/image/nix/0", "/image/va%22l%3Ci%3E%252e/99999", "/image/va%22l%3Ci%3E%252e/-1", "/image/va%22l%3Ci%3E%252e/01",
		"/image/va%22l%3Ci%3E%252e/0/neighbours", "/synset/n00000002?page=0", "/synset/n00000002?page=99", "/synset/n00000002?page=x", "/synset/n00000002?page=99999999999999999999", "/mistakes?truth=nix", "/mistakes?page=7",
		"/confusion?node=nix", "/tree/nix", "/image/%2e%2e/0/original",
	} {
		if w := get(h, target); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	if w := get(h, "/image/va%22l%3Ci%3E%252e/0"); w.Code != http.StatusOK {
		t.Errorf("an image in a split with an odd name: %d", w.Code)
	}
}

// TestReading: while predictions are read, pages of the dataset are there and say so; those
// that are made of predictions come later, and say that.
func TestReading(t *testing.T) {
	e, p, _ := opened(t)
	const image = "/image/va%22l%3Ci%3E%252e/0"
	h := handler(t, Options{Explorer: e, Heat: &Heat{}})
	type seen struct {
		Code                   int
		Progress, Waits, Leads bool
		Retry                  string
	}
	look := func(target string) seen {
		w := get(h, target)
		body := w.Body.String()
		return seen{w.Code, strings.Contains(body, "<progress"), strings.Contains(body, "data-waiting"), strings.Contains(body, `href="/mistakes"`), w.Header().Get("Retry-After")}
	}
	there, waiting := seen{200, true, false, true, ""}, seen{503, true, true, true, "2"}
	plain := waiting
	plain.Progress, plain.Waits, plain.Leads, plain.Retry = false, false, false, ""
	for target, want := range map[string]seen{
		"/": there, "/synset/n00000002": there, "/search?q=x": there, image: there, "/reading": {200, true, false, false, ""},
		"/mistakes": waiting, "/confusion": waiting, image + "/neighbours": waiting, image + "/heat": waiting, image + "/heat/1": plain, image + "/thumbnail": {Code: 200},
	} {
		if d := gocmp.Diff(want, look(target)); d != "" {
			t.Errorf("%s (-want +got):\n%s", target, d)
		}
	}
	if err := p.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]seen{"/": {Code: 200, Leads: true}, "/mistakes": {Code: 200, Leads: true}, "/reading": {Code: 200}} {
		if d := gocmp.Diff(want, look(target)); d != "" {
			t.Errorf("%s, after (-want +got):\n%s", target, d)
		}
	}
}

// TestUnchanged: a browser that has a thumbnail is told so.
func TestUnchanged(t *testing.T) {
	h := handler(t, Options{})
	w := get(h, "/image/va%22l%3Ci%3E%252e/0/thumbnail")
	tag := w.Header().Get("ETag")
	if got := w.Header().Get("Cache-Control"); got != "private, no-cache" {
		t.Errorf("Cache-Control: %s", got) // another dataset may be at this address next
	}
	if again := get(h, "/image/va%22l%3Ci%3E%252e/0/thumbnail", func(r *http.Request) { r.Header.Set("If-None-Match", tag) }); tag == "" || again.Code != http.StatusNotModified {
		t.Errorf("tag %q: %d", tag, again.Code)
	}
}

// TestRefusals: what is not there, what nobody waits for and what failed are told apart,
// and only of the last is OnError told.
func TestRefusals(t *testing.T) {
	e, _ := hostile(t)
	var told []string
	s := &site{Options: Options{OnError: func(request string, err error) { told = append(told, request+": "+err.Error()) }}, e: e}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	got := map[string]int{}
	for name, err := range map[string]error{
		"missing": fmt.Errorf("row 3: %w", &notFound{"nix"}), "left": fmt.Errorf("search: %w", ctx.Err()), "failed": errors.New("damaged"),
	} {
		r := httptest.NewRequest(http.MethodGet, "/"+name, nil).WithContext(ctx)
		w, plain := httptest.NewRecorder(), httptest.NewRecorder()
		s.page(func(*http.Request) (any, error) { return nil, err })(w, r)
		s.refuse(plain, r, err)
		got[name], got[name+", plain"] = w.Code, plain.Code
	}
	want := map[string]int{"missing": 404, "missing, plain": 404, "left": 503, "left, plain": 503, "failed": 500, "failed, plain": 500}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := gocmp.Diff([]string{"/failed: damaged", "/failed: damaged"}, told); d != "" {
		t.Errorf("told (-want +got):\n%s", d)
	}
}

// TestReadError: what is wrong with a dataset is an image's damage, which pages show; what
// kept it from being read is told, and no image is called damaged for it.
func TestReadError(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	got := map[string]bool{}
	for name, err := range map[string]error{
		"other sum": fmt.Errorf("row 3: %w", shard.ErrCorrupt), "gone": fmt.Errorf("shard: %w", fs.ErrNotExist),
		"forbidden": fmt.Errorf("shard: %w", fs.ErrPermission), "disk": fmt.Errorf("shard: %w", syscall.EIO), "store": errors.New("503"),
	} {
		got[name] = ofReading(r, readError(err))
	}
	want := map[string]bool{"other sum": false, "gone": false, "forbidden": true, "disk": true, "store": true}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestRunWaits: whatever ends it, nothing of the handler runs when it returns.
func TestRunWaits(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	begun, ended := make(chan bool), make(chan error, 1)
	go func() {
		ended <- Run(context.Background(), l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
			time.Sleep(50 * time.Millisecond)
			done.Store(true)
		}))
	}()
	go func() { <-begun; l.Close() }()
	if answer, err := http.Get("http://" + l.Addr().String()); err == nil {
		answer.Body.Close()
	}
	if err := <-ended; err == nil || !done.Load() {
		t.Errorf("it ended with %v; the answer had ended: %v", err, done.Load())
	}
}

// TestRun answers until it is told to end, and ends what it began.
func TestRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	begun := make(chan bool)
	go func() {
		ended <- Run(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			time.Sleep(100 * time.Millisecond)
			fmt.Fprint(w, "whole")
		}))
	}()
	go func() { <-begun; cancel() }()
	answer, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(answer.Body); err != nil || b.String() != "whole" {
		t.Errorf("%q: %v", &b, err)
	}
	if err := <-ended; err != context.Canceled {
		t.Errorf("it ended with %v", err)
	}
}

// TestClassesHaveRules: what a page calls its parts, a style sheet knows.
func TestClassesHaveRules(t *testing.T) {
	rules := string(look.Style()) + styleText
	n := 0
	for _, m := range regexp.MustCompile(`class="([a-z ]+)"`).FindAllStringSubmatch(pagesText, -1) {
		for _, class := range strings.Fields(m[1]) {
			if n++; !regexp.MustCompile(`\.` + class + `\b`).MatchString(rules) {
				t.Errorf("no rule is of class %q", class)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d classes were found", n)
	}
}

func TestWords(t *testing.T) {
	got := []string{look.Count(7), look.Count(1000), look.Count(14197122), size(999), size(51898768), size(1 << 50), query("/mistakes", "truth", "a b", "predicted", "")}
	want := []string{"7", "1,000", "14,197,122", "999\u00a0bytes", "51.9\u00a0MB", "1.13e+03\u00a0TB", "/mistakes?truth=a+b"}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
