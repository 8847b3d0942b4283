package processors

import (
	"runtime"

	"golang.org/x/sys/cpu"
)

// Overflow says whether products of 8-bit numbers are added in pairs in 16 bits here, in
// which two large ones do not fit: x86-64 without VNNI (VPMADDUBSW, which saturates). With
// VNNI, and on arm64, they are added in 32 bits.
func Overflow() bool {
	return runtime.GOARCH == "amd64" && !cpu.X86.HasAVX512VNNI && !cpu.X86.HasAVXVNNI
}
