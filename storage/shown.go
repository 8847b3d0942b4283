package storage

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// Shown is a name as errors and results have it: a URL without its options, which may be a
// signature, and without a name and password.
func Shown(name string) string {
	if !IsURL(name) {
		return name
	}
	if _, err := url.Parse(name); err != nil && strings.Contains(name, "@") {
		return scheme.FindString(name) + "..." // where its password ends is not known
	}
	name, _, _ = strings.Cut(name, "?")
	head := scheme.FindString(name)
	host, key, slash := strings.Cut(name[len(head):], "/")
	name = head + host[strings.LastIndexByte(host, '@')+1:]
	if slash {
		name += "/" + key
	}
	return name
}

// veiled is an error of those who know nothing of Shown, as net/url, net/http and the stores'
// clients are: the URLs in its text are Shown.
type veiled struct{ error }

func (v veiled) Unwrap() error { return v.error }

func (v veiled) Error() string {
	return inText.ReplaceAllStringFunc(v.error.Error(), func(found string) string {
		front, _, _ := strings.Cut(Shown(found), "?") // which a part of a URL has, too
		return front
	})
}

// inText finds URLs, and what stands behind the question marks of parts of URLs.
var inText = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"]*|\?[^\s"]+`)

// unaddressed is an error of net/url's or net/http's without the URL that it is of, which who
// has the error names. It may be another one, to which a server sent us on.
func unaddressed(err error) error {
	for of := (*url.Error)(nil); errors.As(err, &of); {
		err = of.Err
	}
	return veiled{err}
}
