package weights

import (
	"fmt"
	"strings"

	"github.com/synshard/synshard/model"
)

// What wrappers put before the names of the module that they wrap
// (DataParallel, Lightning, self-supervised training), what stands for a
// dictionary in files that have none, and the same of averaged weights.
var (
	wrapperPrefixes = []string{"module.", "model.", "net.", "network.", "backbone.", "encoder.", "base_model.",
		"state_dict.", "model_state_dict."}
	averagedPrefixes = []string{"ema.", "model_ema.", "ema_model.", "averaged_model.", "state_dict_ema.", "ema_state_dict."}
	// inner names come from torch.compile, FSDP and activation checkpointing,
	// which wrap modules at any depth.
	innerNames = []string{"_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."}
)

// maxWrappers bounds the wrappers around each other that are taken off.
const maxWrappers = 6

// unwrap gives the tensors their names without what wrappers put before them,
// chooses between plain and averaged weights where prefixes tell them apart,
// and leaves out tensors beside the wrapped module. It gives the former names,
// tensor by tensor.
func (f *File) unwrap(o Options) (original []string, err error) {
	w := &wrapping{taken: &f.Taken}
	for _, t := range f.Tensors {
		w.names, w.keep = append(w.names, t.Name), append(w.keep, len(w.keep))
	}
	w.dropInner()
	w.settleAverages(o)
	for range maxWrappers {
		if !w.dropWrapper() {
			break
		}
		w.settleAverages(o)
	}
	switch {
	case o.EMA && !f.Taken.EMA:
		return nil, errNoAverages()
	case o.Plain && f.Taken.EMA:
		return nil, errNoPlain()
	}
	seen := map[string]bool{}
	var out []model.Tensor
	for i, at := range w.keep {
		if seen[w.names[i]] {
			return nil, fmt.Errorf("%w: two tensors would be called %.80q", model.ErrFormat, w.names[i])
		}
		seen[w.names[i]] = true
		t := f.Tensors[at]
		original = append(original, t.Name)
		t.Name = w.names[i]
		out = append(out, t)
	}
	f.Tensors = out
	return original, nil
}

// wrapping is a list of names and of the tensors they belong to.
type wrapping struct {
	taken *Taken
	names []string
	keep  []int
}

// dropInner takes wrappers' names out wherever they stand.
func (w *wrapping) dropInner() {
	for _, inner := range innerNames {
		for i, name := range w.names {
			if strings.Contains(name, inner) {
				w.names[i] = strings.ReplaceAll(name, inner, "")
				if !strings.Contains(w.taken.Prefix, inner) {
					w.taken.Prefix += inner
				}
			}
		}
	}
}

// split separates the names that have a prefix from the others.
func (w *wrapping) split(prefix string) (with, without []int) {
	for i, name := range w.names {
		if strings.HasPrefix(name, prefix) {
			with = append(with, i)
		} else {
			without = append(without, i)
		}
	}
	return with, without
}

// reduce keeps the names at the places given, without a prefix.
func (w *wrapping) reduce(places []int, prefix string) {
	var names []string
	var keep []int
	for _, i := range places {
		names, keep = append(names, strings.TrimPrefix(w.names[i], prefix)), append(keep, w.keep[i])
	}
	w.names, w.keep = names, keep
	if prefix != "" {
		w.taken.Prefix += prefix
	}
}

// settleAverages chooses where some names have a prefix of averaged weights.
func (w *wrapping) settleAverages(o Options) {
	for _, prefix := range averagedPrefixes {
		averaged, plain := w.split(prefix)
		switch {
		case len(averaged) == 0:
		case o.EMA && !w.taken.EMA || len(plain) == 0:
			w.reduce(averaged, prefix)
			w.taken.EMA = true
		default:
			w.reduce(plain, "")
			w.taken.Other = prefix
		}
	}
}

// dropWrapper takes off one prefix that most names have, and leaves out what
// has it not. It says whether there was one.
func (w *wrapping) dropWrapper() bool {
	for _, prefix := range wrapperPrefixes {
		with, without := w.split(prefix)
		if 2*len(with) <= len(w.names) {
			continue
		}
		for _, i := range without {
			if w.names[i] != "n_averaged" { // a counter of torch.optim.swa_utils
				w.taken.LeftOut = append(w.taken.LeftOut, w.names[i])
			}
		}
		w.reduce(with, prefix)
		return true
	}
	return false
}
