package storage_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/synshard/synshard/storage"
)

func TestShown(t *testing.T) {
	for name, want := range map[string]string{
		"a?b":                            "a?b",
		"s3://b/k@v?endpoint=x":          "s3://b/k@v",
		"https://u:SECRET@h/a@b?s=1":     "https://h/a@b",
		"https://h?sig=SECRET":           "https://h",
		"https://h/%zz?sig=SECRET":       "https://h/%zz",
		"https://u:SE?CRET@h/x":          "https://...",
		"https://u:SE/CRET@h/x":          "https://...",
		"https://h:9x/a?sig=SECRET@more": "https://...",
	} {
		if got := storage.Shown(name); got != want {
			t.Errorf("%s is shown as %s, want %s", name, got, want)
		}
	}
}

// TestSecrets: what stands behind a question mark, and passwords, are in no error: of a URL that
// is none, of a store that does not take its options, of servers that cannot be reached or send
// on.
func TestSecrets(t *testing.T) {
	for k, v := range map[string]string{"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(k, v)
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", map[string]string{"/loop": "/loop?sig=SECRET", "/away": "http://u:SECRET@example.org/x?sig=SECRET", "/bad": "/%zz?sig=SECRET"}[r.URL.Path])
		w.WriteHeader(http.StatusFound)
	}))
	defer h.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	nobody := closed.Addr().String()
	closed.Close()
	o := storage.Options{Patience: time.Millisecond}
	for _, url := range []string{
		"https://h/%zz.jpg?sig=SECRET", "https://h:9x9/a?sig=SECRET", "https://u:SECRET@h/x", "https://u:SECRET/@h/x", "https://u:%zzSECRET@h/x", "https://h/a b\x01?sig=SECRET",
		"s3://b/k?X-Amz-Credential=AKIA&X-Amz-Signature=SECRET", `s3://b/k?region=us-east-1&sig=a "SECRET`, "gs://b/k?sig=SECRET&anonymous=true", "az://b/k?sig=SECRET",
		h.URL + "/loop?sig=SECRET", h.URL + "/away?sig=SECRET", h.URL + "/bad?sig=SECRET", "http://" + nobody + "/x?sig=SECRET",
		"s3://b/k?region=us-east-1&use_path_style=true&endpoint=http://u:SECRET@" + nobody,
	} {
		p, err := storage.Open(t.Context(), url, o)
		if err == nil {
			_, err = p.OpenObject(t.Context(), "")
			p.Close()
		}
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
