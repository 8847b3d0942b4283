// Package storagetest runs an S3 server on loopback for tests, and a proxy before it
// that makes the faults which networks and stores make.
package storagetest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Server is a running S3 server with one bucket.
type Server struct {
	Addr   string // host and port
	Dir    string // in which the bucket's objects are files, by their keys
	Bucket string // its name
}

// Start starts a server that ends with the test, and sets the variables by which
// clients in this process and its children find it and are known to it. Without the
// server's program the test is skipped; where SYNSHARD_TEST_NATIVE is set, it fails.
func Start(t testing.TB) *Server {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(cache, "synshard", "versitygw")
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("SYNSHARD_TEST_NATIVE") != "" {
			t.Fatal(err)
		}
		t.Skipf("no S3 server: scripts/s3server.sh builds it (%v)", err)
	}
	root := t.TempDir()
	s := &Server{Bucket: "images"}
	s.Dir = filepath.Join(root, s.Bucket)
	if err := os.Mkdir(s.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	side := filepath.Join(t.TempDir(), "attributes") // wherever the file system has no extended attributes
	if err := os.Mkdir(side, 0o777); err != nil {
		t.Fatal(err)
	}
	const key, secret = "synshard", "not-a-secret"
	log := filepath.Join(side, "log")
	// Another may have the port that was free a moment ago.
	for try := 0; !s.begin(t, log, program, "--quiet", "--access", key, "--secret", secret, "posix", "--sidecar", side, root); try++ {
		if try == 2 {
			text, _ := os.ReadFile(log)
			t.Fatalf("the S3 server does not answer:\n%s", text)
		}
	}
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": "http://" + s.Addr,
		"AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		setenv(t, k, v)
	}
	return s
}

// begin starts the program at a free port, and says whether that is what answers there.
func (s *Server) begin(t testing.TB, log, program string, args ...string) bool {
	t.Helper()
	s.Addr = free(t)
	c := exec.Command(program, append([]string{"--port", s.Addr}, args...)...)
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		out.Close()
	})
	for began := time.Now(); time.Since(began) < 20*time.Second; {
		if answer, err := http.Get("http://" + s.Addr); err == nil {
			answer.Body.Close()
			return answer.Header.Get("Server") == "VERSITYGW"
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

// setenv is t.Setenv for benchmarks and tests alike.
func setenv(t testing.TB, k, v string) {
	t.Helper()
	t.(interface{ Setenv(k, v string) }).Setenv(k, v)
}

// URL is that of a key in the bucket.
func (s *Server) URL(key string) string { return fmt.Sprintf("s3://%s/%s", s.Bucket, key) }

// Via is URL by way of a proxy.
func (s *Server) Via(p *Proxy, key string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=http://%s&use_path_style=true&region=us-east-1", s.Bucket, key, p.Addr)
}

// Put puts a file of bytes into the bucket behind the server's back.
func (s *Server) Put(t testing.TB, key string, b []byte) {
	t.Helper()
	path := filepath.Join(s.Dir, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
