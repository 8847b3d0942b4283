// Package recipe is everything that decides how a network is fitted, apart from
// the data and the machine: its values, the embedded recipes, and the schedules
// of learning rate and averaging.
package recipe

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/synshard/synshard/internal/yamldoc"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/pixel"
)

//go:embed recipes/*.yaml
var recipeFiles embed.FS

// Recipe is everything that decides how a network is fitted, apart from the
// data and the machine. Its YAML form is what the embedded recipes and a run's
// config.yaml are written in.
type Recipe struct {
	Name         string    `yaml:"name"`                    // for people
	Model        string    `yaml:"model"`                   // as model.New names it
	NeedsWeights bool      `yaml:"needs_weights,omitempty"` // the recipe makes no sense from scratch
	Epochs       int       `yaml:"epochs"`                  // passes over the training images
	Batch        int       `yaml:"batch"`                   // images an optimiser step, over all devices; 0: as many as fit
	Accumulate   int       `yaml:"accumulate"`              // microbatches a batch is worked through in; 0 means 1
	Sampling     string    `yaml:"sampling"`                // shuffle, or balanced: each class as often as another
	Truncated    string    `yaml:"truncated"`               // images that end early: error, or accept what there is of them
	Seed         uint64    `yaml:"seed"`                    // of weights, order, distortions and dropout
	Precision    string    `yaml:"precision"`               // auto, fp32, tf32, bf16, fp16
	Optimizer    Optimizer `yaml:"optimizer"`               // the update rule
	Rate         Rate      `yaml:"rate"`                    // the learning rate over the run
	Clip         Clip      `yaml:"clip"`                    // of gradients
	Loss         Loss      `yaml:"loss"`                    // what is minimised
	Network      Network   `yaml:"network"`                 // what is told the network beside its name
	EMA          EMA       `yaml:"ema"`                     // the averaged weights
	Augment      Augment   `yaml:"augment"`                 // of training images
	Patience     int       `yaml:"patience,omitempty"`      // epochs without a better validation after which the run ends; 0: none
	Export       string    `yaml:"export,omitempty"`        // weights that the run ends in: best, last, ema; empty: averaged ones of the last step where kept
	Eval         Eval      `yaml:"eval"`                    // how images are measured

	// Mean and Std normalise a pixel p in [0,1] to (p-mean)/std, by channel.
	Mean [3]float64 `yaml:"mean,flow"`
	Std  [3]float64 `yaml:"std,flow"`
}

// Optimizer chooses the update rule. Weight decay is added to the gradient of
// convolution and linear weights only (AdamW: decoupled, on the same weights,
// Loshchilov and Hutter, arXiv:1711.05101).
type Optimizer struct {
	Kind        string  `yaml:"kind"`               // rmsprop (TensorFlow's: Eps within the root), sgd, adamw
	Momentum    float64 `yaml:"momentum,omitempty"` // of rmsprop and sgd
	Nesterov    bool    `yaml:"nesterov,omitempty"` // of sgd
	Rho         float64 `yaml:"rho,omitempty"`      // rmsprop's decay of squared gradients
	Eps         float64 `yaml:"eps,omitempty"`      // of rmsprop and adamw
	Beta1       float64 `yaml:"beta1,omitempty"`    // adamw's decay of gradients
	Beta2       float64 `yaml:"beta2,omitempty"`    // and of their squares
	WeightDecay float64 `yaml:"weight_decay"`       // factor of the weight that is added
}

// Clip bounds gradients before the update; 0 is off.
type Clip struct {
	Norm  float64 `yaml:"norm,omitempty"`  // global L2 norm
	Value float64 `yaml:"value,omitempty"` // each element's magnitude
}

// Loss is cross-entropy with smoothed labels on every head; the auxiliary
// heads' losses are added with their weight. Mixup > 0 is the parameter of the
// Beta distribution by which pairs of images are blended (Zhang et al.,
// arXiv:1710.09412); CutMix > 0 the one of that by which a rectangle of one image is put
// into another (Yun et al., arXiv:1905.04899). Labels are mixed by the same shares. With both
// each batch has one of them, by a coin. ClassWeights weigh images by their classes in the mean, as
// PyTorch's CrossEntropyLoss does: auto is scikit-learn's "balanced", images / (classes *
// images of the class), a class without any as if it had one; else the path of a file
// with a weight a class.
type Loss struct {
	LabelSmoothing float64 `yaml:"label_smoothing"` // share of a label spread evenly over all classes
	AuxWeight      float64 `yaml:"aux_weight"`      // 0 builds the network without auxiliary heads
	Mixup          float64 `yaml:"mixup,omitempty"`
	CutMix         float64 `yaml:"cutmix,omitempty"`
	ClassWeights   string  `yaml:"class_weights,omitempty"`
}

// Network are the choices inside the network. Freeze names what stays as it is: a
// module, with all before it, "backbone", all but the heads, or else a regular
// expression found in the names of tensors; batch norm there goes by its running
// statistics. From the epoch UnfreezeAt on (counted from 0; 0: never) nothing is frozen,
// and the optimiser begins anew.
type Network struct {
	Init       string  `yaml:"init"`                // fresh weights: paper or he, see model.Network.InitAs
	Dropout    float64 `yaml:"dropout"`             // probability of dropping, before the main head
	BNMomentum float64 `yaml:"bn_momentum"`         // weight of the newest batch in the running statistics
	FreezeBN   bool    `yaml:"freeze_bn,omitempty"` // batch norm by its running statistics, which stay
	Width      float64 `yaml:"width,omitempty"`     // channel multiplier; 0 means 1
	Freeze     string  `yaml:"freeze,omitempty"`
	UnfreezeAt int     `yaml:"unfreeze_at,omitempty"`
}

// Freezes says whether something is frozen in an epoch, counted from 0.
func (n Network) Freezes(epoch int) bool {
	return n.Freeze != "" && (n.UnfreezeAt == 0 || epoch < n.UnfreezeAt)
}

// EMA keeps a moving average of the weights, which is what is exported.
// Decay 0 is off. With Warmup the decay at step t is min(Decay, (1+t)/(10+t)), as
// TensorFlow's ExponentialMovingAverage has it with num_updates.
type EMA struct {
	Decay  float64 `yaml:"decay"`
	Warmup bool    `yaml:"warmup,omitempty"`
}

// Augment is the random resized crop of training images and what follows it, as
// pixel.Train does it. Areas are shares of the image's, aspects width by height.
// Colour strengths are half widths: brightness b scales by 1-b to 1+b.
type Augment struct {
	AreaMin       float64 `yaml:"area_min"`             // a share of the image
	AreaMax       float64 `yaml:"area_max"`             // likewise
	AspectMin     float64 `yaml:"aspect_min"`           // width by height
	AspectMax     float64 `yaml:"aspect_max"`           // likewise
	Flip          bool    `yaml:"flip"`                 // mirror one image in two
	Brightness    float64 `yaml:"brightness,omitempty"` // half width
	Contrast      float64 `yaml:"contrast,omitempty"`   // half width
	Saturation    float64 `yaml:"saturation,omitempty"` // half width
	Hue           float64 `yaml:"hue,omitempty"`        // fraction of the hue circle
	Interpolation string  `yaml:"interpolation"`        // bilinear or bicubic
	Crop          string  `yaml:"crop"`                 // how a region is drawn: torchvision, tensorflow
	Exact         bool    `yaml:"exact,omitempty"`      // torchvision's pixels of a region, in every bit

	Policy          string  `yaml:"policy,omitempty"`           // after the colours: randaugment or trivialaugment_wide, as torchvision's
	PolicyOps       int     `yaml:"policy_ops,omitempty"`       // of randaugment: operations an image; 0 means 2
	PolicyMagnitude int     `yaml:"policy_magnitude,omitempty"` // of randaugment: 1 to 30; 0 means 9
	Erase           float64 `yaml:"erase,omitempty"`            // probability with which a rectangle is made the mean colour, as torchvision's RandomErasing
	Repeats         int     `yaml:"repeats,omitempty"`          // times that an image is shown in an epoch, which keeps its length (loader.Options); 0 means 1
	Sizes           []Stage `yaml:"sizes,omitempty,flow"`       // of training images by epoch; empty: eval.size
}

// Eval is how an image is made ready for validation and inference, as pixel.Eval
// does it: shorter side to Resize pixels (or both, with Square), then the centre
// Size x Size. Training images have the same Size, but for Augment.Sizes.
type Eval struct {
	Size          int    `yaml:"size"`
	Resize        int    `yaml:"resize"`
	Interpolation string `yaml:"interpolation"` // bilinear or bicubic
	Square        bool   `yaml:"square"`
}

// Names lists the embedded recipes, ascending.
func Names() []string {
	entries, err := fs.ReadDir(recipeFiles, "recipes")
	if err != nil {
		panic(err) // embedded at build time
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Layer is a YAML document laid over a recipe: a user's file or values from
// flags. From names it in errors.
type Layer struct {
	From string
	YAML []byte
}

// SetLayer turns "rate.base=0.1" into a layer. from names it in errors.
func SetLayer(from, assignment string) (Layer, error) {
	key, value, ok := strings.Cut(assignment, "=")
	if !ok || strings.TrimSpace(key) == "" {
		return Layer{}, fmt.Errorf("%s %q: want KEY=VALUE, for example rate.base=0.1", from, assignment)
	}
	var b strings.Builder
	names := strings.Split(strings.TrimSpace(key), ".")
	for i, name := range names {
		fmt.Fprintf(&b, "%s%s:", strings.Repeat("  ", i), name)
		if i < len(names)-1 {
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, " %s\n", value)
	return Layer{From: from + " " + assignment, YAML: []byte(b.String())}, nil
}

// modelValues are what a network other than a recipe's own brings with it,
// below anything the user says: its input, and whether it has auxiliary heads.
var modelValues = map[string]string{
	"googlenet":   "loss: {aux_weight: 0.3}\neval: {size: 224, resize: 256}",
	"alexnet":     "loss: {aux_weight: 0}\neval: {size: 224, resize: 256}",
	"vgg16":       "loss: {aux_weight: 0}\neval: {size: 224, resize: 256}",
	"vgg16_bn":    "loss: {aux_weight: 0}\neval: {size: 224, resize: 256}",
	"resnet50":    "loss: {aux_weight: 0}\neval: {size: 224, resize: 256}",
	"densenet121": "loss: {aux_weight: 0}\neval: {size: 224, resize: 256}",
}

// Resolve takes the embedded recipe called name, lays the layers over it
// in order, and checks the outcome. A key no recipe has is an error. Where a layer
// asks for another model, what goes by the model (input size, auxiliary heads,
// normalisation of published weights) is laid below the layers.
func Resolve(name string, layers ...Layer) (Recipe, error) {
	base, err := recipeFiles.ReadFile("recipes/" + name + ".yaml")
	if err != nil {
		return Recipe{}, fmt.Errorf("recipe %q: there are %s", name, strings.Join(Names(), ", "))
	}
	merged := map[string]any{}
	if err := lay(merged, Layer{"recipe " + name, base}); err != nil {
		return Recipe{}, err
	}
	if m := chosenModel(layers); m != "" {
		if err := lay(merged, Layer{"model " + m, []byte(modelValues[m])}); err != nil {
			return Recipe{}, err
		}
		if spec, err := weights.PublishedSpec(m); err == nil && merged["needs_weights"] == true {
			merged["mean"], merged["std"] = spec.Mean[:], spec.Std[:] // what its published weights are used to
		}
	}
	for _, l := range layers {
		if err := lay(merged, l); err != nil {
			return Recipe{}, err
		}
	}
	text, err := yaml.Marshal(merged)
	if err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	r, err := Parse(text)
	if err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	return r, nil
}

// lay puts a layer over what is there.
func lay(over map[string]any, l Layer) error {
	var probe Recipe // names unknown keys and wrong types with their line
	if err := yamldoc.Decode(l.YAML, &probe, true); err != nil {
		return fmt.Errorf("%s: %w", l.From, err)
	}
	m := map[string]any{}
	if err := yamldoc.Decode(l.YAML, &m, false); err != nil {
		return fmt.Errorf("%s: %w", l.From, err)
	}
	if err := checkWhole("", m, reflect.TypeFor[Recipe]()); err != nil {
		return fmt.Errorf("%s: %w", l.From, err)
	}
	merge(over, m)
	return nil
}

// chosenModel is the network the layers ask for, "" if none does. Layers that
// cannot be read are reported when they are laid.
func chosenModel(layers []Layer) string {
	chosen := ""
	for _, l := range layers {
		var one struct {
			Model string `yaml:"model"`
		}
		if yamldoc.Decode(l.YAML, &one, false) == nil && one.Model != "" {
			chosen = one.Model
		}
	}
	return chosen
}

func merge(dst, src map[string]any) {
	for k, v := range src {
		inner, isMap := v.(map[string]any)
		have, hasMap := dst[k].(map[string]any)
		if isMap && hasMap {
			merge(have, inner)
			continue
		}
		dst[k] = v
	}
}

// Parse reads a whole recipe, as config.yaml holds one, and checks it. Values that
// earlier versions did not write have their defaults.
func Parse(text []byte) (Recipe, error) {
	var r Recipe
	if err := yamldoc.Decode(text, &r, true); err != nil {
		return Recipe{}, fmt.Errorf("parse: %w", err)
	}
	if r.Accumulate == 0 {
		r.Accumulate = 1
	}
	if r.Precision == "" {
		r.Precision = "auto"
	}
	if r.Sampling == "" {
		r.Sampling = "shuffle"
	}
	if r.Truncated == "" {
		r.Truncated = "error"
	}
	if r.Augment.Crop == "" {
		r.Augment.Crop = "torchvision"
	}
	if r.Network.Init == "" {
		r.Network.Init = "paper"
	}
	if r.Network.Width == 0 {
		r.Network.Width = 1
	}
	return r, r.Check()
}

// YAML gives the recipe's text form, which Parse reads back.
func (r Recipe) YAML() ([]byte, error) { return yaml.Marshal(r) }

// Check names the first value that makes no sense.
func (r Recipe) Check() error {
	const maxBatch = 1 << 20
	in := func(v, lo, hi float64) bool { return v >= lo && v <= hi } // false for NaN
	off := func(v float64) bool { return v == 0 || in(v, leastSingle, mostSingle) }
	if err := checkFinite("", reflect.ValueOf(r)); err != nil {
		return err
	}
	for _, c := range []struct {
		key   string
		value float64
		ok    bool
		want  string
	}{
		{"epochs", float64(r.Epochs), r.Epochs >= 1 && r.Epochs <= 1e6, "1 to 1000000"},
		{"batch", float64(r.Batch), r.Batch >= 0 && r.Batch <= maxBatch, "1 to 1048576, or 0 for the largest that fits"},
		{"accumulate", float64(r.Accumulate), r.Accumulate >= 1, "at least 1"},
		{"optimizer.momentum", r.Optimizer.Momentum, in(r.Optimizer.Momentum, 0, 0.99999), "0 up to 1"},
		{"optimizer.weight_decay", r.Optimizer.WeightDecay, in(r.Optimizer.WeightDecay, 0, 1), "0 to 1"},
		{"clip.norm", r.Clip.Norm, off(r.Clip.Norm), "0 (off), or 1e-30 to 1e30"},
		{"clip.value", r.Clip.Value, off(r.Clip.Value), "0 (off), or 1e-30 to 1e30"},
		{"loss.label_smoothing", r.Loss.LabelSmoothing, in(r.Loss.LabelSmoothing, 0, 0.999), "0 up to 1"},
		{"loss.aux_weight", r.Loss.AuxWeight, in(r.Loss.AuxWeight, 0, 100), "0 or more"},
		{"loss.mixup", r.Loss.Mixup, in(r.Loss.Mixup, 0, 100), "0 or more"},
		{"network.unfreeze_at", float64(r.Network.UnfreezeAt), r.Network.UnfreezeAt >= 0, "0 (never) or more"},
		{"patience", float64(r.Patience), r.Patience >= 0, "0 (off) or more"},
		{"loss.cutmix", r.Loss.CutMix, in(r.Loss.CutMix, 0, 100), "0 or more"},
		{"augment.policy_ops", float64(r.Augment.PolicyOps), r.Augment.PolicyOps >= 0 && r.Augment.PolicyOps <= 14, "0 to 14"},
		{"augment.policy_magnitude", float64(r.Augment.PolicyMagnitude), r.Augment.PolicyMagnitude >= 0 && r.Augment.PolicyMagnitude <= 30, "0 to 30"},
		{"augment.erase", r.Augment.Erase, in(r.Augment.Erase, 0, 1), "0 to 1"},
		{"augment.repeats", float64(r.Augment.Repeats), r.Augment.Repeats >= 0 && r.Augment.Repeats <= 1000, "0 to 1000"},
		{"network.dropout", r.Network.Dropout, in(r.Network.Dropout, 0, 0.999), "0 up to 1"},
		{"network.bn_momentum", r.Network.BNMomentum, in(r.Network.BNMomentum, 1e-9, 1), "above 0, at most 1"},
		{"network.width", r.Network.Width, in(r.Network.Width, 0.001, 16), "0.001 to 16"},
		{"ema.decay", r.EMA.Decay, in(r.EMA.Decay, 0, 0.99999999), "0 (off) up to 1"},
		{"augment.area_min", r.Augment.AreaMin, in(r.Augment.AreaMin, 1e-6, r.Augment.AreaMax), "above 0, at most area_max"},
		{"augment.area_max", r.Augment.AreaMax, in(r.Augment.AreaMax, 1e-6, 1), "above 0, at most 1"},
		{"augment.aspect_min", r.Augment.AspectMin, in(r.Augment.AspectMin, 1e-3, r.Augment.AspectMax), "above 0, at most aspect_max"},
		{"augment.aspect_max", r.Augment.AspectMax, in(r.Augment.AspectMax, 1e-3, 1e3), "0.001 to 1000"},
		{"augment.brightness", r.Augment.Brightness, in(r.Augment.Brightness, 0, 1), "0 to 1"},
		{"augment.contrast", r.Augment.Contrast, in(r.Augment.Contrast, 0, 1), "0 to 1"},
		{"augment.saturation", r.Augment.Saturation, in(r.Augment.Saturation, 0, 1), "0 to 1"},
		{"augment.hue", r.Augment.Hue, in(r.Augment.Hue, 0, 0.5), "0 to 0.5"},
		{"eval.size", float64(r.Eval.Size), r.Eval.Size >= 1 && r.Eval.Size <= model.MaxSize, "1 to 4096"},
		{"eval.resize", float64(r.Eval.Resize), r.Eval.Resize >= r.Eval.Size && r.Eval.Resize <= model.MaxResize, "at least eval.size, at most 16384"},
		{"std", min(r.Std[0], r.Std[1], r.Std[2]), min(r.Std[0], r.Std[1], r.Std[2]) > 0, "above 0"},
	} {
		if !c.ok {
			return fmt.Errorf("%s is %v: want %s", c.key, c.value, c.want)
		}
	}
	if r.Batch > 0 && r.Batch%r.Accumulate != 0 {
		return fmt.Errorf("batch %d does not divide into %d microbatches (accumulate)", r.Batch, r.Accumulate)
	}
	return cmp.Or(model.CheckColours(&r.Mean, &r.Std), r.checkNames(), r.checkTogether(), checkSizes(r.Augment.Sizes), r.Optimizer.check(), r.Rate.check())
}

// checkTogether refuses values that make no sense, or have no effect, beside others.
func (r Recipe) checkTogether() error {
	switch {
	case r.Network.UnfreezeAt > 0 && r.Network.Freeze == "":
		return errors.New("network.unfreeze_at has no effect without network.freeze")
	case r.Loss.ClassWeights == "auto" && r.Sampling == "balanced":
		return errors.New("loss.class_weights auto and sampling balanced both make up for classes of few images: take one")
	case r.Augment.Policy != "randaugment" && (r.Augment.PolicyOps > 0 || r.Augment.PolicyMagnitude > 0):
		return errors.New("augment.policy_ops and policy_magnitude are of policy randaugment")
	case r.Export == "ema" && r.EMA.Decay == 0:
		return errors.New("export is ema, and no averaged weights are kept (ema.decay)")
	}
	return nil
}

func (r Recipe) checkNames() error {
	for _, c := range []struct {
		key, value string
		want       []string
	}{
		{"augment.crop", r.Augment.Crop, []string{"torchvision", "tensorflow"}},
		{"augment.policy", r.Augment.Policy, append([]string{""}, pixel.Policies...)},
		{"export", r.Export, []string{"", "best", "last", "ema"}},
		{"truncated", r.Truncated, []string{"error", "accept"}},
		{"sampling", r.Sampling, []string{"shuffle", "balanced"}},
		{"precision", r.Precision, []string{"auto", "fp32", "tf32", "bf16", "fp16"}},
		{"network.init", r.Network.Init, []string{"paper", "he"}},
		{"optimizer.kind", r.Optimizer.Kind, []string{"rmsprop", "sgd", "adamw"}},
		{"augment.interpolation", r.Augment.Interpolation, []string{"bilinear", "bicubic"}},
		{"eval.interpolation", r.Eval.Interpolation, []string{"bilinear", "bicubic"}},
	} {
		if !slices.Contains(c.want, c.value) {
			return fmt.Errorf("%s is %q: want one of %s", c.key, c.value, strings.Join(c.want, ", "))
		}
	}
	return nil
}

// check refuses values the chosen rule would ignore as well as those it needs.
func (o Optimizer) check() error {
	type need struct {
		key   string
		value float64
		most  float64 // exclusive
		usual float64
	}
	var needs []need
	switch o.Kind {
	case "rmsprop":
		needs = []need{{"rho", o.Rho, 1, 0.9}, {"eps", o.Eps, mostSingle, 0.001}}
	case "adamw":
		needs = []need{{"beta1", o.Beta1, 1, 0.9}, {"beta2", o.Beta2, 1, 0.999}, {"eps", o.Eps, mostSingle, 1e-8}}
	}
	for _, n := range needs {
		if !(n.value >= leastSingle && n.value < n.most) {
			return fmt.Errorf("optimizer %s: optimizer.%s is %v: want a number above 0 and below %v (usual: --set optimizer.%s=%v)", o.Kind, n.key, n.value, n.most, n.key, n.usual)
		}
	}
	if o.Nesterov && (o.Kind != "sgd" || o.Momentum == 0) {
		return fmt.Errorf("optimizer %s: nesterov is for sgd with momentum (--set optimizer.nesterov=false)", o.Kind)
	}
	return nil
}

// Table gives the recipe as rows of dotted key and value, in the order of the
// YAML form.
func (r Recipe) Table() ([][2]string, error) {
	text, err := r.YAML()
	if err != nil {
		return nil, err
	}
	var doc yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(text, &doc, yaml.UseOrderedMap()); err != nil {
		return nil, err
	}
	var rows [][2]string
	var walk func(prefix string, m yaml.MapSlice)
	walk = func(prefix string, m yaml.MapSlice) {
		for _, item := range m {
			key := prefix + fmt.Sprint(item.Key)
			if inner, ok := item.Value.(yaml.MapSlice); ok {
				walk(key+".", inner)
				continue
			}
			rows = append(rows, [2]string{key, fmt.Sprint(item.Value)})
		}
	}
	walk("", doc)
	return rows, nil
}
