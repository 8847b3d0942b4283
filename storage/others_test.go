package storage_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/storage"
)

// program is that which a variable names, or the test is skipped.
func program(t *testing.T, variable, what string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("%s is not set: it names %s", variable, what)
	}
	return path
}

// serve starts a server that ends with the test, with arguments of its address.
func serve(t *testing.T, path string, args func(host, port string) []string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	host, port, _ := net.SplitHostPort(addr)
	c := exec.Command(path, args(host, port)...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return addr
		}
	}
	t.Fatalf("%s does not answer", path)
	return ""
}

// TestGoogle holds a server of Google's protocol to what is promised.
func TestGoogle(t *testing.T) {
	path := program(t, "SYNSHARD_TEST_GCS", "fake-gcs-server, built from its Go module")
	data := t.TempDir()
	if err := os.Mkdir(data+"/images", 0o777); err != nil {
		t.Fatal(err)
	}
	addr := serve(t, path, func(host, port string) []string {
		return []string{"-scheme", "http", "-host", host, "-port", port, "-public-host", host + ":" + port, "-backend", "memory", "-data", data, "-log-level", "error"}
	})
	t.Setenv("STORAGE_EMULATOR_HOST", addr)
	promises(t, "gs://images/x?anonymous=true")
	fenced(t, "gs://images/fenced?anonymous=true")
}

// The account and the key that every server has that stands in for Azure.
const azureAccount, azureKey = "devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

// azure is the URL of a key on such a server. A process reads the account and the key once,
// so that all tests have the same; what differs is in the URL.
func azure(t *testing.T, addr, key string) string {
	t.Helper()
	t.Setenv("AZURE_STORAGE_ACCOUNT", azureAccount)
	t.Setenv("AZURE_STORAGE_KEY", azureKey)
	return "az://images/" + key + "?protocol=http&localemu=true&domain=" + addr
}

// TestAzure holds a server of Azure's protocol to what is promised.
func TestAzure(t *testing.T) {
	path := program(t, "SYNSHARD_TEST_AZURITE", "azurite-blob of the npm package azurite")
	addr := serve(t, path, func(host, port string) []string {
		return []string{"--blobHost", host, "--blobPort", port, "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"}
	})
	url := azure(t, addr, "x")
	c, err := azblob.NewClientFromConnectionString("DefaultEndpointsProtocol=http;AccountName="+azureAccount+";AccountKey="+azureKey+";BlobEndpoint=http://"+addr+"/"+azureAccount+";", nil)
	if err == nil {
		_, err = c.CreateContainer(t.Context(), "images", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	promises(t, url)
	fenced(t, azure(t, addr, "fenced"))
}

// promises are what every store that is written is held to.
func promises(t *testing.T, url string) {
	p := open(t, url, storage.Options{Patience: 5 * time.Second})
	ctx := t.Context()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 20<<16) // of several parts
	must("write", p.Write(ctx, "a", []byte("first")))
	must("write in parts", p.Write(ctx, "d/big", big))
	must("write anew", p.WriteNew(ctx, "n", []byte("n")))
	if err := p.WriteNew(ctx, "n", []byte("m")); !errors.Is(err, storage.ErrExists) {
		t.Errorf("written over what is there: %v", err)
	}
	o, err := p.OpenObject(ctx, "d/big")
	must("open", err)
	b := make([]byte, 1000)
	if _, err := o.ReadAt(b, 17<<20+3); err != nil || !bytes.Equal(b, big[17<<20+3:][:1000]) {
		t.Errorf("a range: %v", err)
	}
	for name, want := range map[string][]byte{"a": []byte("first"), "d/big": big, "empty": {}} {
		must("write", p.Write(ctx, name, want))
		info, err := p.Stat(ctx, name)
		must("stat", err)
		o, err := p.OpenRead(ctx, name)
		must("open to be read", err)
		if diff := cmp.Diff(info, o.Info(), cmpopts.EquateApproxTime(2*time.Second)); diff != "" {
			t.Errorf("%s: opened to be read it is another (-else +opened):\n%s", name, diff)
		}
		if got, err := p.ReadFile(ctx, name, 1<<30); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: read: %d bytes, %v", name, len(got), err)
		}
	}
	must("remove", p.Remove(ctx, "empty"))
	must("copy", p.Copy(ctx, "c", "a"))
	list, err := p.List(ctx, "")
	must("list", err)
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	if diff := cmp.Diff([]string{"a", "c", "d/big", "n"}, names); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	o, err = p.OpenObject(ctx, "a")
	must("open", err)
	must("write another", p.Write(ctx, "a", []byte("other")))
	if _, err := o.ReadAt(make([]byte, 5), 0); !errors.Is(err, storage.ErrChanged) {
		t.Errorf("a range of what was changed: %v", err)
	}
	l, err := p.TryLock(ctx, ".lock", "here", 1, func(int) bool { return true }, func() {})
	must("lock", err)
	if l.Weak {
		t.Error("the store is said to hold to no conditions")
	}
	must("unlock", l.Unlock())
	must("remove", p.Remove(ctx, "a"))
}
