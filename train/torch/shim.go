// Package torch is the training engine on libtorch. It opens the engine's shim
// (shim/, built by train/torch/shim/build.sh) at run time: building this package
// needs no libtorch.
package torch

/*
#cgo CFLAGS: -I${SRCDIR}/shim
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
#include "synshard_torch.h"

typedef const ss_api *(*ss_entry)(void);
static const ss_api *ss_call_entry(void *f) { return ((ss_entry)f)(); }

static int ss_device_count(const ss_api *a, int32_t *n, char *e, size_t l) { return a->device_count(n, e, l); }
static int ss_pin_alloc(const ss_api *a, size_t n, void **p, void **h, char *e, size_t l) { return a->pin_alloc(n, p, h, e, l); }
static void ss_pin_free(const ss_api *a, void *h) { a->pin_free(h); }
static int ss_meet(const ss_api *a, const ss_meeting *m, char *w, size_t n, char *e, size_t l) { return a->meet(m, w, n, e, l); }
static int ss_compile_kernels(const ss_api *a, int32_t capability, char *e, size_t l) { return a->compile_kernels(capability, e, l); }
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/synshard/synshard/train"
)

// ErrUnfit marks a library that cannot be opened or is not this engine's shim.
var ErrUnfit = errors.New("training engine library is missing or unfit")

// Shim is the engine's library, opened. It stays open for the life of the
// process: libtorch cannot be unloaded. It may be used from many goroutines.
type Shim struct {
	path    string
	api     *C.ss_api
	threads threads
}

// Open opens the shim at path (with a slash in it: dlopen searches for a bare
// name). The error is ErrUnfit and says what the loader said; libtorch's own
// libraries are found through the shim's run path.
func Open(path string) (*Shim, error) {
	runtime.LockOSThread() // dlerror is a thread's own
	defer runtime.UnlockOSThread()
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	handle := C.dlopen(name, C.RTLD_NOW|C.RTLD_LOCAL)
	if handle == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnfit, C.GoString(C.dlerror()))
	}
	symbol := C.CString("synshard_torch_v1")
	defer C.free(unsafe.Pointer(symbol))
	entry := C.dlsym(handle, symbol)
	if entry == nil {
		C.dlclose(handle)
		return nil, fmt.Errorf("%w: %s has no symbol synshard_torch_v1; build it again with train/torch/shim/build.sh", ErrUnfit, path)
	}
	api := C.ss_call_entry(entry)
	if api == nil || api.abi != C.SS_ABI {
		got := 0
		if api != nil {
			got = int(api.abi)
		}
		return nil, fmt.Errorf("%w: %s speaks version %d of the interface, this binary %d; build it again with train/torch/shim/build.sh", ErrUnfit, path, got, C.SS_ABI)
	}
	return &Shim{path: path, api: api}, nil
}

// Path is where the library was opened.
func (s *Shim) Path() string { return s.path }

// compileKernels tries the GPU's kernels on CUDA's compiler, for a compute
// capability as in sm_90.
func (s *Shim) compileKernels(capability int) error {
	return call("compile kernels", func(e *C.char, l C.size_t) C.int { return C.ss_compile_kernels(s.api, C.int32_t(capability), e, l) })
}

// wordLength is the most that Meet carries, with the NUL at its end.
const wordLength = 256

// Meet hands rank 0's word, of less than 256 bytes, to every other process
// through a launcher's store; it holds no NUL, and the others' own is not looked
// at. Rank 0 does not wait for the others. A word that does not come within
// at.Timeout is train.ErrPeerLost.
func (s *Shim) Meet(at train.Meeting, word string) (string, error) {
	var mem arena
	defer mem.free()
	if len(word) >= wordLength {
		return "", fmt.Errorf("meet the group: a word of %d bytes", len(word))
	}
	m := C.ss_meeting{
		addr: mem.str(at.Addr), name: mem.str(at.Name), port: C.int32_t(at.Port), rank: C.int32_t(at.Rank),
		timeout_s: C.double(at.Timeout.Seconds()),
	}
	pointer, buffer := array[C.char](&mem, wordLength)
	for i := range len(word) {
		buffer[i] = C.char(word[i])
	}
	err := call("meet the group", func(e *C.char, n C.size_t) C.int { return C.ss_meet(s.api, &m, pointer, wordLength, e, n) })
	return C.GoString(pointer), err
}

// Version is libtorch's, as the shim was built against it.
func (s *Shim) Version() string { return C.GoString(s.api.torch_version) }

// CUDADevices counts the CUDA devices libtorch can use; 0 without CUDA.
func (s *Shim) CUDADevices() (int, error) {
	var n C.int32_t
	err := call("count devices", func(e *C.char, l C.size_t) C.int { return C.ss_device_count(s.api, &n, e, l) })
	return int(n), err
}

// Alloc gives n bytes of memory pinned for copies to a GPU, and what frees it.
// Without CUDA it is train.ErrNoDevice.
func (s *Shim) Alloc(n int) ([]byte, func(), error) {
	var p, handle unsafe.Pointer
	err := call("allocate pinned memory", func(e *C.char, l C.size_t) C.int { return C.ss_pin_alloc(s.api, C.size_t(n), &p, &handle, e, l) })
	if err != nil {
		return nil, nil, err
	}
	return unsafe.Slice((*byte)(p), n), func() { C.ss_pin_free(s.api, handle) }, nil
}

// call runs one function of the table and turns its code and message into an
// error. The message is written into memory of this call alone.
func call(what string, f func(err *C.char, n C.size_t) C.int) error {
	const n = 2048
	message := (*C.char)(C.calloc(1, n))
	defer C.free(unsafe.Pointer(message))
	code := f(message, n)
	if code == C.SS_OK {
		return nil
	}
	text := C.GoString(message)
	switch code {
	case C.SS_OUT_OF_MEMORY:
		return fmt.Errorf("%s: %w: %s", what, train.ErrOutOfMemory, text)
	case C.SS_LOST_PEER:
		return fmt.Errorf("%s: %w: %s", what, train.ErrPeerLost, text)
	case C.SS_NO_DEVICE:
		return fmt.Errorf("%s: %w: %s", what, train.ErrNoDevice, text)
	}
	return fmt.Errorf("%s: %s", what, text)
}
