package meeting

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func knows(secret string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(secret), nil }
}

// place is a meeting of n on this machine, with its host.
func place(t *testing.T, n int) (Place, *Host) {
	t.Helper()
	p := Place{Local: true, World: n, About: "version 1", Wait: 20 * time.Second, Secret: knows("the group's own secret")}
	h, err := p.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	p.Port = h.Port()
	return p, h
}

// strangers are what may connect besides those who belong to a group.
var strangers = map[string]func(t *testing.T, c net.Conn){
	"silent": func(*testing.T, net.Conn) {},
	"gone":   func(_ *testing.T, c net.Conn) { c.Close() },
	"garbage": func(_ *testing.T, c net.Conn) {
		io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\n", 1000)) // may be closed in the middle
	},
	"half a hello": func(_ *testing.T, c net.Conn) { c.Write([]byte{22, 3, 1, 2, 0, 1, 0}) },
	"slow": func(t *testing.T, c net.Conn) {
		go func() {
			for b := []byte{22, 3, 1, 2, 0, 1}; t.Context().Err() == nil; time.Sleep(100 * time.Millisecond) {
				if _, err := c.Write(b[:1]); err != nil {
					return
				}
			}
		}()
	},
	"another secret": func(t *testing.T, c net.Conn) {
		config, err := identity([]byte("the secret of another group"))
		if err != nil {
			t.Fatal(err)
		}
		config.VerifyConnection = nil // whoever it is
		s := tls.Client(c, config)
		fmt.Fprintf(s, `{"Rank":1,"Self":"x","About":"version 1"}`+"\n")
		if line, err := readLine(s); err == nil {
			t.Errorf("a stranger was answered %q", line)
		}
	},
	"no certificate": func(t *testing.T, c net.Conn) {
		s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		fmt.Fprintf(s, `{"Rank":1,"Self":"x","About":"version 1"}`+"\n")
		if line, err := readLine(s); err == nil {
			t.Errorf("a stranger was answered %q", line)
		}
	},
}

// TestStrangers: whoever else connects, many times over, neither holds up nor ends
// a meeting, nor is taken for one of the group.
func TestStrangers(t *testing.T) {
	for name, meets := range strangers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, h := place(t, 3)
			for range 3 * unproved / 2 {
				c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.Port))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				go meets(t, c)
			}
			began := time.Now()
			greet(t, p, h)
			if took := time.Since(began); took > proofTime {
				t.Errorf("the meeting took %v", took)
			}
		})
	}
}

// greet has two guests come to a meeting of three, and expects their words to
// arrive as they were sent.
func greet(t *testing.T, p Place, h *Host) {
	t.Helper()
	var all sync.WaitGroup
	for rank := 1; rank < 3; rank++ {
		all.Go(func() {
			c, err := p.Join(t.Context(), rank)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			fmt.Fprintf(c, "rank %d here\n", rank)
			io.Copy(io.Discard, c) // until rank 0 has read
		})
	}
	conns, err := h.Gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, c := range conns {
		line, err := readLine(c)
		if err != nil {
			t.Error(err)
		}
		said = append(said, line)
		c.Close()
	}
	all.Wait()
	if diff := cmp.Diff([]string{"rank 1 here", "rank 2 here"}, said); diff != "" {
		t.Errorf("what the guests said (-want +got):\n%s", diff)
	}
}

// TestFalseHost: a guest says nothing to a host that does not hold its secret, and
// goes on looking for one that does.
func TestFalseHost(t *testing.T) {
	p, h := place(t, 2)
	go h.Gather(t.Context())
	p.Secret, p.Wait = knows("the secret of another group"), 3*time.Second
	if _, err := p.Join(t.Context(), 1); !errors.Is(err, errStranger) || !strings.Contains(err.Error(), fmt.Sprintf("127.0.0.1:%d", p.Port)) {
		t.Errorf("a host with another secret: %v", err)
	}
	asked := 0
	p.Secret, p.Wait = func() ([]byte, error) {
		if asked++; asked == 1 {
			return []byte("an earlier group's secret"), nil
		}
		return []byte("the group's own secret"), nil
	}, 20*time.Second
	c, err := p.Join(t.Context(), 1)
	if err != nil {
		t.Fatalf("once the secret is known: %v", err)
	}
	c.Close()
}

// TestUnfit: who holds the secret and does not fit is refused, on both sides, by
// name.
func TestUnfit(t *testing.T) {
	for want, join := range map[string]func(p Place) error{
		"rank 1 has version 2, rank 0 version 1": func(p Place) error {
			p.About = "version 2"
			_, err := p.Join(t.Context(), 1)
			return err
		},
		"a process says that it is rank 7 of 3": func(p Place) error {
			_, err := p.Join(t.Context(), 7)
			return err
		},
		"two processes say that they are rank 1": func(p Place) error {
			if _, err := p.Join(t.Context(), 1); err != nil {
				return err
			}
			_, err := p.Join(t.Context(), 1)
			return err
		},
	} {
		p, h := place(t, 3)
		told := make(chan error, 1)
		go func() { told <- join(p) }()
		if _, err := h.Gather(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("rank 0: %v, want %q", err, want)
		}
		if err := <-told; !errors.Is(err, errRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("the other: %v, want %q", err, want)
		}
	}
}

// TestNobody: a meeting that cannot be says so, with the place, and what it waits
// for meanwhile.
func TestNobody(t *testing.T) {
	p, h := place(t, 12)
	h.place.Wait = 50 * time.Millisecond
	at := fmt.Sprintf("127.0.0.1:%d", p.Port)
	want := "rank 1, 2, 3, 4, 5, 6, 7, 8 and 3 more of 12 processes did not come to " + at + " within 50ms"
	if _, err := h.Gather(t.Context()); err == nil || err.Error() != want {
		t.Errorf("rank 0 alone: %v", err)
	}
	p.Wait = time.Second
	if _, err := p.Join(t.Context(), 1); err == nil || !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, stop)
	p.Wait = time.Minute
	if _, err := p.Join(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}

func TestUnknownName(t *testing.T) {
	missing := &net.DNSError{Err: "no such host", Name: "n0", IsNotFound: true}
	failing := &net.DNSError{Err: "server misbehaving", Name: "n0"}
	type asked struct {
		err error
		ago time.Duration
	}
	for a, want := range map[asked]bool{
		{missing, 0}: false, {missing, nameTime + time.Second}: true,
		{failing, nameTime + time.Second}: false, {failing, 3*nameTime + time.Second}: true,
		{io.EOF, time.Hour}: false,
	} {
		if got := unknown(a.err, time.Now().Add(-a.ago)); got != want {
			t.Errorf("%v after %v: %v", a.err, a.ago, got)
		}
	}
}

// TestListensOnLoopback: what a group of one machine opens is reached from it alone.
func TestListensOnLoopback(t *testing.T) {
	_, h := place(t, 2)
	if a := h.listener.Addr().(*net.TCPAddr); !a.IP.IsLoopback() {
		t.Errorf("a group of one machine listens at %v", a)
	}
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	var before []byte
	for range 2 { // the second takes the first one's place
		wrote, err := WriteSecret(path)
		if err != nil {
			t.Fatal(err)
		}
		read, err := ReadSecret(path, true)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wrote, read); diff != "" || len(read) < 2*leastSecret || string(read) == string(before) {
			t.Errorf("secret %q after %q (-wrote +read):\n%s", read, before, diff)
		}
		before = read
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
		t.Errorf("beside the secret: %v, %v", all, err)
	}
	link, short := path+".link", path+".short"
	for _, err := range []error{os.Chmod(path, 0o640), os.Symlink(path, link), os.WriteFile(short, []byte("password\n"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadSecret(path, false); err != nil {
		t.Errorf("a secret that somebody else chose: %v", err)
	}
	for path, own := range map[string]bool{path: true, link: true, short: false, filepath.Dir(path): false, path + ".none": false} {
		if s, err := ReadSecret(path, own); err == nil {
			t.Errorf("%s was taken for a secret: %q", path, s)
		}
	}
}

// TestNoSecretAndNoName: a name that nobody has is told, though the secret that
// rank 0 would share is missing too.
func TestNoSecretAndNoName(t *testing.T) {
	p := Place{Addr: "no-such-machine.invalid", Port: 2, World: 2, Wait: time.Second, Secret: func() ([]byte, error) { return nil, errors.New("secret of the group: none") }}
	_, err := p.Join(t.Context(), 1)
	if err == nil || !strings.Contains(err.Error(), "no-such-machine.invalid:2") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// TestTellsSeldomer: what is waited for is told in seconds, and then ever more
// seldom.
func TestTellsSeldomer(t *testing.T) {
	told := 0
	w := Place{OnWait: func(string) { told++ }}.waiting()
	w.tell("too early")
	for range 3 {
		w.next = time.Now()
		w.tell("now")
		w.tell("too early again")
	}
	if diff := cmp.Diff([]any{3, 8 * patience}, []any{told, w.pause}); diff != "" {
		t.Errorf("times told, pause (-want +got):\n%s", diff)
	}
}

// TestSecretIn: rank 0 leaves a secret that the others read, and forgets it and the
// directory that it made, but nothing that was there.
func TestSecretIn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "a")
	other, err := SecretIn(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Get(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before rank 0: %v", err)
	}
	for _, kept := range []bool{false, true} {
		if kept {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		first, err := SecretIn(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		want, err0 := first.Get()
		got, err1 := other.Get()
		if diff := cmp.Diff(want, got); diff != "" || errors.Join(err0, err1) != nil || len(got) < leastSecret {
			t.Errorf("%v, %v; (-rank 0's +rank 1's):\n%s", err0, err1, diff)
		}
		first.Forget()
		if _, err := other.Get(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("when all have come: %v", err)
		}
		if _, err := os.Stat(dir); (err == nil) != kept {
			t.Errorf("a directory that was there (%v): %v", kept, err)
		}
	}
}
