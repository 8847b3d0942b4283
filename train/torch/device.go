package torch

import (
	"fmt"
	"strings"

	"golang.org/x/sys/cpu"

	"github.com/synshard/synshard/internal/native"
)

// Device is where an engine runs that is asked for as auto, cpu, cuda or cuda:N: cpu or
// cuda:N. auto is the first GPU where there is one. A GPU that libtorch does not see is
// an error.
func (s *Shim) Device(asked string) (string, error) {
	if asked == "cpu" {
		return asked, nil
	}
	have, err := s.CUDADevices()
	switch {
	case err != nil:
		return "", err
	case asked == "auto" && have == 0:
		return "cpu", nil
	case asked == "auto":
		return "cuda:0", nil
	}
	n, err := native.GPU(asked)
	if err != nil {
		return "", err
	}
	if n >= have {
		return "", fmt.Errorf("libtorch %s sees %d CUDA devices", s.Version(), have)
	}
	return fmt.Sprintf("cuda:%d", n), nil
}

// OnCUDA says whether a device, as Device gives it, is a GPU.
func OnCUDA(device string) bool { return strings.HasPrefix(device, "cuda") }

// BatchMemory gives memory for the images of batches, and what frees it: pinned where the
// device is a GPU, which copies from it while the host goes on; nil, for the ordinary
// memory, on the CPU.
func (s *Shim) BatchMemory(device string) func(bytes int) ([]byte, func(), error) {
	if OnCUDA(device) {
		return s.Alloc
	}
	return nil
}

// Precision is what engines on the devices compute in that is asked for as fp32, tf32,
// bf16, fp16 or auto: bf16 where all have units for it, else fp16 on GPUs and fp32 on the
// CPU.
func (s *Shim) Precision(asked string, devices ...string) (string, error) {
	if asked != "auto" {
		return asked, nil
	}
	for _, d := range devices {
		switch {
		case OnCUDA(d):
			has, err := s.HasBF16(d)
			if err != nil {
				return "", err
			}
			if !has {
				return "fp16", nil
			}
		case !cpu.X86.HasAMXBF16 && !cpu.X86.HasAVX512BF16:
			return "fp32", nil
		}
	}
	return "bf16", nil
}
