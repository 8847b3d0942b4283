package storage_test

import (
	"errors"
	"io/fs"
	"regexp"
	"testing"

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
		want error
		text string
	}{
		{here, read, fs.ErrNotExist, `^s3://images/x/a: file does not exist$`},
		{nowhere, read, storage.ErrNoBucket, `^s3://nowhere/x/a: there is no such bucket$`},
		{nowhere, list, storage.ErrNoBucket, `^list s3://nowhere/x: there is no such bucket$`},
		{nowhere, write, storage.ErrNoBucket, `^write s3://nowhere/x/a: there is no such bucket$`},
		{nowhere, remove, storage.ErrNoBucket, `^remove below s3://nowhere/x: there is no such bucket$`},
		{stranger, read, fs.ErrPermission, `^s3://images/x/a: permission denied \(SignatureDoesNotMatch: [^:]+\)$`},
		{stranger, write, fs.ErrPermission, `^write s3://images/x/a: permission denied \(SignatureDoesNotMatch: [^:]+\)$`},
	} {
		err := c.do(c.of)
		if !errors.Is(err, c.want) || !regexp.MustCompile(c.text).MatchString(err.Error()) {
			t.Errorf("%v, want %s", err, c.text)
		}
	}
}
