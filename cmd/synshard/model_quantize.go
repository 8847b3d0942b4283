package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synshard/synshard/infer"
	"github.com/synshard/synshard/infer/ort"
	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/processors"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/internal/ui"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/quantize"
	"github.com/synshard/synshard/shard"
)

// quantizeOptions say how a model is made small, and on what.
type quantizeOptions struct {
	net                   networkOptions
	out, split, evalSplit string
	activations           string
	images, evalLimit     int
	seed                  uint64
	calibrator            quantize.Calibrator
	reduceRange           bool
	maxDrop               float64
	selection             *selectionOptions
}

// AddFlags adds them to the verb.
func (o *quantizeOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	memoryVar(cmd)
	f.StringVarP(&o.out, "out", "o", "", "ONNX file to write")
	choiceVar(cmd, &o.calibrator.Method, "method", "mse", "calibration: "+oneOf(quantize.Calibrations), quantize.Calibrations...)
	f.Float64Var(&o.calibrator.Percentile, "percentile", 99.999, "percent of values kept, with --method percentile")
	splitVar(cmd, &o.split, "split", "train", "split that calibrates")
	f.IntVar(&o.images, "images", 256, "images that calibrate")
	splitVar(cmd, &o.evalSplit, "eval-split", "val", "held-out split on which both models are compared")
	f.IntVar(&o.evalLimit, "eval-images", 0, "images of it that are predicted, drawn by --seed; 0 for all")
	f.Uint64Var(&o.seed, "seed", 0, "draws the images")
	choiceVar(cmd, &o.activations, "activations", "uint8", "activations as uint8 or int8", "uint8", "int8")
	f.BoolVar(&o.reduceRange, "reduce-range", false, "weights of 7 bits, for processors without VNNI (default: as this machine's are)")
	f.Float64Var(&o.maxDrop, "max-drop", 1, "points of top-1 that may be lost; a model that loses more is not written")
	o.net.addContract(cmd)
	o.net.engine, o.net.device = "onnx", "cpu" // what 8 bits are for
	o.selection = addSelectionFlags(cmd)
	cobra.CheckErr(cmd.MarkFlagRequired("out"))
}

func newModelQuantizeCmd(a *app) *cobra.Command {
	var o quantizeOptions
	cmd := &cobra.Command{
		Use:   "quantize MODEL.onnx DIR --out FILE",
		Short: "Make an ONNX model of 8 bits for CPUs",
		Long: `Turns an fp32 ONNX model into one of int8 in QDQ form, which ONNX Runtime runs with the
processor's integer units (VNNI, AMX), and says what that costs in accuracy.

Weights get a scale for each output channel; activations one each, settled on --images
images of --split (of the selection, drawn by --seed): the range with the least squared
error (mse), their smallest and largest value (minmax), all but a share of values
(percentile), or the cut that keeps most of the distribution (entropy). Biases are moved
by what rounding weights and cutting values change on average. Then both models predict
--eval-split, which must not be the split that calibrated: how many points of top-1
that costs, with its 95 % interval, and whether it is faster here. A model that loses
more than --max-drop is not written, and the exit code is 1. The file keeps the Spec, or
gets the one that --spec and flags say: 'synshard infer' takes it as any other.

Processors without VNNI add 8-bit products in 16 bits, which overflow: weights get 7 bits
where this machine's are such. For another machine say --reduce-range, or
--reduce-range=false; the file says which it has.`,
		Example: `  synshard model quantize runs/a/model.onnx imagenet --out model.int8.onnx
  synshard model quantize runs/a/model.onnx imagenet --method entropy --images 500 --out model.int8.onnx --json
  synshard model quantize resnet.onnx imagenet --classes imagenet --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --out resnet.int8.onnx`,
		Args: exactly(2, 2, "a model and a dataset"),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("reduce-range") {
				o.reduceRange = processors.Overflow()
			}
			return o.check()
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runModelQuantize(cmd.Context(), args[0], args[1], &o)
		},
	}
	o.AddFlags(cmd)
	return cmd
}

func (f *quantizeOptions) check() error {
	if err := f.calibrator.Check(); err != nil {
		return usagef("%w", err)
	}
	switch {
	case !(f.maxDrop >= 0):
		return usagef("--max-drop %v: want points of top-1, 0 or more", f.maxDrop)
	case f.images < 1 || f.evalLimit < 0:
		return usagef("--images %d, --eval-images %d", f.images, f.evalLimit)
	case strings.ToLower(filepath.Ext(f.out)) != ".onnx":
		return wantEnding(f.out, ".onnx", "a model of 8 bits")
	case f.split == f.evalSplit:
		return usagef("split %s calibrates and is to be held out: accuracy on it would flatter; give another --eval-split", f.split)
	}
	return f.net.check()
}

// quantized is the result.
type quantized struct {
	File       string  `json:"out"`
	Method     string  `json:"method"`
	Percentile float64 `json:"percentile,omitempty"`
	Written    bool    `json:"written"` // not where it loses too much
	WeightBits int     `json:"weight_bits"`
	Tensors    int     `json:"tensors"`            // activations of 8 bits
	Images     int     `json:"calibration_images"` // that calibrated
	Bytes      int64   `json:"bytes"`
	BytesFP32  int64   `json:"bytes_fp32"`
	Split      string  `json:"eval_split"`
	infer.Agreement
}

func (a *app) runModelQuantize(ctx context.Context, path, dir string, f *quantizeOptions) error {
	fp32, err := regular.ReadFile(path, onnx.MaxFile)
	if err != nil {
		return err
	}
	if one, err := os.Stat(path); err == nil {
		if other, err := os.Stat(f.out); err == nil && os.SameFile(one, other) {
			return usagef("--out %s is the model itself", f.out)
		}
	}
	q, err := quantize.New(fp32)
	if err != nil {
		return ifWeights(path, fmt.Errorf("%s: %w", path, err))
	}
	set, err := a.openSet(dir)
	if err != nil {
		return err
	}
	defer set.Close()
	view, images, err := a.openSelected(set, f.split, f.selection)
	if err != nil {
		return err
	}
	held, err := a.openView(set, f.evalSplit, f.selection)
	if err != nil {
		return err
	}
	o := quantize.Options{Signed: f.activations == "int8", ReduceRange: f.reduceRange, Model: fmt.Sprintf("%x", sha256.Sum256(fp32)), Images: images, Seed: f.seed}
	r := quantized{File: f.out, Method: f.calibrator.Method, WeightBits: o.WeightBits(), Tensors: len(q.Tensors()), BytesFP32: int64(len(fp32)), Split: f.evalSplit}
	if r.Method == "percentile" {
		r.Percentile = f.calibrator.Percentile
	}
	small, err := a.quantize(ctx, path, q, view, held, f, o, &r)
	if err != nil {
		return err
	}
	if r.Written = !f.loses(r); r.Written {
		if err := durable.WriteFile(f.out, func(w io.Writer) error {
			_, err := w.Write(small)
			return err
		}); err != nil {
			return err
		}
	}
	if err := a.Result(r, func(w io.Writer) { r.print(w) }); err != nil {
		return err
	}
	return f.lost(r, min(f.images, view.Len()))
}

// quantize calibrates on view, makes the model and compares it on held with the one at
// path.
func (a *app) quantize(ctx context.Context, path string, q *quantize.Quantizer, view, held *shard.View, f *quantizeOptions, o quantize.Options, r *quantized) ([]byte, error) {
	n, err := a.openNetwork(ctx, path, &f.net, wanted{}, 0)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	if r.Images, err = a.calibrate(ctx, path, q, view, f, n); err != nil {
		return nil, err
	}
	o.Metadata = map[string]string{model.SpecKey: n.Spec.JSON()} // what flags said of it need not be said again
	o.Calibration = fmt.Sprintf("%s over %d images", r.Method, r.Images)
	if o.Means, err = q.Means(f.calibrator.Ranges(), max(n.Only, 1)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := a.observe(ctx, path, q, view, f, n, o.Means.Tensors(), o.Means.See); err != nil {
		return nil, err
	}
	small, err := q.Quantize(f.calibrator.Ranges(), o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.Bytes = int64(len(small))
	r.Agreement, err = a.compareQuantized(ctx, small, n, held, f)
	return small, err
}

// compareQuantized predicts held with n and with the model small, which has no name yet:
// it gets one if it loses little.
func (a *app) compareQuantized(ctx context.Context, small []byte, n *infer.Network, held *shard.View, f *quantizeOptions) (infer.Agreement, error) {
	aside, err := durable.Nameless("synshard-quantized")
	if err != nil {
		return infer.Agreement{}, err
	}
	defer aside.Close()
	if _, err := aside.Write(small); err != nil {
		return infer.Agreement{}, err
	}
	m, err := a.openNetwork(ctx, fmt.Sprintf("/proc/self/fd/%d", aside.Fd()), &f.net, wanted{}, 0)
	if err != nil {
		return infer.Agreement{}, fmt.Errorf("the model of 8 bits: %w", err)
	}
	defer m.Close()
	bar := a.Bar(int64(held.Len()), "comparing", "images")
	defer bar.Finish()
	return infer.MeasureAgreement(ctx, held, n, m, infer.AgreementOptions{
		SampleOptions: infer.SampleOptions{Spec: n.Spec, Batch: n.Batch, Limit: f.evalLimit, Seed: f.seed},
		Whole:         n.Fixed,
		Truth:         infer.TruthByName(held.Classes(), n.Spec.Classes),
		OnImages:      func(n int) { bar.Add64(int64(n)) },
	})
}

// loses says whether the model loses more than it may.
func (f *quantizeOptions) loses(r quantized) bool { return -100*r.Change > f.maxDrop+1e-9 }

// lost is the outcome where the model loses too much, where images did not calibrate, of so
// many that were to, or could not be compared.
func (f *quantizeOptions) lost(r quantized, images int) error {
	if f.loses(r) {
		return fmt.Errorf("the model of 8 bits loses %.2f points of top-1 on %s, and --max-drop allows %g: %s is not written; try %s, or allow more",
			-100*r.Change, f.evalSplit, f.maxDrop, f.out, f.others())
	}
	if lost := images - r.Images; lost > 0 {
		return refused(fmt.Errorf("%d images of split %s did not calibrate: unreadable, or less than a batch of the model", lost, f.split))
	}
	if r.Unreadable > 0 {
		return refused(fmt.Errorf("%d images of split %s could not be read and are not counted", r.Unreadable, f.evalSplit))
	}
	return nil
}

// others are what else can be tried, where a model loses too much.
func (f *quantizeOptions) others() string {
	rest := slices.DeleteFunc(slices.Clone(quantize.Calibrations), func(m string) bool { return m == f.calibrator.Method })
	tries := []string{"--method " + oneOf(rest), fmt.Sprintf("more images than --images %d", f.images)}
	if f.reduceRange && !processors.Overflow() {
		tries = append(tries, "--reduce-range=false")
	} else if !f.reduceRange && processors.Overflow() {
		tries = append(tries, "--reduce-range")
	}
	return strings.Join(tries, ", ")
}

func (r *quantized) print(w io.Writer) {
	left := ""
	if !r.Written {
		left = ", not written"
	}
	fmt.Fprintf(w, "%s: %.1f MB (fp32 %.1f MB), %d tensors of 8 bits, weights of %d, %s over %d images%s\n",
		ui.Text(r.File), float64(r.Bytes)/1e6, float64(r.BytesFP32)/1e6, r.Tensors, r.WeightBits, r.Method, r.Images, left)
	if r.N == 0 {
		fmt.Fprintf(w, "top-1 on %s: no image whose class the model knows\n", ui.Text(r.Split))
	} else {
		fmt.Fprintf(w, "top-1 on %s, %d images: fp32 %.2f %%, int8 %.2f %%, change %+.2f points (95 %%: %+.2f to %+.2f); the same first prediction on %.2f %%\n",
			ui.Text(r.Split), r.N, 100*r.Top1A, 100*r.Top1B, 100*r.Change, 100*r.Low, 100*r.High, 100*r.Agreement.Agreement)
	}
	if r.RateA > 0 {
		fmt.Fprintln(w, r.speed())
	}
}

// pays is the least that int8 has to be faster by to be worth having.
const pays = 1.05

// speed says what is won, by what was measured while both predicted in turns.
func (r *quantized) speed() string {
	here := ui.Text(processors.Name())
	if processors.Overflow() {
		here += ", without VNNI"
	}
	by := r.RateB / r.RateA
	text := fmt.Sprintf("one run of one thread (%s): fp32 %.1f images/s, int8 %.1f, %.2f times as many", here, r.RateA, r.RateB, by)
	if by < pays {
		text += "\nint8 does not pay on this machine's processors: keep the fp32 model here"
	}
	return text
}

// calibrate shows the calibrator the images, twice if it counts, and gives
// how many they were.
func (a *app) calibrate(ctx context.Context, path string, q *quantize.Quantizer, view *shard.View, f *quantizeOptions, n *infer.Network) (int, error) {
	return a.observe(ctx, path, q, view, f, n, q.Tensors(), f.calibrator.Passes()...)
}

// observe shows each of passes the values of tensors on the images that calibrate, and gives how
// many those were. An image that cannot be read is left out.
func (a *app) observe(ctx context.Context, path string, q *quantize.Quantizer, view *shard.View, f *quantizeOptions, n *infer.Network, tensors []string, passes ...func(string, []float32) error) (int, error) {
	lib, err := a.findORT(f.net.ortLib)
	if err != nil {
		return 0, err
	}
	observed, err := q.Observed(tensors)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	o, err := ort.Observe(ort.Options{Library: lib, Model: path, Threads: n.Runs, Spec: n.Spec, Choice: f.net.choice}, observed, tensors)
	if err != nil {
		return 0, unfit(err)
	}
	defer o.Close()
	bar := a.Bar(int64(len(passes)*min(f.images, view.Len())), "calibrating", "images")
	defer bar.Finish()
	seen := 0
	for _, pass := range passes {
		seen, err = o.Each(ctx, view, infer.SampleOptions{Spec: n.Spec, Batch: max(n.Only, 1), Limit: f.images, Seed: f.seed}, pass, func(n int) { bar.Add64(int64(n)) })
		if err != nil {
			return 0, err
		}
	}
	if seen == 0 {
		return 0, fmt.Errorf("calibrate: no image of split %s can be read", f.split)
	}
	return seen, nil
}
