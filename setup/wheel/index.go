package wheel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ErrNone says that a wheel is in none of the places.
var ErrNone = errors.New("no such wheel")

// mostPage bounds a project's page of the index, in bytes.
const mostPage = 64 << 20

// fileName matches the wheel's file name: for CPython 3.12 or for any Python,
// on manylinux. Inside they are the same for what is taken of them.
func (p Pin) fileName() *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`^%s-%s-(cp312-cp312|py3-none)-manylinux[^/]*_%s\.whl$`,
		regexp.QuoteMeta(strings.ReplaceAll(p.Name, "-", "_")), regexp.QuoteMeta(p.Version), regexp.QuoteMeta(p.Machine)))
}

// inDirs gives the path of the pinned wheel's file in the directories, "" where
// it is in none.
func (p Pin) inDirs(dirs []string) (string, error) {
	want := p.fileName()
	for _, dir := range dirs {
		found, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for _, f := range found {
			if want.MatchString(f.Name()) {
				return filepath.Join(dir, f.Name()), nil
			}
		}
	}
	return "", nil
}

// onIndex gives the URL of the pinned wheel, from the project's page in the
// index's simple API (PEP 503 and 691).
func (p Pin) onIndex(ctx context.Context, index string) (string, error) {
	project := strings.TrimRight(index, "/") + "/" + p.Name + "/"
	base, links, err := page(ctx, project)
	if err != nil {
		return "", fmt.Errorf("package index: %s: %w", p.Name, err)
	}
	want := p.fileName()
	for _, link := range links {
		to, err := base.Parse(link)
		if err == nil && want.MatchString(to.Path[strings.LastIndexByte(to.Path, '/')+1:]) {
			to.Fragment = ""
			return to.String(), nil
		}
	}
	return "", fmt.Errorf("%s for %s: not on the package index: %w", p, p.Machine, ErrNone)
}

const (
	pageTries   = 3
	pageTimeout = time.Minute
)

// page gives the links of a page of the index, and what they are relative to.
func page(ctx context.Context, at string) (base *url.URL, links []string, err error) {
	for try := 1; ; try++ {
		var again bool
		if base, links, again, err = askPage(ctx, at); err == nil || !again || try == pageTries {
			return base, links, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(time.Second << (try - 1)):
		}
	}
}

func askPage(ctx context.Context, at string) (base *url.URL, links []string, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, nil, false, errors.New("not a URL")
	}
	r.Header.Set("Accept", "application/vnd.pypi.simple.v1+json, text/html;q=0.1")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, true, bare(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		again := a.StatusCode == http.StatusTooManyRequests || a.StatusCode >= http.StatusInternalServerError
		return nil, nil, again, fmt.Errorf("the server answers %s", a.Status)
	}
	text, err := io.ReadAll(io.LimitReader(a.Body, mostPage))
	if err != nil {
		return nil, nil, true, bare(err)
	}
	links, err = pageLinks(a.Header.Get("Content-Type"), text)
	return a.Request.URL, links, false, err
}

// bare is a client's error without the URL, which may hold a password.
func bare(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

var href = regexp.MustCompile(`(?i)<a\s[^>]*?href\s*=\s*["']([^"']*)["']`)

// pageLinks gives the links of a project's page, in either of its two forms.
func pageLinks(contentType string, text []byte) ([]string, error) {
	var links []string
	if kind, _, _ := mime.ParseMediaType(contentType); strings.HasSuffix(kind, "json") {
		var project struct {
			Files []struct {
				URL string `json:"url"`
			} `json:"files"`
		}
		if err := json.Unmarshal(text, &project); err != nil {
			return nil, fmt.Errorf("its page is not JSON as the index says: %w", err)
		}
		for _, f := range project.Files {
			links = append(links, f.URL)
		}
		return links, nil
	}
	for _, m := range href.FindAllSubmatch(text, -1) {
		links = append(links, html.UnescapeString(string(m[1])))
	}
	slices.Reverse(links) // the newest builds stand last
	return links, nil
}
