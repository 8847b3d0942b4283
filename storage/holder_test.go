package storage_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/synshard/synshard/storage"
)

func TestThisProcess(t *testing.T) {
	h, err := storage.ThisProcess()
	if err != nil {
		t.Fatal(err)
	}
	if !h.Alive(os.Getpid()) {
		t.Error("this process is dead")
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Skipf("needs a program to run: %v", err)
	}
	if h.Alive(ended.Process.Pid) {
		t.Error("a process that has ended lives")
	}
	zombie := exec.Command("sleep", "60")
	if err := zombie.Start(); err != nil {
		t.Skipf("needs a program to run: %v", err)
	}
	t.Cleanup(func() { zombie.Wait() })
	if !h.Alive(zombie.Process.Pid) {
		t.Error("a process that runs is dead")
	}
	check(t, zombie.Process.Kill())
	for began := time.Now(); h.Alive(zombie.Process.Pid); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("a process that was killed, and whose parent has not asked how it ended, lives")
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil && !strings.Contains(h.Host, strings.TrimSpace(string(b))) {
		t.Errorf("%q does not say since when the machine runs", h.Host)
	}
	again, err := storage.ThisProcess()
	if diff := cmp.Diff(storage.Holder{Host: h.Host, PID: os.Getpid()}, again, cmpopts.IgnoreFields(storage.Holder{}, "Alive")); err != nil || diff != "" {
		t.Errorf("asked again: %v (-want +got):\n%s", err, diff)
	}
}
