package train

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/synshard/synshard/internal/durable"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
	"github.com/synshard/synshard/model/weights"
	"github.com/synshard/synshard/train/checkpoint"
	"github.com/synshard/synshard/train/recipe"
	"github.com/synshard/synshard/train/runlog"
)

// save writes a checkpoint of where the run stands and removes those no longer
// kept. The log's lines up to it are safe before it is.
func (r *runner) save() error {
	state, err := r.eng.State()
	if err != nil {
		return fmt.Errorf("checkpoint at step %d: %w", r.pos.Step, err)
	}
	if err := r.log.Sync(); err != nil {
		return err
	}
	if _, err := checkpoint.Write(r.o.Dir, r.pos, r.o.Spec, state); err != nil {
		return err
	}
	r.saved, r.savedAt = r.pos.Step, time.Now()
	if err := r.prune(); err != nil {
		return err
	}
	return r.o.OnDurable(false)
}

// DurableRank orders the files of a run directory, named with slashes, for
// Options.OnDurable: the lower rank is copied first.
func DurableRank(name string) int {
	switch {
	case name == runlog.Name, name == "config.yaml":
		return 0
	case strings.HasPrefix(name, checkpoint.Dir+"/"):
		return 1
	}
	return 2
}

// prune leaves the checkpoints that are to be kept, and names the best. It follows
// each save, and the beginning, since a call may have been killed in between.
func (r *runner) prune() error {
	best, ok := r.pos.BestEval()
	return checkpoint.Prune(r.o.Dir, r.o.KeepLast, best.Step, ok)
}

// config is the recipe in use, as it is saved.
func (r *runner) config() ([]byte, error) {
	rec := r.o.Recipe
	if r.o.Precision != "" {
		rec.Precision = r.o.Precision
	}
	text, err := rec.YAML()
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return text, nil
}

// saveConfig writes the recipe in use.
func (r *runner) saveConfig() error {
	text, err := r.config()
	if err != nil {
		return err
	}
	return r.write([]product{r.configFile(text)})
}

func (r *runner) configFile(text []byte) product {
	return product{"config.yaml", func(w io.Writer) error { _, err := w.Write(text); return err }}
}

// products are what is left of a finished run beside its checkpoints and its log, of
// the weights that it ends in (exported). They say madeFrom of themselves.
func (r *runner) products(tensors []model.Tensor, madeFrom string) []product {
	return []product{
		{"model.safetensors", func(w io.Writer) error {
			return weights.WriteSummed(w, tensors, checkpoint.ExportedMetadata(r.o.Spec, madeFrom))
		}},
		{"model.onnx", func(w io.Writer) error { return onnx.WriteMade(w, r.o.Network, tensors, r.o.Spec, madeFrom) }},
	}
}

// product is a file and what writes it: the same bytes from the same state.
type product struct {
	name  string
	write func(w io.Writer) error
}

// export writes the final weights, and the recipe that they were made by.
func (r *runner) export() error {
	state, err := r.eng.State()
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	tensors, err := r.exported(state)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return errors.Join(r.write(r.products(tensors, r.pos.MadeFrom.JSON())), r.saveConfig())
}

// exported are the weights that the run ends in, by Recipe.Export; state is the last
// step's.
func (r *runner) exported(state []model.Tensor) ([]model.Tensor, error) {
	if r.o.Recipe.Export == "best" {
		best, ok := r.pos.BestEval()
		if !ok {
			return nil, fmt.Errorf("%w: of no validation the outputs were finite, so that none is the best (--export best)", ErrDiverged)
		}
		if best.Step != r.pos.Step {
			path := checkpoint.Path(r.o.Dir, best.Step)
			c, err := checkpoint.Read(path)
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%s: %w: it is not there", path, checkpoint.ErrDamaged)
			}
			if err != nil {
				return nil, fmt.Errorf("the best validation's: %w", err)
			}
			state = c.Tensors
		}
	} else if n := len(r.pos.Evals); n > 0 && r.pos.Evals[n-1].Step == r.pos.Step {
		last := r.pos.Evals[n-1]
		if s := last.Best(); r.o.Recipe.Export != "last" && !s.Finite() || r.o.Recipe.Export == "last" && !last.Raw.Finite() {
			return nil, fmt.Errorf("%w: %s, and these are the weights that the run ends in; the checkpoint of step %d has them, and try a lower rate or clip.norm",
				ErrDiverged, notFinite(last), r.pos.Step)
		}
	}
	return checkpoint.Weights(state, r.o.Recipe.Export != "last"), nil // averaged ones where they are kept
}

func (r *runner) write(list []product) error {
	for _, p := range list {
		if err := durable.WriteFile(r.path(p.name), p.write); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}

// checkExport is an error where the network cannot be written as model.onnx, which
// is better known before the first step than after the last.
func (r *runner) checkExport() error {
	err := onnx.Write(io.Discard, r.o.Network, checkpoint.Weights(r.state, true), r.o.Spec)
	if err != nil {
		return fmt.Errorf("%s of %d-pixel images cannot be exported: %w", r.o.Network.Name, r.o.Network.Input, err)
	}
	return nil
}

// unsettled lists what of a finished run is not there, or not what the last
// checkpoint gives, byte for byte. Times of change tell nothing.
func (r *runner) unsettled(was runlog.Kept) ([]product, error) {
	var all []product
	earlier := map[string]product{} // of versions whose products did not say what they were made from
	tensors, err := r.exported(r.state)
	switch {
	case err == nil:
		all = r.products(tensors, r.pos.MadeFrom.JSON())
		for _, p := range r.products(tensors, "") {
			earlier[p.name] = p
		}
	case !errors.Is(err, checkpoint.ErrDamaged) || !r.productsWhole():
		return nil, fmt.Errorf("export: %w", err)
	}
	text, err := r.settledConfig(was)
	if err != nil {
		return nil, err
	}
	all = append(all, r.configFile(text))
	var out []product
	for _, p := range all {
		same, err := holds(r.path(p.name), p.write)
		if was, ok := earlier[p.name]; ok && !same && err == nil {
			same, err = holds(r.path(p.name), was.write)
		}
		if err != nil {
			return nil, fmt.Errorf("export: %w", err)
		}
		if !same {
			out = append(out, p)
		}
	}
	return out, nil
}

// productsWhole says whether the files of weights that there are hold to their own sums:
// all that can be asked where what they were made of is gone.
func (r *runner) productsWhole() bool {
	for _, p := range r.products(nil, "") {
		if _, err := checkpoint.ReadAny(r.path(p.name), weights.Options{}); err != nil {
			return false
		}
	}
	return true
}

// settledConfig is what config.yaml should hold: what the log says, or else, of a run
// that was finished by an earlier version, what it holds where that is a recipe of this
// run.
func (r *runner) settledConfig(was runlog.Kept) ([]byte, error) {
	if was.Config != "" {
		return []byte(was.Config), nil
	}
	if text, err := regular.ReadFile(r.path("config.yaml"), regular.Document); err == nil {
		if rec, err := recipe.Parse(text); err == nil {
			o := r.o
			o.Recipe = rec
			if id, err := o.identity(); err == nil && maps.Equal(id, r.pos.MadeFrom) {
				return text, nil
			}
		}
	}
	return r.config()
}

// settle makes anew what of a finished run is not there or not right: final weights
// from the last checkpoint, its validations in the log, the curves, the link to the
// best. It needs no engine. What cannot be made anew is told with an error, once.
func (r *runner) settle() error {
	was, err := runlog.ReadKept(r.o.Dir, r.pos.Step)
	if err != nil {
		return err
	}
	list, err := r.unsettled(was)
	if err != nil {
		return err
	}
	for _, p := range list { // of a run that was stopped, and now has done enough, none was written yet
		if _, err := os.Lstat(r.path(p.name)); err == nil || len(was.Checkpoints) > 0 {
			r.o.OnWarn(p.name + " was missing, or not what was written: made anew")
		}
	}
	if err := r.write(list); err != nil {
		return err
	}
	changed, lost := runlog.Settle(r.o.Dir, r.pos.Step, r.pos.Epoch, r.pos.Evals)
	if lost != nil && !errors.Is(lost, runlog.ErrDamaged) {
		return lost
	}
	if changed {
		r.o.OnWarn(runlog.Name + " lacked lines of this run, or had others than were written: validations are put right; of steps see there")
	}
	if changed || !runlog.CurvesWhole(r.path("curves.png")) {
		if err := r.o.draw(r.path("curves.png"), r.path(runlog.Name)); err != nil {
			return errors.Join(err, lost)
		}
	}
	return errors.Join(lost, r.conclude(was))
}

// conclude ends a finished run: of its checkpoints those stay that are to be kept, each
// is held to its sum, and the log, which keeps was so far, says which they are.
func (r *runner) conclude(was runlog.Kept) error {
	if err := r.o.OnDurable(true); err != nil {
		return err
	}
	err := r.account(was)
	return errors.Join(err, r.o.OnDurable(true))
}

// account says in the log of a finished run which checkpoints there are.
func (r *runner) account(was runlog.Kept) (err error) {
	have, err := checkpoint.Steps(r.o.Dir)
	if err != nil {
		return err
	}
	best, hasBest := r.pos.BestEval()
	expected := slices.Clone(have)
	if len(was.Checkpoints) > 0 {
		expected = append(expected, was.Checkpoints...)
	} else if _, err := os.Lstat(r.path("best.safetensors")); err == nil && hasBest {
		expected = append(expected, best.Step)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	slices.Sort(expected)
	expected = checkpoint.Kept(slices.Compact(expected), r.o.KeepLast, best.Step, hasBest)
	if err := r.prune(); err != nil {
		return err
	}
	log, err := runlog.Append(r.o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	var now []int64
	var lost []error
	for _, step := range expected {
		damage := checkpoint.Whole(r.o.Dir, step)
		if damage == nil {
			now = append(now, step)
			continue
		}
		if !errors.Is(damage, checkpoint.ErrDamaged) {
			return damage
		}
		if err := checkpoint.Forget(r.o.Dir, step); err != nil {
			return err
		}
		lost = append(lost, damage)
		if err := log.Lost(r.pos.Step, damage.Error()); err != nil {
			return err
		}
	}
	if !slices.Equal(was.Checkpoints, now) {
		if err := errors.Join(log.Finished(r.pos.Step, now, r.ended()), log.Sync()); err != nil {
			return err
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("%w; a checkpoint cannot be made anew: what lies in its place is set aside, the log says that it is lost, and the same command goes on without",
			errors.Join(lost...))
	}
	return nil
}

// holds says whether a file holds what write writes.
func holds(path string, write func(w io.Writer) error) (bool, error) {
	f, _, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, regular.ErrUnfit) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	if err := write(&comparer{in: in}); errors.Is(err, errOther) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	_, err = in.ReadByte()
	return err != nil, nil
}

var errOther = errors.New("other bytes")

// comparer takes what a file should hold; an error says that it does not.
type comparer struct {
	in  io.Reader
	buf []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	c.buf = slices.Grow(c.buf[:0], min(len(p), 1<<20))
	for n := 0; n < len(p); {
		part := p[n:min(len(p), n+1<<20)]
		if _, err := io.ReadFull(c.in, c.buf[:len(part)]); err != nil || !bytes.Equal(c.buf[:len(part)], part) {
			return n, errOther
		}
		n += len(part)
	}
	return len(p), nil
}

// ended says why a run has come to its end, as Result.Ended; "": it has not.
func (r *runner) ended() string {
	best, ok := r.pos.BestEval()
	patience := r.o.Recipe.Patience
	switch {
	case r.pos.Epoch >= r.o.Recipe.Epochs:
		return "epochs"
	case ok && patience > 0 && r.pos.Epoch-best.Epoch >= patience:
		return "patience"
	}
	return ""
}

func (r *runner) result() Result {
	res := Result{Steps: r.pos.Step, Epochs: r.pos.Epoch, Images: r.pos.Images, Seconds: r.pos.Seconds, Dir: r.o.Dir}
	if n := len(r.pos.Evals); n > 0 {
		res.Last = &r.pos.Evals[n-1]
		if best, ok := r.pos.BestEval(); ok {
			res.Best = &best
		}
	}
	if r.done() && r.finished {
		res.ONNX, res.Weights, res.Ended = r.path("model.onnx"), r.path("model.safetensors"), r.ended()
		res.Exported = r.exportedScore(res)
	}
	return res
}

// exportedScore is the validation of the weights that exported gives.
func (r *runner) exportedScore(res Result) *runlog.Evaluation {
	e := res.Last
	if r.o.Recipe.Export == "best" {
		e = res.Best
	} else if e != nil && e.Step != r.pos.Step {
		return nil
	}
	if e == nil || !e.Finite() {
		return nil
	}
	out := *e
	if r.o.Recipe.Export != "last" {
		out.Raw = *e.Best()
	}
	out.EMA = nil
	return &out
}
