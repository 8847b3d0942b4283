package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/pixel"
	"github.com/synshard/synshard/train/recipe"
)

// recipeFlags are the flags that stand for a value of the recipe.
//
// choices are offered by completion; the recipe's own reader checks values.
var recipeFlags = []struct {
	flag, key, kind, help string
	choices               []string
}{
	{"model", "model", "string", "network to fit", model.Names()},
	{"epochs", "epochs", "int", "passes over the training split", nil},
	{"batch", "batch", "batch", "images an optimiser step; auto finds the most that fit the device", []string{"auto"}},
	{"accumulate", "accumulate", "int", "microbatches each batch is worked through in, to save memory", nil},
	{"sampling", "sampling", "string", "shuffle: each image once an epoch; balanced: each class as often as another", []string{"shuffle", "balanced"}},
	{"seed", "seed", "uint64", "seed of weights, order, distortions and dropout", nil},
	{"lr", "rate.base", "float", "peak learning rate, as it is: the recipe's scaling by batch is switched off", nil},
	{"schedule", "rate.schedule", "string", "learning rate over time: constant, exponential, step, cosine", []string{"constant", "exponential", "step", "cosine"}},
	{"warmup-epochs", "rate.warmup_epochs", "float", "epochs of linear warm-up", nil},
	{"optimizer", "optimizer.kind", "string", "update rule: rmsprop (TensorFlow's), sgd, adamw", []string{"rmsprop", "sgd", "adamw"}},
	{"weight-decay", "optimizer.weight_decay", "float", "decay of convolution and linear weights", nil},
	{"label-smoothing", "loss.label_smoothing", "float", "share of the label spread over all classes", nil},
	{"aux-weight", "loss.aux_weight", "float", "weight of the auxiliary heads' loss; 0 leaves them out", nil},
	{"mixup", "loss.mixup", "float", "mix pairs of images, share from Beta(x, x)", nil},
	{"cutmix", "loss.cutmix", "float", "put a rectangle of one image into another, its share from Beta(x, x)", nil},
	{"policy", "augment.policy", "string", "distort images by a policy: randaugment or trivialaugment_wide", pixel.Policies},
	{"erase", "augment.erase", "float", "probability with which a rectangle of an image is made the mean colour", nil},
	{"aug-repeats", "augment.repeats", "int", "times that an image is shown in an epoch, each time distorted otherwise; the epoch keeps its length", nil},
	{"train-sizes", "augment.sizes", "sizes", "pixels of training images by epoch, from 0: 160,192@12 is 160 up to epoch 11, then 192 (default: those of validation)", nil},
	{"init", "network.init", "string", "fresh weights: paper (truncated normal, as its code) or he", []string{"paper", "he"}},
	{"dropout", "network.dropout", "float", "share of the last features dropped", nil},
	{"bn-momentum", "network.bn_momentum", "float", "weight of the newest batch in running statistics", nil},
	{"ema", "ema.decay", "float", "decay of the averaged weights; 0 is off", nil},
	{"clip-norm", "clip.norm", "float", "largest global norm of the gradient; 0 is off", nil},
	{"clip-value", "clip.value", "float", "largest magnitude of a gradient's element; 0 is off", nil},
	{"precision", "precision", "string", "auto, fp32, tf32, bf16 or fp16; auto goes by the device", precisions},
	{"freeze", "network.freeze", "text", "keep weights as they are: a module's, with all before it (Mixed_6e), backbone, all but the heads, or those whose name a regular expression finds", nil},
	{"unfreeze-at", "network.unfreeze_at", "int", "epoch, from 0, from which on nothing is frozen", nil},
	{"layer-decay", "rate.layer_decay", "float", "what the learning rate is multiplied by from each layer to the one before it; 0 is off", nil},
	{"class-weights", "loss.class_weights", "text", "weigh images by their classes: auto makes up for classes of few images; else a file with a class and its weight a line", []string{"auto"}},
	{"patience", "patience", "int", "end after so many epochs without a better validation; 0 is off", nil},
	{"export", "export", "string", "weights that the run ends in: best, by validation, last, or ema, the averaged ones (default: averaged ones where kept, else the last)", []string{"best", "last", "ema"}},
	{"width", "network.width", "float", "multiplier of every layer's channels, for trials", nil},
}

// recipeValue is a flag whose text goes into the recipe as it stands; the
// recipe's own reader checks it.
type recipeValue struct {
	kind, text string
}

func (v *recipeValue) String() string { return v.text }
func (v *recipeValue) Type() string {
	switch v.kind {
	case "text":
		return "string"
	case "batch":
		return "N|auto"
	case "sizes":
		return "SIZE[,SIZE@EPOCH...]"
	case "float":
		return "float64" // as pflag's own, whose help says float
	}
	return v.kind
}
func (v *recipeValue) Set(s string) error {
	var err error
	switch v.kind {
	case "int":
		_, err = strconv.ParseInt(s, 10, 64)
	case "uint64":
		_, err = strconv.ParseUint(s, 10, 64)
	case "float":
		_, err = strconv.ParseFloat(s, 64)
	case "batch":
		var b batchSize
		if err := b.Set(s); err != nil {
			return err
		}
		s = strconv.Itoa(b.n) // 0 is a recipe's auto
	case "sizes":
		for part := range strings.SplitSeq(s, ",") {
			if err := new(recipe.Stage).UnmarshalText([]byte(part)); err != nil {
				return errors.New("want SIZE or SIZE@EPOCH, with commas between them")
			}
		}
		s = "[" + s + "]"
	case "string":
		if strings.ContainsAny(s, "\n:#{}[]'\"") || s == "" {
			err = strconv.ErrSyntax
		}
	case "text":
		if s == "" {
			err = strconv.ErrSyntax
		}
	}
	switch {
	case err != nil && v.kind == "text":
		return errors.New("want a text")
	case err != nil && v.kind == "string":
		return errors.New("want a word")
	case err != nil:
		return errors.New("want a number")
	}
	v.text = s
	return nil
}

// recipeOptions are the flags that make a recipe.
type recipeOptions struct {
	name, config string
	sets         []string
	flags        *pflag.FlagSet // among them recipeFlags
	given        []recipe.Layer // by flags and --set, once resolved
}

// AddFlags adds them to the verb.
func (o *recipeOptions) AddFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	o.flags = f
	f.StringVar(&o.name, "recipe", "szegedy2015", "recipe to start from: "+strings.Join(recipe.Names(), ", "))
	f.StringVar(&o.config, "config", "", "YAML file of values that override the recipe's")
	f.StringArrayVar(&o.sets, "set", nil, "override any value of the recipe, KEY=VALUE (repeatable): --set augment.flip=false")
	for _, r := range recipeFlags {
		f.Var(&recipeValue{kind: r.kind}, r.flag, r.help)
		if r.choices != nil {
			complete(cmd, r.flag, r.choices...)
		}
	}
	complete(cmd, "recipe", recipe.Names()...)
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("set", completeSet))
	cobra.CheckErr(cmd.MarkFlagFilename("config", "yaml", "yml"))
}

// resolve gives the recipe: the named one, the file over it, flags over both.
func (o *recipeOptions) resolve() (recipe.Recipe, error) {
	var layers []recipe.Layer
	if o.config != "" {
		text, err := regular.ReadFile(o.config, regular.Document)
		if err != nil {
			return recipe.Recipe{}, fmt.Errorf("--config: %w", err)
		}
		layers = append(layers, recipe.Layer{From: o.config, YAML: text})
	}
	given, err := o.layers()
	if err != nil {
		return recipe.Recipe{}, usagef("%w", err)
	}
	r, err := recipe.Resolve(o.name, append(layers, given...)...)
	if err != nil {
		return r, usagef("%w", err)
	}
	o.given = given
	return r, nil
}

// checkReach refuses a value that a flag or --set asks for and that a run which begins has no
// epoch for. One of a file or a recipe, which are tried for an epoch, is warned about: of a
// warm-up the run itself does, with the rate that it comes to.
func (o *recipeOptions) checkReach(r *recipe.Recipe, warn func(format string, args ...any)) error {
	for _, u := range r.Unreached() {
		key, text := u[0], u[1]
		name := []byte(key[strings.LastIndexByte(key, '.')+1:] + ":")
		switch {
		case slices.ContainsFunc(o.given, func(l recipe.Layer) bool { return bytes.Contains(l.YAML, name) }):
			return usagef("%s", text)
		case key != "rate.warmup_epochs":
			warn("%s", text)
		}
	}
	return nil
}

// completeSet offers the keys of a recipe, each with the default's value.
func completeSet(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	r, err := recipe.Resolve(recipe.Names()[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	rows, err := r.Table()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var keys []string
	for _, row := range rows {
		keys = append(keys, row[0]+"=\t"+row[1])
	}
	return keys, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// layers gives a layer for each flag that was set, --set last.
func (o *recipeOptions) layers() ([]recipe.Layer, error) {
	var layers []recipe.Layer
	add := func(from, assignment string) error {
		l, err := recipe.SetLayer(from, assignment)
		layers = append(layers, l)
		return err
	}
	for _, r := range recipeFlags {
		flag := o.flags.Lookup(r.flag)
		if !flag.Changed {
			continue
		}
		value := flag.Value.String()
		if n, err := strconv.ParseFloat(value, 64); r.flag == "width" && err == nil && n == 0 {
			return nil, usagef("--width 0: want 0.001 to 16") // of a recipe it stands for 1
		}
		if r.kind == "text" {
			value = strconv.Quote(value) // as YAML has it, too
		}
		if err := add("--"+r.flag, r.key+"="+value); err != nil {
			return nil, err
		}
		if r.flag == "lr" {
			if err := add("--lr", "rate.scaling=none"); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range o.sets {
		if err := add("--set", s); err != nil {
			return nil, err
		}
	}
	return layers, nil
}
