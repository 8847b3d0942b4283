package pixel

/*
#include "resample.h"
*/
import "C"

// Kernels names the instruction set that this process resizes with: avx512,
// avx2, or plain, which is what the compiler makes of the target's base set
// (SSE2 on x86-64, NEON on arm64). All give the same bytes.
func Kernels() string { return bestKernels() }

func bestKernels() string { return C.GoString(C.px_best().name) }

// kernelSets names all sets that this processor runs, plain first.
func kernelSets() []string {
	var names []string
	for i := C.int(0); ; i++ {
		k := C.px_nth(i)
		if k == nil {
			return names
		}
		names = append(names, C.GoString(k.name))
	}
}

// useKernels makes every decoder use a set from now on.
func useKernels(name string) {
	for i := C.int(0); ; i++ {
		k := C.px_nth(i)
		if k == nil {
			panic("pixel: no kernels " + name)
		}
		if C.GoString(k.name) == name {
			C.px_use(k)
			return
		}
	}
}
