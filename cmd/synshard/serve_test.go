package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServe: it prints where it answers, wants a token where others can come, and a signal
// ends it with what was interrupted.
func TestServe(t *testing.T) {
	for _, c := range []struct {
		addr  string
		token bool
		end   syscall.Signal
	}{{"127.0.0.1:0", false, syscall.SIGTERM}, {"[::1]:0", false, syscall.SIGINT}, {"0.0.0.0:0", true, syscall.SIGTERM}} {
		if l, err := net.Listen("tcp", c.addr); err == nil {
			l.Close()
		} else if strings.Contains(c.addr, "::1") {
			continue // a machine without IPv6
		}
		cmd := synshardCommand(t, "serve", "../../shard/testdata/v1", "--addr", c.addr, "--no-wordnet")
		out, err := cmd.StdoutPipe()
		check(t, err)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
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

// TestServeDamaged: pages are there before predictions are; damage of these ends both.
func TestServeDamaged(t *testing.T) {
	b, err := os.ReadFile("../../infer/prediction/testdata/v1/predictions.arrow")
	check(t, err)
	b[len(b)/2] ^= 0xff
	path := filepath.Join(t.TempDir(), "p.arrow")
	check(t, os.WriteFile(path, b, 0o666))
	cmd := synshardCommand(t, "serve", "../../shard/testdata/v1", path, "--no-wordnet")
	var out, told strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &told
	check(t, cmd.Start())
	defer time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }).Stop()
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitCorrupt || !strings.HasPrefix(out.String(), "http://127.0.0.1:") || !strings.Contains(told.String(), path) {
		t.Errorf("exit %d\n%s%s", cmd.ProcessState.ExitCode(), out.String(), told.String())
	}
}

// TestServeModel: with the model that made the predictions an image's page shows where it
// looked; another one, or predictions that do not say theirs, are refused.
func TestServeModel(t *testing.T) {
	const set = "../../shard/testdata/v1"
	bed := newInferBed(t)
	bed.put("classes.txt", "n02123045\nn02129604\nn07749582\nn09472597\nelk\n")
	bed.infer(0, "", set, "--split", "train", "--out", bed.at("p.arrow"))
	bed.put("p.csv", "path,label,pred_label_1,pred_prob_1\na,1,2,0.5\n")
	serve := func(predictions, model string) []string {
		return []string{"serve", set, predictions, "--heat", model, "--ort-lib", bed.lib, "--no-wordnet"}
	}
	for want, args := range map[string][]string{
		"it is not the model that made": serve(bed.at("p.arrow"), filepath.Join(filepath.Dir(bed.model), "nchw_uint8.onnx")),
		"does not say which model":      append(serve(bed.at("p.csv"), bed.model), "--classes", bed.classes),
	} {
		if code, _, stderr := verb(args...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit %d, %s", args, code, stderr)
		}
	}
	cmd := synshardCommand(t, serve(bed.at("p.arrow"), bed.model)...)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	check(t, err)
	at := strings.TrimSpace(line) + "image/train/0/heat"
	page := fetched(t, at, "text/html; charset=utf-8")
	images := regexp.MustCompile(`/heat/\w+`).FindAllString(page, -1)
	if len(images) < 2 {
		t.Errorf("images %q of\n%s", images, page)
	}
	for _, im := range images {
		fetched(t, strings.TrimSuffix(at, "/heat")+im, "image/jpeg")
	}
}

// fetched is what is at an address, which must be there, once predictions were read, and of a kind.
func fetched(t *testing.T, address, kind string) string {
	t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		answer, err := http.Get(address)
		check(t, err)
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		check(t, err)
		if answer.StatusCode == http.StatusServiceUnavailable && time.Since(began) < time.Minute {
			continue
		}
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %s, %s", address, answer.Status, answer.Header.Get("Content-Type"))
		}
		return string(body)
	}
}
