package wheel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/synshard/synshard/storage"
)

// ErrNone says that a wheel is in none of the places.
var ErrNone = errors.New("no such wheel")

// Of a project's page of the index.
const (
	mostPage     = 64 << 20 // bytes
	pageForms    = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
	pagePatience = 3 * time.Second // with a server that is busy, or not there
)

// fileName matches the wheel's file name: for CPython 3.12 or for any Python,
// on manylinux, of any build. Inside they are the same for what is taken of them.
func (p Pin) fileName() *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`^%s-%s(-[0-9][^-/]*)?-(cp312-cp312|py3-none)-manylinux[^/]*_%s\.whl$`,
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
	if index == "" {
		return "", fmt.Errorf("%s for %s: in no directory of wheels, and no package index is known: %w", p, p.Machine, ErrNone)
	}
	project := strings.TrimRight(index, "/") + "/" + p.Name + "/"
	page, err := storage.ReadPage(ctx, project, pageForms, mostPage, storage.Options{Patience: pagePatience})
	if err != nil {
		return "", fmt.Errorf("package index: %s: %w", p.Name, err)
	}
	links, err := pageLinks(page.Type, page.Text)
	if err != nil {
		return "", fmt.Errorf("package index: %s: %w", p.Name, err)
	}
	want := p.fileName()
	for _, link := range links {
		to, err := page.URL.Parse(link)
		if err == nil && want.MatchString(to.Path[strings.LastIndexByte(to.Path, '/')+1:]) {
			to.Fragment = ""
			return to.String(), nil
		}
	}
	return "", fmt.Errorf("%s for %s: not on the package index: %w", p, p.Machine, ErrNone)
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
