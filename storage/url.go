// Package storage is where files lie that are in no directory here: objects of
// S3, Google Cloud Storage and Azure, by gocloud.dev's URLs, and files of web
// servers, which are only read. Objects are read by ranges, each of which is one
// state of its object or an error; written whole or not at all; and what fails
// for a while (timeouts, 429, 5xx, answers that end early) is tried again.
//
// A name without a scheme is a path, and none of this package's: files here are
// opened by internal/regular and written by internal/durable.
package storage

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Schemes are the beginnings of the URLs that are understood. Web servers' are
// only read.
var Schemes = []string{"s3", "gs", "az", "https", "http"}

var (
	// ErrURL is of a URL that cannot be a place: an unknown scheme, no bucket, an
	// option that the store does not have.
	ErrURL = errors.New("not a place that can be read or written")
	// ErrNoBucket is of a bucket, or a container, that is not there.
	ErrNoBucket = errors.New("there is no such bucket")
	// ErrReadOnly is of writing to a web server.
	ErrReadOnly = errors.New("it can only be read")
	// ErrChanged is of an object that was changed, or is gone, since it was opened.
	ErrChanged = errors.New("it was changed while it was read")
	// ErrExists is of an object that was to be made and is there.
	ErrExists = errors.New("it exists already")
)

var scheme = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)

// IsURL says whether a name is a URL, of whatever scheme, and not a path.
func IsURL(name string) bool { return scheme.MatchString(name) }

// Check wants a name to be a path or a URL of a known scheme; else the error is
// ErrURL.
func Check(name string) error {
	if !IsURL(name) {
		return nil
	}
	_, err := parse(name)
	return err
}

// Writable is Check for what is to be written.
func Writable(name string) error {
	if !IsURL(name) {
		return nil
	}
	l, err := parse(name)
	if err == nil && l.web() {
		return fmt.Errorf("%s: %w", l, ErrReadOnly)
	}
	return err
}

// location is a URL taken apart.
type location struct {
	scheme, bucket string // bucket: a web server's host and port
	key            string // without slashes at its ends
	slash          bool   // the URL ends in one
	query          string
}

func parse(name string) (location, error) {
	u, err := url.Parse(name)
	if err != nil {
		return location{}, unparsed(name, err)
	}
	l := location{scheme: strings.ToLower(u.Scheme), bucket: u.Host, key: strings.Trim(u.Path, "/"), slash: strings.HasSuffix(u.Path, "/"), query: u.RawQuery}
	switch {
	case !slices.Contains(Schemes, l.scheme):
		return l, fmt.Errorf("%s: %s:// is %w; there are %s and local paths", l, l.scheme, ErrURL, strings.Join(Schemes, "://, ")+"://")
	case u.Host == "":
		return l, fmt.Errorf("%s: no bucket is named, so it is %w", l, ErrURL)
	case l.scheme == "http" && !loopback(u.Hostname()):
		return l, fmt.Errorf("%s: http:// is for this machine alone, other servers are asked by https://: %w", l, ErrURL)
	case u.User != nil:
		return l, fmt.Errorf("%s: names and passwords do not belong into a URL: %w", l, ErrURL)
	case u.Fragment != "":
		return l, fmt.Errorf("%s: a # must be written %%23: %w", l, ErrURL)
	case !l.web() && l.key != "" && path.Clean("/"+l.key) != "/"+l.key:
		return l, fmt.Errorf("%s: a path with empty elements, . or ..: %w", l, ErrURL)
	case l.web():
		l.key = strings.TrimPrefix(u.EscapedPath(), "/")
	}
	return l, nil
}

// unparsed is the error of a URL that cannot be taken apart. Why is not said where it may be
// a part of a password.
func unparsed(name string, err error) error {
	if strings.Contains(name, "@") {
		return fmt.Errorf("%s: the URL cannot be taken apart, so it is %w", Shown(name), ErrURL)
	}
	return fmt.Errorf("%s: %w: %w", Shown(name), ErrURL, unaddressed(err))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (l location) web() bool { return l.scheme == "https" || l.scheme == "http" }

// String is the URL as people may see it: what stands behind a question mark may be a
// signature.
func (l location) String() string {
	if l.key == "" {
		return l.scheme + "://" + l.bucket
	}
	return l.scheme + "://" + l.bucket + "/" + l.key
}

// Join gives the URL of what lies below a URL at a relative path with slashes.
func Join(base, rel string) string {
	front, query, asked := strings.Cut(base, "?")
	if rel = strings.Trim(rel, "/"); rel != "" {
		u := url.URL{Path: rel}
		front = strings.TrimRight(front, "/") + "/" + u.EscapedPath()
	}
	if asked {
		return front + "?" + query
	}
	return front
}

// Root parts a URL into that of its bucket, or its server, with the options, and the name
// below it.
func Root(name string) (root, key string) {
	front, query, asked := strings.Cut(name, "?")
	head := scheme.FindString(front)
	host, key, _ := strings.Cut(front[len(head):], "/")
	if plain, err := url.PathUnescape(key); err == nil {
		key = plain
	}
	if root = head + host; asked {
		root += "?" + query
	}
	return root, key
}

// Beside gives the URL of what a relative path with slashes means in a file at a URL.
func Beside(name, rel string) (string, error) {
	root, key := Root(name)
	to := path.Join(path.Dir(key), rel)
	if to == ".." || strings.HasPrefix(to, "../") {
		return "", fmt.Errorf("%s: %q leads out of the bucket: %w", Shown(name), rel, ErrURL)
	}
	return Join(root, to), nil
}

// WithOptions gives a URL that has no options those of another one of its scheme, but for
// web servers', where they may be a signature of one file.
func WithOptions(name, like string) string {
	_, query, asked := strings.Cut(like, "?")
	head := strings.ToLower(scheme.FindString(name))
	if !asked || strings.Contains(name, "?") || head != strings.ToLower(scheme.FindString(like)) || strings.HasPrefix(head, "http") {
		return name
	}
	return name + "?" + query
}

// Split parts a URL into what it lies in and its own name.
func Split(name string) (dir, base string) {
	front, query, asked := strings.Cut(name, "?")
	at := strings.LastIndexByte(strings.TrimRight(front, "/"), '/')
	dir, base = front[:at], strings.Trim(front[at:], "/")
	if plain, err := url.PathUnescape(base); err == nil {
		base = plain
	}
	if asked {
		dir += "?" + query
	}
	return dir, base
}
