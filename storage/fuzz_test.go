package storage

import (
	"errors"
	"strings"
	"testing"

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
