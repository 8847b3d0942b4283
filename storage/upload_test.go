package storage

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestUploadAsked holds what is asked of S3 to the options of the URL and to how large an
// object is, by requests that carry all of its bytes and no others.
func TestUploadAsked(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	var mu sync.Mutex
	var asked map[string][]byte // bodies, by method and query
	var headers []http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		q := r.URL.Query()
		asked[fmt.Sprintf("%s uploads=%t part=%s", r.Method, q.Has("uploads"), q.Get("partNumber"))] = body
		headers = append(headers, r.Header)
		w.Header().Set("ETag", `"1"`)
		switch {
		case q.Has("uploads"):
			fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
		case r.Method == http.MethodPost:
			fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>`)
		}
	}))
	defer server.Close()
	for _, c := range []struct {
		options string
		size    int64
		parts   int // 0: written at once
		summed  bool
	}{
		{"", 0, 0, true},
		{"&ssetype=aws:kms&kmskeyid=key", partSize, 0, true},
		{"&ssetype=aws:kms&kmskeyid=key", partSize + 1, 2, true},
		{"&request_checksum_calculation=when_required", 2 * partSize, 2, false},
	} {
		asked, headers = map[string][]byte{}, nil
		p, err := Open(t.Context(), "s3://bucket/x?use_path_style=true&region=us-east-1&endpoint="+server.URL+c.options, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, c.size)
		for i := range want {
			want[i] = byte(i >> 12)
		}
		if err := p.Write(t.Context(), "a", want); err != nil {
			t.Fatal(err)
		}
		got := asked["PUT uploads=false part="]
		for part := range c.parts {
			got = append(got, asked[fmt.Sprintf("PUT uploads=false part=%d", part+1)]...)
		}
		requests := 1
		if c.parts > 0 {
			requests = c.parts + 2
		}
		if !bytes.Equal(got, want) || len(headers) != requests {
			t.Errorf("%q, %d bytes: %d bytes in %d requests", c.options, c.size, len(got), len(headers))
		}
		if begun := headers[0]; strings.Contains(c.options, "kms") && (begun.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || begun.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "key") {
			t.Errorf("%q: %v", c.options, begun)
		}
		sent := headers[min(1, len(headers)-1)]
		if summed := sent.Get("X-Amz-Checksum-Crc32") != ""; summed != c.summed {
			t.Errorf("%q, %d bytes: a sum: %t, in %v", c.options, c.size, summed, sent)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPartLength holds the parts of any object to as many as S3 takes.
func TestPartLength(t *testing.T) {
	for _, size := range []int64{partSize + 1, partSize * mostParts, partSize*mostParts + 1, 5 << 40} {
		length := partLength(size)
		if n := (size + length - 1) / length; n > mostParts || length < partSize {
			t.Errorf("%d bytes in %d parts of %d", size, n, length)
		}
	}
}
