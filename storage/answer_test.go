package storage_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/storage/storagetest"
)

// TestAnswers asks for what a store does not have or give, and wants of its answers what people
// can use: neither the numbers of requests nor the names of a library's calls.
func TestAnswers(t *testing.T) {
	s := storagetest.Start(t)
	here, nowhere := open(t, s.URL("x"), storage.Options{}), open(t, "s3://nowhere/x", storage.Options{})
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	stranger := open(t, s.URL("x"), storage.Options{})
	proxy := storagetest.Before(t, s, storagetest.Faults{})
	hasty := open(t, s.Via(proxy, "x"), storage.Options{Patience: time.Millisecond})
	status, gone := http.StatusOK, open(t, "s3://images/x?endpoint=http://127.0.0.1:1&use_path_style=true&region=us-east-1", storage.Options{Patience: time.Millisecond})
	proxy.Tap(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(status)
		io.WriteString(w, "<Error><Code>Odd</Code><Message>It is odd.</Message></Error>")
	})
	answers := func(code int, do func(*storage.Place) error) func(*storage.Place) error {
		return func(p *storage.Place) error {
			status = code
			return do(p)
		}
	}
	read := func(p *storage.Place) error {
		_, err := p.OpenRead(t.Context(), "a")
		return err
	}
	list := func(p *storage.Place) error {
		_, err := p.List(t.Context(), "")
		return err
	}
	write := func(p *storage.Place) error { return p.Write(t.Context(), "a", []byte("a")) }
	remove := func(p *storage.Place) error { return p.RemoveMany(t.Context(), []string{"a", "b"}) }
	for _, c := range []struct {
		of   *storage.Place
		do   func(*storage.Place) error
		want error // nil: none that callers tell apart
		text string
	}{
		{here, read, fs.ErrNotExist, `^s3://images/x/a: file does not exist$`},
		{nowhere, read, storage.ErrNoBucket, `^s3://nowhere/x/a: there is no such bucket$`},
		{nowhere, list, storage.ErrNoBucket, `^list s3://nowhere/x: there is no such bucket$`},
		{nowhere, write, storage.ErrNoBucket, `^write s3://nowhere/x/a: there is no such bucket$`},
		{nowhere, remove, storage.ErrNoBucket, `^remove below s3://nowhere/x: there is no such bucket$`},
		{stranger, read, fs.ErrPermission, `^s3://images/x/a: permission denied \(SignatureDoesNotMatch: [^:]+\)$`},
		{stranger, write, fs.ErrPermission, `^write s3://images/x/a: permission denied \(SignatureDoesNotMatch: [^:]+\)$`},
		{hasty, answers(http.StatusBadRequest, read), nil, `^s3://images/x/a: Odd: It is odd\.$`},
		{hasty, answers(http.StatusBadRequest, write), nil, `^write s3://images/x/a: Odd: It is odd\.$`},
		{hasty, answers(http.StatusInternalServerError, list), nil, `^list s3://images/x: Odd: It is odd\.`},
		{gone, list, syscall.ECONNREFUSED, `^list s3://images/x: Get "[^"]+": dial tcp 127\.0\.0\.1:1: connect: connection refused`},
	} {
		err := c.do(c.of)
		if c.want != nil && !errors.Is(err, c.want) || !regexp.MustCompile(c.text).MatchString(err.Error()) {
			t.Errorf("%v, want %s", err, c.text)
		}
	}
}
