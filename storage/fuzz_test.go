package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzURL: a name is a path, or ErrURL, or a place whose key leads nowhere else and
// whose text for people is the same place without what may be a signature.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"s3://bucket/a/b.tar?region=x", "gs://b", "az://c//d/", "https://h:1/a%2Fb?sig=secret", "http://127.0.0.1:9/x", "http://[::1]/", "s3://b/../x", "https://u:p@h/x", "s3://b/a#c", "file:///etc/passwd", "S3://B/%2e%2e/a", "s3://b/a%3Fsig", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := Check(name)
		if err != nil && (!IsURL(name) || !errors.Is(err, ErrURL)) {
			t.Fatalf("%q: %v", name, err)
		}
		if IsURL(name) {
			if shown := Shown(name); strings.Contains(shown, "?") {
				t.Errorf("%q is shown as %q", name, shown)
			}
		}
		if err != nil || !IsURL(name) {
			return
		}
		l, err := parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains("/"+l.key+"/", "/../") && !l.web() {
			t.Errorf("%q leads elsewhere: %q", name, l.key)
		}
		if l.web() {
			again, err := parse(l.String())
			l.query = ""
			if diff := cmp.Diff(l, again, cmp.AllowUnexported(location{})); err != nil || diff != "" && l.key != "" {
				t.Errorf("%q as shown is %v (-was +is):\n%s", name, err, diff)
			}
		}
		if werr := Writable(name); (werr != nil) != l.web() || werr != nil && !errors.Is(werr, ErrReadOnly) {
			t.Errorf("%q may be written: %v", name, werr)
		}
	})
}

// answers gives answers in turn, the last one for ever.
type answers struct {
	all []*http.Response
	n   int
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	was := a.all[min(a.n, len(a.all)-1)]
	a.n++
	now := *was
	now.Request, now.Header = r, was.Header.Clone()
	b := []byte(was.Header.Get("Body"))
	now.Header.Del("Body")
	now.Body, now.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return &now, nil
}

// FuzzAnswer: whatever a web server answers, a file that is read is as long as it was said to be, and
// made of what was answered to this range of this state; else there is an error, and in no time.
func FuzzAnswer(f *testing.F) {
	f.Add(206, "bytes 0-0/4", `"1"`, "a", 206, "bytes 0-3/4", `"1"`, "abcd")
	f.Add(206, "bytes 0-0/-4", `"1"`, "a", 200, "", `W/"1"`, "abcd")
	f.Add(302, "bytes 0-0/9223372036854775807", "", "", 206, "bytes 0-3/*", `"2"`, "ab")
	f.Add(200, "", `"1"`, "", 416, "bytes */0", "", "")
	f.Fuzz(func(t *testing.T, s1 int, range1, tag1, body1 string, s2 int, range2, tag2, body2 string) {
		p, err := Open(t.Context(), "http://127.0.0.1:9/x", Options{Patience: time.Nanosecond, Idle: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		answer := func(status int, of, tag, body string) *http.Response {
			h := http.Header{"Content-Range": {of}, "Etag": {tag}, "Body": {body}, "Location": {body}}
			return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: h, ProtoMajor: 1, ProtoMinor: 1}
		}
		turns := &answers{all: []*http.Response{answer(s1, range1, tag1, body1), answer(s2, range2, tag2, body2)}}
		p.store.(*web).client.Transport = turns
		const most = 1 << 20
		b, err := p.ReadFile(t.Context(), "", most)
		if err != nil || len(b) == 0 {
			return
		}
		if len(b) > most || tag1 != tag2 || !strings.HasPrefix(body2, string(b[:min(len(b), len(body2))])) || !strings.HasSuffix(range1, fmt.Sprint("/", len(b))) {
			t.Errorf("%d bytes of %q %q and %q %q", len(b), range1, body1, range2, body2)
		}
	})
}
