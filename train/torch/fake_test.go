package torch

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/synshard/synshard/train"
	"github.com/synshard/synshard/train/traintest"
)

// fakeSource is a library with the shim's interface and no libtorch: it says
// what the test wants to hear. A batch's first byte picks the code of a step.
const fakeSource = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "synshard_torch.h"
static char token;
static const char *const slots_[] = {"mom", 0};
static int device_count(int32_t *n, char *e, size_t l) { *n = 3; return SS_OK; }
static int create(const ss_network *n, const ss_config *c, ss_engine **o, char *e, size_t l) {
	if (strcmp(c->device, "cuda:7") == 0) { snprintf(e, l, "there are 3"); return SS_NO_DEVICE; }
	if (n->n_nodes < 2 || n->nodes[0].op != SS_INPUT || !n->params[0].name || n->n_params < 4) { snprintf(e, l, "table"); return SS_BAD_ARGUMENT; }
	*o = (ss_engine *)&token;
	return SS_OK;
}
static void destroy(ss_engine *g) {}
static ss_metrics found;
static int queue(ss_engine *g, const ss_batch *b, const ss_step *s, char *e, size_t l) {
	found.loss = s->lr, found.counted = b->rows;
	int code = b->images[0];
	if (code) memset(e, 'x', l), e[l - 1] = 0; /* as long as there is room for */
	return code;
}
static int collect(ss_engine *g, ss_metrics *m, char *e, size_t l) { *m = found; return SS_OK; }
static int profile(int32_t device, int32_t on, char *e, size_t l) { snprintf(e, l, "card %d, %d", device, on); return SS_ERROR; }
static int card_capability(int32_t device, int32_t *c, char *e, size_t l) {
	static const int32_t of[] = {90, 80, 75};
	if (device > 2) { snprintf(e, l, "there are 3"); return SS_NO_DEVICE; }
	*c = of[device];
	return SS_OK;
}
static const char *const *slots(ss_engine *g) { return slots_; }
static const ss_api table = {.abi = ABI, .torch_version = "fake", .device_count = device_count, .create = create, .destroy = destroy, .queue = queue, .collect = collect, .slots = slots, .profile = profile, .card_capability = card_capability};
const ss_api *ENTRY(void) { return &table; }
`

func fake(t *testing.T, abi, entry string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs a C compiler, cc, to build a fake engine library")
	}
	dir := t.TempDir()
	source, out := filepath.Join(dir, "fake.c"), filepath.Join(dir, "libfake.so")
	if err := os.WriteFile(source, []byte(fakeSource), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(cc, "-shared", "-fPIC", "-Ishim", "-DABI="+abi, "-DENTRY="+entry, "-o", out, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// TestUnfitLibraries opens what is not this binary's engine.
func TestUnfitLibraries(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, want string }{
		{"absent", filepath.Join(t.TempDir(), "none.so"), "none.so"},
		{"text", text, "text.so"},
		{"another interface", fake(t, "999", "synshard_torch_v1"), "version 999"},
		{"another symbol", fake(t, "SS_ABI", "synshard_torch_v0"), "no symbol synshard_torch_v1"},
	} {
		s, err := Open(c.path)
		if !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v; want ErrUnfit with %q", c.name, s, err, c.want)
		}
	}
}

// TestCodes expects each code of the interface as its Go error.
func TestCodes(t *testing.T) {
	s, err := Open(fake(t, "SS_ABI", "synshard_torch_v1"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.CUDADevices(); n != 3 || err != nil {
		t.Errorf("%d devices, %v, want 3", n, err)
	}
	if got := s.Version(); got != "fake" {
		t.Errorf("version %q", got)
	}
	n := traintest.Narrow(t)
	cfg := traintest.Config("sgd")
	cfg.Device = "cuda:7"
	if _, err := s.New(n, cfg); !errors.Is(err, train.ErrNoDevice) || !strings.Contains(err.Error(), "there are 3") {
		t.Errorf("device that is not there: %v", err)
	}
	cfg.Device = "cpu"
	e, err := s.New(n, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Profile(true); !errors.Is(err, train.ErrNoDevice) {
		t.Errorf("a profile of the CPU: %v", err)
	}
	cfg.Device = "cuda:2"
	card, err := s.New(n, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer card.Close()
	for on, want := range map[bool]string{true: "profile: card 2, 1", false: "profile: card 2, 0"} {
		if err := card.Profile(on); err == nil || err.Error() != want {
			t.Errorf("a profile: %v, want %q", err, want)
		}
	}
	b := traintest.Batch(4)
	for code, want := range []error{nil, nil, nil, train.ErrOutOfMemory, train.ErrNoDevice, train.ErrPeerLost, nil} {
		b.Images[0] = byte(code)
		m, err := e.Step(b, train.Step{LR: 0.25})
		if code == 0 {
			if diff := cmp.Diff(train.Metrics{Loss: 0.25, Counted: 4}, m); diff != "" || err != nil {
				t.Errorf("step: %v (-want +got):\n%s", err, diff)
			}
			continue
		}
		switch {
		case err == nil || !strings.Contains(err.Error(), "xxx"):
			t.Errorf("code %d: %v", code, err)
		case want != nil && !errors.Is(err, want):
			t.Errorf("code %d: %v, want %v", code, err, want)
		}
	}
	b.Size = 100
	if _, err := e.Step(b, train.Step{}); err == nil || !strings.Contains(err.Error(), "100") {
		t.Errorf("images of another size: %v", err)
	}
	b.Size, b.Images = 299, b.Images[:100]
	if _, err := e.Step(b, train.Step{}); err == nil {
		t.Error("a batch shorter than its labels was taken")
	}
}
