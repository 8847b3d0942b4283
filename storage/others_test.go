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
}

// TestAzure holds a server of Azure's protocol to what is promised.
func TestAzure(t *testing.T) {
	path := program(t, "SYNSHARD_TEST_AZURITE", "azurite-blob of the npm package azurite")
	addr := serve(t, path, func(host, port string) []string {
		return []string{"--blobHost", host, "--blobPort", port, "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"}
	})
	// The account and the key that every such server has.
	const account, key = "devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	for k, v := range map[string]string{"ACCOUNT": account, "KEY": key, "DOMAIN": addr, "PROTOCOL": "http", "IS_LOCAL_EMULATOR": "true"} {
		t.Setenv("AZURE_STORAGE_"+k, v)
	}
	c, err := azblob.NewClientFromConnectionString("DefaultEndpointsProtocol=http;AccountName="+account+";AccountKey="+key+";BlobEndpoint=http://"+addr+"/"+account+";", nil)
	if err == nil {
		_, err = c.CreateContainer(t.Context(), "images", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	promises(t, "az://images/x")
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
