package openvino

/*
#cgo LDFLAGS: -ldl
#include "library.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"unsafe"

	"github.com/synshard/synshard/internal/regular"
)

// ErrUnfit marks a library that is missing, or is none of OpenVINO's.
var ErrUnfit = errors.New("OpenVINO is missing or unfit")

// loaded is the library, which a process opens once.
var loaded struct {
	sync.Mutex
	path string
	core *C.ov_core_t
}

// message is what a call of C left to say.
func message(text *C.char) error { return errors.New(C.GoString(text)) }

// open opens the library.
func open(path string) (*C.ov_core_t, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.core != nil {
		if loaded.path != path && !regular.SameFile(loaded.path, path) {
			return nil, fmt.Errorf("%w: %s is open already, %s cannot be opened too", ErrUnfit, loaded.path, path)
		}
		return loaded.core, nil
	}
	real, err := filepath.EvalSymlinks(path) // a library finds others beside itself by the name it was opened by
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	name := C.CString(real)
	defer C.free(unsafe.Pointer(name))
	var text [C.MESSAGE]C.char
	core := C.library_open(name, &text[0])
	if core == nil {
		return nil, fmt.Errorf("%w: open %s: %w", ErrUnfit, path, message(&text[0]))
	}
	loaded.path, loaded.core = path, core
	return core, nil
}

// Version opens the library and gives its version. A library that is none, or a second
// one in one process, is ErrUnfit.
func Version(path string) (string, error) {
	if _, err := open(path); err != nil {
		return "", err
	}
	var text [C.MESSAGE]C.char
	C.library_version(&text[0])
	return C.GoString(&text[0]), nil
}

// compiled is a model made ready for runs of one shape, each of one thread.
type compiled struct{ of *C.ov_compiled_model_t }

// compile makes the model of a file, or of bytes in place of it, ready for images of a
// shape; as many runs as there are streams may be under way at a time.
func compile(core *C.ov_core_t, path string, bytes []byte, shape [4]int64, streams int) (compiled, error) {
	name, count := C.CString(path), C.CString(fmt.Sprint(streams))
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(count))
	var text [C.MESSAGE]C.char
	model := C.model_compile(core, name, (*C.char)(unsafe.Pointer(unsafe.SliceData(bytes))), C.size_t(len(bytes)),
		(*C.int64_t)(&shape[0]), count, &text[0])
	if model == nil {
		return compiled{}, message(&text[0])
	}
	return compiled{model}, nil
}

func (c compiled) free() { C.model_free(c.of) }

// request is one run under way at a time, with memory of its own.
type request struct{ of *C.ov_infer_request_t }

func (c compiled) request() (request, error) {
	var text [C.MESSAGE]C.char
	r := C.request_new(c.of, &text[0])
	if r == nil {
		return request{}, message(&text[0])
	}
	return request{r}, nil
}

func (r request) free() { C.request_free(r.of) }

// input is the memory of the images, which is good until free.
func (r request) input() ([]byte, error) { return r.memory(nil) }

// output is the memory of an output as the last run left it, which is good until the next.
func (r request) output(name string) ([]float32, error) {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	b, err := r.memory(c)
	return floats(b), err
}

// memory is that of an output, or of the input.
func (r request) memory(output *C.char) ([]byte, error) {
	var text [C.MESSAGE]C.char
	var n C.size_t
	p := C.request_memory(r.of, output, &n, &text[0])
	if p == nil {
		return nil, message(&text[0])
	}
	return unsafe.Slice((*byte)(p), int(n)), nil
}

// floats are bytes of a tensor of floats, which are aligned as those are.
func floats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// run runs the model on what lies in the input.
func (r request) run() error {
	var text [C.MESSAGE]C.char
	if C.request_run(r.of, &text[0]) != 0 {
		return message(&text[0])
	}
	return nil
}
