package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"synshard/infer"
	"synshard/infer/onnx"
	"synshard/shard"
)

var _ = register(newInferCmd)

// inferFlags are infer's own.
type inferFlags struct {
	split, out, provider, ortLib      string
	topK, batch, threads, device, dec int
	embedding                         bool
}

func newInferCmd(a *app) *cobra.Command {
	var f inferFlags
	var sel *selectionFlags
	cmd := &cobra.Command{
		Use:   "infer MODEL DATASET --out FILE",
		Short: "Predict over a dataset and write Arrow",
		Long: `Runs an exported model over a split of a dataset and writes a row an image, in the
dataset's order: path, label and synset (the truth, where it is known), then the
most probable classes with their probabilities (pred_label, pred_synset,
pred_prob: lists of --top-k), and error. An image that cannot be decoded keeps
its row (exit 3). The file has its name only when it is whole; the same command
continues what was interrupted. --out - writes an Arrow stream to stdout.`,
		Example: `  synshard infer runs/a/model.onnx imagenet --split val --out runs/a/val.arrow
  synshard infer model.onnx imagenet --split test --embedding --out - | consumer`,
		Args: exactly(2, 2, "a model and a dataset"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.infer(cmd, args[0], args[1], f, sel) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.split, "split", "val", "split to predict over")
	fl.StringVarP(&f.out, "out", "o", "", "file to write, or - for a stream on stdout")
	fl.IntVar(&f.topK, "top-k", 5, "classes kept of each prediction")
	fl.BoolVar(&f.embedding, "embedding", false, "write the embedding too")
	fl.IntVar(&f.batch, "batch", 0, "images a run of the network (0: 8 on the CPU, 64 on a GPU)")
	fl.IntVar(&f.threads, "threads", 0, "CPUs the network takes (0: all)")
	fl.IntVarP(&f.dec, "workers", "j", 0, "images decoded at a time (0: one a CPU)")
	fl.StringVar(&f.provider, "provider", "cpu", "execution provider: cpu, cuda or tensorrt")
	fl.IntVar(&f.device, "device", 0, "which GPU, with --provider cuda or tensorrt")
	fl.StringVar(&f.ortLib, "ort-lib", "", "ONNX Runtime's library (default: see 'synshard doctor')")
	sel = addSelectionFlags(cmd)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("provider", cobra.FixedCompletions([]string{"cpu", "cuda", "tensorrt"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func (a *app) infer(cmd *cobra.Command, modelPath, dataset string, f inferFlags, sel *selectionFlags) error {
	if f.topK < 1 || f.batch < 0 || f.threads < 0 || f.dec < 0 {
		return usagef("infer: --top-k %d, --batch %d, --threads %d, --workers %d", f.topK, f.batch, f.threads, f.dec)
	}
	if f.provider != "cpu" && f.provider != "cuda" && f.provider != "tensorrt" {
		return usagef("infer: --provider %q: want cpu, cuda or tensorrt", f.provider)
	}
	if f.out == "-" {
		if err := a.refuseTerminal("an Arrow stream"); err != nil {
			return err
		}
	}
	set, err := shard.Open(dataset)
	if err != nil {
		return err
	}
	defer set.Close()
	view, err := a.openView(set, f.split, sel)
	if err != nil {
		return err
	}
	s, runs, err := a.openSession(modelPath, &f)
	if err != nil {
		return err
	}
	defer s.Close()
	if f.embedding && s.EmbeddingWidth() == 0 {
		return fmt.Errorf("%s: the model has no output embedding", modelPath)
	}
	sum, err := fileSum(modelPath)
	if err != nil {
		return err
	}
	bar := a.bar(int64(view.Len()), "predicting")
	defer bar.Finish()
	complaints := 0
	o := infer.Options{
		Predictor: s, Spec: s.Spec(), Source: view, Batch: f.batch, Runs: runs, Workers: f.dec, TopK: f.topK, Embedding: map[bool]string{true: "fp32"}[f.embedding], Width: s.EmbeddingWidth(), Backend: f.provider,
		Model: sum, Input: fmt.Sprintf("%s %s %+v", f.split, set.Manifest.Splits[f.split].IndexSHA256, *sel),
		OnRow: func(n int) { bar.Add64(int64(n)) },
		OnError: func(path string, err error) {
			if complaints++; complaints <= maxComplaints {
				a.logf("%s: %v; its row has the error", path, err)
			}
		},
	}
	return a.runInfer(cmd, o, f.out, bar)
}

func (a *app) runInfer(cmd *cobra.Command, o infer.Options, out string, bar progress) error {
	var sum infer.Summary
	var err error
	if out == "-" {
		sum, err = infer.Stream(cmd.Context(), o, a.stdout, "stream")
	} else {
		sum, err = infer.Run(cmd.Context(), o, out, "arrow")
	}
	bar.Finish()
	if err != nil && cmd.Context().Err() != nil && out != "-" {
		return stopped(errors.New("infer: stopped; the same command continues"))
	}
	if err != nil {
		return err
	}
	if out != "-" {
		if a.jsonOut {
			err = json.NewEncoder(a.stdout).Encode(sum)
		} else {
			already := ""
			if sum.Already {
				already = " (nothing to do)"
			}
			_, err = fmt.Fprintf(a.stdout, "%s: %d predictions, %d images failed%s\n", out, sum.Rows, sum.Failed, already)
		}
	}
	if err == nil && sum.Failed > 0 {
		return refused(fmt.Errorf("infer: %d images could not be read; their rows say why", sum.Failed))
	}
	return err
}

// openSession opens the model with as many runs at a time as pay: on the CPU
// one a thread, each on its own core.
func (a *app) openSession(path string, f *inferFlags) (*onnx.Session, int, error) {
	lib, err := a.findORT(f.ortLib)
	if err != nil {
		return nil, 0, err
	}
	runs := 2 // in flight on a GPU
	if f.provider == "cpu" {
		if runs = f.threads; runs == 0 {
			runs = runtime.GOMAXPROCS(0)
		}
	}
	if f.batch == 0 {
		if f.batch = 64; f.provider == "cpu" {
			f.batch = 8
		}
	}
	s, err := onnx.Open(onnx.Options{Library: lib, Model: path, Provider: f.provider, Device: f.device, Threads: 1})
	if errors.Is(err, onnx.ErrUnfit) {
		err = native(fmt.Errorf("%w; %s", err, mendORT))
	}
	return s, runs, err
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
