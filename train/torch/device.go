package torch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"time"

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

// Precision is what an engine on the device computes in that is asked for as fp32, tf32,
// bf16, fp16 or auto: bf16 where the device has units for it, else fp16 on a GPU and
// fp32 on the CPU.
func Precision(ctx context.Context, asked, device string) string {
	switch {
	case asked != "auto":
		return asked
	case OnCUDA(device):
		// Ampere, 8.0, was the first with bf16; Turing and Volta have fp16 only.
		if c, err := cudaCapability(ctx); err == nil && c >= 8 {
			return "bf16"
		}
		return "fp16"
	case cpu.X86.HasAMXBF16, cpu.X86.HasAVX512BF16:
		return "bf16"
	}
	return "fp32"
}

// cudaCapability is the lowest compute capability among the machine's GPUs, as
// the driver's nvidia-smi has it.
func cudaCapability(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader").Output()
	if err != nil {
		return 0, fmt.Errorf("nvidia-smi: %w", err)
	}
	return lowestCapability(string(out))
}

// lowestCapability reads one number a line.
func lowestCapability(text string) (float64, error) {
	lowest := math.Inf(1)
	for line := range strings.FieldsSeq(text) {
		c, err := strconv.ParseFloat(line, 64)
		if err != nil {
			return 0, fmt.Errorf("nvidia-smi: compute capability %q", line)
		}
		lowest = min(lowest, c)
	}
	if math.IsInf(lowest, 1) {
		return 0, errors.New("nvidia-smi: no GPU")
	}
	return lowest, nil
}
