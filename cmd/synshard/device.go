package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/native"
	"github.com/synshard/synshard/train/torch"
)

// device is --device: where a network runs. auto is the first GPU where there
// is one and else the CPU; cuda is the first GPU, or under a launcher the one
// of the process's number on its machine.
type device struct{ text *string }

// deviceVar adds --device, the same in every verb.
func deviceVar(cmd *cobra.Command, p *string) {
	*p = "auto"
	cmd.Flags().Var(device{p}, "device", "where the network runs; auto is a GPU where there is one")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("device", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		names := []string{"auto", "cpu"}
		if n := search().GPUs(); n > 0 {
			names = append(names, "cuda")
			for i := range n {
				names = append(names, fmt.Sprintf("cuda:%d", i))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}))
}

func (d device) String() string { return *d.text }
func (d device) Type() string   { return "auto|cpu|cuda:N" }
func (d device) Set(s string) error {
	if _, err := native.GPU(s); err != nil && s != "auto" && s != "cpu" {
		return err
	}
	*d.text = s
	return nil
}

// openShim finds and opens the training engine's library.
func (a *app) openShim(given string) (*torch.Shim, string, error) {
	path, err := a.findTorch(given)
	if err != nil {
		return nil, "", err
	}
	shim, err := torch.Open(path)
	if errors.Is(err, torch.ErrUnfit) {
		return nil, "", fmt.Errorf("%w; %s", err, native.MendTorch)
	}
	return shim, path, err
}

// chooseDevice settles --device for the training engine and refuses a GPU that
// is not there.
func chooseDevice(shim *torch.Shim, asked string) (string, error) {
	name, err := shim.Device(asked)
	if err != nil {
		return "", withCode(exitNative, fmt.Errorf("--device %s: %w; see 'synshard doctor'", asked, err))
	}
	return name, nil
}

// ortDevice settles --device and --provider for ONNX Runtime: the execution
// provider and the number of the GPU. The provider says how a GPU is used, not
// whether; "" is CUDA on a GPU.
func ortDevice(device, provider string, gpuFits func() bool) (string, int, error) {
	switch {
	case device == "cpu" && (provider == "cuda" || provider == "tensorrt"):
		return "", 0, usagef("--device cpu and --provider %s: a GPU's provider needs a GPU", provider)
	case strings.HasPrefix(device, "cuda") && provider == "cpu":
		return "", 0, usagef("--device %s and --provider cpu: give one or the other", device)
	case device == "cpu" || provider == "cpu" || device == "auto" && provider == "" && !gpuFits():
		return "cpu", 0, nil
	case provider == "":
		provider = "cuda"
	}
	if device == "auto" {
		return provider, 0, nil
	}
	n, err := native.GPU(device)
	return provider, n, err
}
