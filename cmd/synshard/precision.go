package main

import (
	"fmt"

	"github.com/synshard/synshard/train/torch"
)

// precisions are the values of --precision; auto goes by the device.
var precisions = []string{"auto", "fp32", "tf32", "bf16", "fp16"}

// choosePrecision settles --precision for so many processes of the training engine, the
// first on device. bf16 that was asked for and is slow there is warned about.
func (a *app) choosePrecision(shim *torch.Shim, asked, device string, procs int) (string, error) {
	devices := []string{device}
	if torch.OnCUDA(device) && procs > 1 {
		for i := range min(visibleGPUs(shim), procs) { // of this machine
			devices = append(devices, fmt.Sprintf("cuda:%d", i))
		}
	}
	precision, err := shim.Precision(asked, devices...)
	if err != nil || asked != "bf16" || !torch.OnCUDA(device) {
		return precision, err
	}
	if has, err := shim.HasBF16(device); err != nil || !has {
		a.Logf("warning: %s has no units for bf16, which it is slow in: --precision fp16", device)
	}
	return precision, nil
}
