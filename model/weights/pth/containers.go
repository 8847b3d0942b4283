package pth

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights/pickle"
)

// What training scripts call the dictionary, or the module, that has the
// weights, and what those of averaged weights.
var (
	plainKeys    = []string{"state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params"}
	averagedKeys = []string{"ema", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "model_ema_state_dict", "params_ema", "averaged_model", "swa_model"}
)

const (
	maxNested  = 6       // dictionaries within each other that are looked into
	maxModules = 64      // modules within each other
	maxVisits  = 1 << 16 // modules, and tensors of modules
	maxName    = 1 << 12 // bytes of a tensor's name, with those of its modules
)

// named is a tensor by its name.
type named struct {
	name string
	pickle.Tensor
}

// found is a place of tensors in a checkpoint.
type found struct {
	key      string // the keys that lead to it, with dots between
	averaged bool
	tensors  []named
}

// finder looks for the dictionaries of tensors in a pickle's value. Each is
// looked into once, so that one that holds itself ends.
type finder struct {
	found []found
	seen  map[*pickle.Dict]bool
}

// search finds what lies under v, at a key. Dictionaries under the known keys
// win over tensors that lie beside them, such as a best accuracy.
func (f *finder) search(v any, key string, averaged bool, depth int) {
	d := dictionary(v)
	if depth > maxNested || d == nil || f.seen[d] {
		return
	}
	f.seen[d] = true
	if own := moduleTensors(v); len(own) > 0 {
		f.found = append(f.found, found{key, averaged, own})
		return
	}
	before := len(f.found)
	for _, k := range plainKeys {
		f.search(d.Get(k), join(key, k), averaged, depth+1)
	}
	for _, k := range averagedKeys {
		f.search(d.Get(k), join(key, k), true, depth+1)
	}
	if own := tensors(d); len(f.found) == before && len(own) > 0 {
		f.found = append(f.found, found{key, averaged, own})
	}
}

func join(key, k string) string {
	if key == "" {
		return k
	}
	return key + "." + k
}

// dictionary gives the keys and values of a dictionary, of an object that was
// given items (a subclass of dict), or of an object's attributes; nil if v has
// none.
func dictionary(v any) *pickle.Dict {
	switch v := v.(type) {
	case *pickle.Dict:
		return v
	case *pickle.Object:
		if len(v.Items.Keys) > 0 {
			return &v.Items
		}
		d, _ := v.State.(*pickle.Dict)
		return d
	}
	return nil
}

// entries are a dictionary's, those of its keys that are names; nil has none.
func entries(d *pickle.Dict) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		if d == nil {
			return
		}
		for i, k := range d.Keys {
			if name, ok := k.(string); ok && len(name) <= maxName && !yield(name, d.Values[i]) {
				return
			}
		}
	}
}

// tensors are those that are a dictionary's own.
func tensors(d *pickle.Dict) []named {
	var out []named
	for name, x := range entries(d) {
		if t, ok := x.(pickle.Tensor); ok {
			out = append(out, named{name, t})
		}
	}
	return out
}

// moduleTensors gives the tensors of a pickled torch.nn.Module by the names
// that its state_dict() has for them: its parameters and buffers, and those of
// its modules behind their names.
func moduleTensors(v any) []named {
	var out []named
	visits := 0 // modules may share modules, and a hostile file hold one in itself
	var walk func(v any, prefix string, depth int)
	walk = func(v any, prefix string, depth int) {
		o, _ := v.(*pickle.Object)
		if visits++; o == nil || depth > maxModules || len(prefix) > maxName || visits > maxVisits || len(out) > maxVisits {
			return
		}
		state, _ := o.State.(*pickle.Dict)
		if state == nil {
			return
		}
		own, modules := []*pickle.Dict{dictionary(state.Get("_parameters")), dictionary(state.Get("_buffers"))}, dictionary(state.Get("_modules"))
		if strings.HasPrefix(string(o.Class), "__torch__.") { // TorchScript: attributes are tensors and modules
			own, modules = []*pickle.Dict{state}, state
		}
		for _, d := range own {
			for _, t := range tensors(d) {
				out = append(out, named{prefix + t.name, t.Tensor})
			}
		}
		for name, x := range entries(modules) {
			walk(x, prefix+name+".", depth+1)
		}
	}
	walk(v, "", 0)
	return out
}

// Found is where the weights of a checkpoint lie.
type Found struct {
	Key      string   // the keys that lead to their dictionary, with dots between; "": the file's own
	Averaged bool     // they are averages (EMA)
	Other    string   // the key of averages that are there too and were not asked for
	Names    []string // of the tensors, in the file's order

	file    *Checkpoint
	tensors map[string]pickle.Tensor
}

var (
	// ErrSeveral marks a file in which several weights could be meant; a key
	// chooses.
	ErrSeveral = errors.New("it holds weights in several places")
	// ErrAbsent marks a file without the weights that are asked for.
	ErrAbsent = errors.New("what is asked for is not in it")
)

// Find finds the weights: under a key if one is given, else where training
// scripts put them, averages where they are asked for. Where there are no
// averages, or no plain weights, those that are there are found.
func (c *Checkpoint) Find(key string, averaged bool) (*Found, error) {
	taken, other, err := choose(c.value, key, averaged)
	if err != nil {
		return nil, err
	}
	f := &Found{Key: taken.key, Averaged: taken.averaged, Other: other, file: c, tensors: map[string]pickle.Tensor{}}
	for _, t := range taken.tensors {
		if _, twice := f.tensors[t.name]; !twice {
			f.Names = append(f.Names, t.name)
		}
		f.tensors[t.name] = t.Tensor
	}
	return f, nil
}

// Tensor reads the tensor of that name, one of Names. Tensors may share memory:
// their elements are not to be changed.
func (f *Found) Tensor(name string) (model.Tensor, error) {
	return f.file.tensor(name, f.tensors[name])
}

// choose picks the dictionary of tensors that is asked for. other is the key
// of averaged weights that are there and not taken.
func choose(v any, key string, averages bool) (taken found, other string, err error) {
	if key != "" {
		taken, err = at(v, key)
		return taken, "", err
	}
	f := &finder{seen: map[*pickle.Dict]bool{}}
	f.search(v, "", false, 0)
	if len(f.found) == 0 {
		f.found = children(v)
	}
	if len(f.found) == 0 {
		return found{}, "", pthf("no tensors in it%s; save the model's state_dict()", held(v))
	}
	isAveraged := func(x found) bool { return x.averaged }
	averaged := slices.DeleteFunc(slices.Clone(f.found), func(x found) bool { return !x.averaged })
	plain := slices.DeleteFunc(slices.Clone(f.found), isAveraged)
	pick := plain
	if len(averaged) > 0 && (averages || len(plain) == 0) {
		pick = averaged
	}
	if len(pick) > 1 {
		return found{}, "", fmt.Errorf("pth: %w: %s", ErrSeveral, keysOf(pick))
	}
	if !pick[0].averaged && len(averaged) > 0 {
		other = averaged[0].key
	}
	return pick[0], other, nil
}

// at gives the tensors under a key, whose dots lead from one dictionary to the
// next, or are the key's own.
func at(v any, key string) (found, error) {
	d := dictionary(v)
	rest := key
	for d != nil {
		if x := d.Get(rest); x != nil {
			f := &finder{seen: map[*pickle.Dict]bool{}}
			f.search(x, key, slices.Contains(averagedKeys, rest), 0)
			if len(f.found) == 1 {
				return f.found[0], nil
			}
			if len(f.found) > 1 {
				return found{}, fmt.Errorf("pth: %w: %s", ErrSeveral, keysOf(f.found))
			}
			break
		}
		first, behind, ok := strings.Cut(rest, ".")
		if !ok {
			break
		}
		d, rest = dictionary(d.Get(first)), behind
	}
	return found{}, fmt.Errorf("pth: %w: no weights under %q%s", ErrAbsent, key, held(v))
}

// children are the dictionaries directly in v that have tensors, whatever they
// are called.
func children(v any) []found {
	d := dictionary(v)
	if d == nil {
		return nil
	}
	var out []found
	for name, x := range entries(d) {
		inner := dictionary(x)
		if inner == nil {
			continue
		}
		own := moduleTensors(x)
		if len(own) == 0 {
			own = tensors(inner)
		}
		if len(own) > 0 {
			out = append(out, found{key: name, tensors: own})
		}
	}
	return out
}

// held says which keys a dictionary has, for errors.
func held(v any) string {
	d := dictionary(v)
	if d == nil {
		return ""
	}
	var names []string
	for _, k := range d.Keys {
		if name, ok := k.(string); ok && len(names) < 8 {
			names = append(names, fmt.Sprintf("%.40q", name))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ": it has " + strings.Join(names, ", ")
}

func keysOf(all []found) string {
	var out []string
	for _, f := range all {
		out = append(out, fmt.Sprintf("%.40q", f.key))
	}
	return strings.Join(out, " and ")
}
