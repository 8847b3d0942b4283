package storage

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/synshard/synshard/storage/storagetest"
)

// TestAbort gives up uploads below a place that nobody ends, and none beside it.
func TestAbort(t *testing.T) {
	s := storagetest.Start(t)
	p, err := Open(t.Context(), s.URL("set"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var client *s3.Client
	if !p.store.(*bucket).b.As(&client) {
		t.Fatal("no client of S3's")
	}
	for _, key := range []string{"set/a", "set/b/c", "settled"} {
		if _, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(s.Bucket), Key: aws.String(key)}); err != nil {
			t.Fatal(err)
		}
	}
	begun := func() int {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(s.Dir, ".sgwtmp", "multipart", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	before := begun()
	if err := p.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if before != 3 || begun() != 1 {
		entries, _ := os.ReadDir(s.Dir)
		t.Errorf("%d uploads were begun, and %d are left: want 3 and 1 (%v)", before, begun(), entries)
	}
}
