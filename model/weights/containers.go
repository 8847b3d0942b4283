package weights

import (
	"fmt"
	"slices"
	"strings"
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
)

// named is a tensor by its name.
type named struct {
	name string
	tensor
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
	seen  map[*dict]bool
}

// search finds what lies under v, at a key. Dictionaries under the known keys
// win over tensors that lie beside them, such as a best accuracy.
func (f *finder) search(v any, key string, averaged bool, depth int) {
	d := dictionary(v)
	if depth > maxNested || d == nil || f.seen[d] {
		return
	}
	f.seen[d] = true
	if tensors := moduleTensors(v); len(tensors) > 0 {
		f.found = append(f.found, found{key, averaged, tensors})
		return
	}
	before := len(f.found)
	for _, k := range plainKeys {
		f.search(d.get(k), join(key, k), averaged, depth+1)
	}
	for _, k := range averagedKeys {
		f.search(d.get(k), join(key, k), true, depth+1)
	}
	if tensors := d.tensors(); len(f.found) == before && len(tensors) > 0 {
		f.found = append(f.found, found{key, averaged, tensors})
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
func dictionary(v any) *dict {
	switch v := v.(type) {
	case *dict:
		return v
	case *object:
		if len(v.items.keys) > 0 {
			return &v.items
		}
		d, _ := v.state.(*dict)
		return d
	}
	return nil
}

// tensors are those that are a dictionary's own.
func (d *dict) tensors() []named {
	var out []named
	for i, k := range d.keys {
		name, ok1 := k.(string)
		t, ok2 := d.values[i].(tensor)
		if ok1 && ok2 {
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
		o, _ := v.(*object)
		if visits++; o == nil || depth > maxModules || visits > maxVisits || len(out) > maxVisits {
			return
		}
		state, _ := o.state.(*dict)
		if state == nil {
			return
		}
		if strings.HasPrefix(string(o.class), "__torch__.") { // TorchScript: attributes are tensors and modules
			for _, t := range state.tensors() {
				out = append(out, named{prefix + t.name, t.tensor})
			}
			for i, k := range state.keys {
				if name, ok := k.(string); ok {
					walk(state.values[i], prefix+name+".", depth+1)
				}
			}
			return
		}
		for _, kind := range []string{"_parameters", "_buffers"} {
			if d := dictionary(state.get(kind)); d != nil {
				for _, t := range d.tensors() {
					out = append(out, named{prefix + t.name, t.tensor})
				}
			}
		}
		modules := dictionary(state.get("_modules"))
		if modules == nil {
			return
		}
		for i, k := range modules.keys {
			if name, ok := k.(string); ok {
				walk(modules.values[i], prefix+name+".", depth+1)
			}
		}
	}
	walk(v, "", 0)
	return out
}

// choose picks the dictionary of tensors that the options ask for. other is the
// key of averaged weights that are there and not taken.
func choose(v any, o Options) (taken found, other string, err error) {
	if o.Key != "" {
		taken, err = at(v, o.Key)
		return taken, "", err
	}
	f := &finder{seen: map[*dict]bool{}}
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
	if len(averaged) > 0 && (o.EMA || len(plain) == 0) {
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
		if x := d.get(rest); x != nil {
			f := &finder{seen: map[*dict]bool{}}
			f.search(x, key, slices.Contains(averagedKeys, rest), 0)
			if len(f.found) == 1 {
				return f.found[0], nil
			}
			break
		}
		first, behind, ok := strings.Cut(rest, ".")
		if !ok {
			break
		}
		d, rest = dictionary(d.get(first)), behind
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
	for i, k := range d.keys {
		name, ok := k.(string)
		inner := dictionary(d.values[i])
		if !ok || inner == nil {
			continue
		}
		tensors := moduleTensors(d.values[i])
		if len(tensors) == 0 {
			tensors = inner.tensors()
		}
		if len(tensors) > 0 {
			out = append(out, found{key: name, tensors: tensors})
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
	for _, k := range d.keys {
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
