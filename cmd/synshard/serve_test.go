package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"syscall"
	"testing"
)

// TestServe: it prints where it answers, wants a token where others can come, and a signal
// ends it with what was interrupted.
func TestServe(t *testing.T) {
	for _, c := range []struct {
		addr  string
		token bool
		end   syscall.Signal
	}{{"127.0.0.1:0", false, syscall.SIGTERM}, {"[::1]:0", false, syscall.SIGINT}, {"0.0.0.0:0", true, syscall.SIGTERM}} {
		cmd := synshardCommand(t, "serve", "../../shard/testdata/v1", "--addr", c.addr, "--no-wordnet")
		out, err := cmd.StdoutPipe()
		check(t, err)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			if strings.Contains(c.addr, "::1") {
				continue // a machine without IPv6
			}
			t.Fatal(err)
		}
		address := strings.TrimSpace(line)
		plain, _, asked := strings.Cut(address, "?token=")
		if asked != c.token {
			t.Errorf("%s: %s", c.addr, address)
		}
		if _, port, ok := strings.Cut(strings.TrimPrefix(plain, "http://"), ":"); c.token && ok {
			plain = "http://127.0.0.1:" + port // the machine's own name may lead nowhere
			address = plain + "?token=" + strings.SplitN(address, "?token=", 2)[1]
		}
		jar, _ := cookiejar.New(nil)
		client := &http.Client{Jar: jar}
		for _, ask := range []struct {
			url  string
			code int
		}{{plain, map[bool]int{true: 403, false: 200}[c.token]}, {address, 200}, {plain + "image/train/0/thumbnail", 200}} {
			answer, err := client.Get(ask.url)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != ask.code || len(body) == 0 {
				t.Errorf("%s: %s: %d, want %d", c.addr, ask.url, answer.StatusCode, ask.code)
			}
		}
		check(t, cmd.Process.Signal(c.end))
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != exitInterrupted {
			t.Errorf("%s: %v after %v, want exit %d", c.addr, err, c.end, exitInterrupted)
		}
	}
}
