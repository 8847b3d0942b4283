package torch

/*
#include <stdlib.h>
#include "synshard_torch.h"

static int ss_get1(const ss_api *a, ss_engine *g, const char *name, float *o, int64_t n, char *e, size_t l) { return a->get(g, name, o, n, e, l); }
static int ss_set1(const ss_api *a, ss_engine *g, const char *name, const float *in, int64_t n, char *e, size_t l) { return a->set(g, name, in, n, e, l); }
static int ss_gradient1(const ss_api *a, ss_engine *g, const char *name, float *o, int64_t n, char *e, size_t l) { return a->gradient(g, name, o, n, e, l); }
static int ss_get_scalars1(const ss_api *a, ss_engine *g, int64_t *u, double *s, char *e, size_t l) { return a->get_scalars(g, u, s, e, l); }
static int ss_set_scalars1(const ss_api *a, ss_engine *g, int64_t u, double s, char *e, size_t l) { return a->set_scalars(g, u, s, e, l); }
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/synshard/synshard/model"
)

// scalars is the name of the state that is not a tensor of the network: the
// optimiser's count of updates in two halves of 24 bits, which float32 holds
// exactly, and fp16's loss scale.
const scalars = "opt/scalars"

// names lists what State gives, with each one's shape.
func (e *Engine) names() ([]string, [][]int) {
	var names []string
	var shapes [][]int
	add := func(name string, p model.Param) {
		names = append(names, name)
		shapes = append(shapes, p.Shape)
	}
	for _, p := range e.params {
		add(p.Name, p)
	}
	for _, p := range e.params {
		if e.cfg.EMA {
			add("ema/"+p.Name, p)
		}
	}
	for _, slot := range e.slots {
		for _, p := range e.params {
			if p.Kind.Trained() && !e.cfg.Frozen(p.Name) {
				add("opt/"+slot+"/"+p.Name, p)
			}
		}
	}
	return names, shapes
}

// State implements train.Engine. After a step that lost a process of the group it
// is what it was before that step.
func (e *Engine) State() ([]model.Tensor, error) {
	names, shapes := e.names()
	out := make([]model.Tensor, 0, len(names)+1)
	for i, name := range names {
		data := make([]byte, 4*elements(shapes[i]))
		if err := e.tensor("read state", name, data, false); err != nil {
			return nil, err
		}
		out = append(out, model.Tensor{Name: name, DType: "F32", Shape: shapes[i], Data: data})
	}
	var updates C.int64_t
	var scale C.double
	if err := e.call("read state", func(t *C.char, n C.size_t) C.int {
		return C.ss_get_scalars1(e.shim.api, e.handle, &updates, &scale, t, n)
	}); err != nil {
		return nil, err
	}
	var data []byte
	for _, v := range []float64{float64(updates & (1<<24 - 1)), float64(updates >> 24), float64(scale)} {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
	}
	return append(out, model.Tensor{Name: scalars, DType: "F32", Shape: []int{3}, Data: data}), nil
}

// SetState implements train.Engine.
func (e *Engine) SetState(state []model.Tensor) error {
	names, shapes := e.names()
	for _, t := range state {
		if t.DType != "F32" || len(t.Data) != 4*elements(t.Shape) {
			return fmt.Errorf("set state: %s is %s%v in %d bytes, want F32", t.Name, t.DType, t.Shape, len(t.Data))
		}
		if t.Name == scalars {
			if err := e.setScalars(t); err != nil {
				return err
			}
			continue
		}
		i := slices.Index(names, t.Name)
		if i < 0 {
			return fmt.Errorf("set state: %s is not a part of %s with this optimizer", t.Name, e.net.Name)
		}
		if !slices.Equal(t.Shape, shapes[i]) {
			return fmt.Errorf("set state: %s has shape %v, want %v", t.Name, t.Shape, shapes[i])
		}
		if err := e.tensor("set state", t.Name, t.Data, true); err != nil {
			return err
		}
	}
	// Averages that were not given begin as the weights they average.
	if !e.cfg.EMA || slices.ContainsFunc(state, func(t model.Tensor) bool { return strings.HasPrefix(t.Name, "ema/") }) {
		return nil
	}
	for _, t := range state {
		if slices.ContainsFunc(e.params, func(p model.Param) bool { return p.Name == t.Name }) {
			if err := e.tensor("set state", "ema/"+t.Name, t.Data, true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) setScalars(t model.Tensor) error {
	if len(t.Data) != 12 {
		return fmt.Errorf("set state: %s has shape %v, want [3]", t.Name, t.Shape)
	}
	at := func(i int) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))) }
	updates := int64(at(0)) + int64(at(1))<<24
	return e.call("set state", func(m *C.char, n C.size_t) C.int {
		return C.ss_set_scalars1(e.shim.api, e.handle, C.int64_t(updates), C.double(at(2)), m, n)
	})
}

// tensor copies a tensor of the engine out to data or in from it.
func (e *Engine) tensor(what, name string, data []byte, in bool) error {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	values, count := (*C.float)(unsafe.Pointer(&data[0])), C.int64_t(len(data)/4)
	return e.call(what, func(t *C.char, n C.size_t) C.int {
		if in {
			return C.ss_set1(e.shim.api, e.handle, cname, values, count, t, n)
		}
		return C.ss_get1(e.shim.api, e.handle, cname, values, count, t, n)
	})
}

// gradient gives a parameter's gradient as the steps since the last update
// left it; for tests.
func (e *Engine) gradient(name string) ([]float32, error) {
	i := slices.IndexFunc(e.params, func(p model.Param) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("gradient: no parameter is named %s", name)
	}
	out := make([]float32, elements(e.params[i].Shape))
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	err := e.call("gradient", func(t *C.char, n C.size_t) C.int {
		return C.ss_gradient1(e.shim.api, e.handle, cname, (*C.float)(&out[0]), C.int64_t(len(out)), t, n)
	})
	return out, err
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
