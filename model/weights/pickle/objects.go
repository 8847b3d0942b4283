package pickle

// The values that a pickle can make, beside numbers, strings, booleans and nil.
type (
	// Global names a class or a function, as module.name.
	Global string
	// Tuple is a tuple.
	Tuple []any
	// List is a list of Items. The value is a pointer to one, as a list may hold itself.
	List struct{ Items []any }

	// Object is what a class or a function would have made: an instance whose
	// class does not matter here, with the items and the state it was given.
	Object struct {
		Class Global // what was called
		Items Dict   // that were set by key
		State any    // what __setstate__ was given, or __dict__
	}

	// Storage is the memory of tensors: its Key in the file, and the Class that PyTorch
	// has for its element type.
	Storage struct{ Key, Class string }

	// Tensor is a view of a storage; offset and stride count elements. None of it
	// has been held to the storage's size.
	Tensor struct {
		Storage       Storage // where its elements lie
		Offset        int64   // of the first element
		Shape, Stride []int   // one number each a dimension
	}

	mark struct{}
)

// Dict keeps its keys in the order in which they came first. Only strings are
// looked up; other keys are kept as they come.
type Dict struct {
	Keys, Values []any // as many of each
	place        map[string]int
}

// setAll sets keys and values that follow each other.
func (d *Dict) setAll(items []any) {
	if len(items)%2 != 0 {
		throw("a key without a value")
	}
	for i := 0; i < len(items); i += 2 {
		d.put(items[i], items[i+1])
	}
}

// put sets a value, in place of one that its key has.
func (d *Dict) put(key, value any) {
	name, named := key.(string)
	if at, ok := d.place[name]; named && ok {
		d.Values[at] = value
		return
	}
	if named {
		if d.place == nil {
			d.place = map[string]int{}
		}
		d.place[name] = len(d.Keys)
	}
	d.Keys, d.Values = append(d.Keys, key), append(d.Values, value)
}

// Get gives the value of a string key, or nil.
func (d *Dict) Get(key string) any {
	if at, ok := d.place[key]; ok {
		return d.Values[at]
	}
	return nil
}

// object makes a name, the result of a call, or what stands behind a
// persistent id.
func (u *Reader) object(op byte) any {
	switch op {
	case 'c': // GLOBAL
		module := u.line()
		return Global(module + "." + u.line())
	case 0x93: // STACK_GLOBAL
		parts := u.popN(2)
		module, ok1 := parts[0].(string)
		name, ok2 := parts[1].(string)
		if !ok1 || !ok2 {
			throw("a global without a name")
		}
		return Global(module + "." + name)
	case 'i': // INST
		module := u.line()
		class := Global(module + "." + u.line())
		return u.call(class, Tuple(u.popMark()))
	case 'o': // OBJ
		items := u.popMark()
		if len(items) == 0 {
			throw("an object without a class")
		}
		return u.call(items[0], Tuple(items[1:]))
	case 'P': // PERSID
		u.line()
		return &Object{Class: "persistent id"}
	case 'Q': // BINPERSID
		return u.persistent(u.pop())
	case 0x92: // NEWOBJ_EX
		parts := u.popN(3)
		return u.call(parts[0], parts[1])
	}
	parts := u.popN(2) // REDUCE, NEWOBJ
	return u.call(parts[0], parts[1])
}

// call gives what a call makes: the few objects that matter, else an object
// that only carries the name of what was called.
func (u *Reader) call(callee, arguments any) any {
	f, _ := callee.(Global)
	args, _ := arguments.(Tuple)
	switch f {
	case "collections.OrderedDict", "builtins.dict", "__builtin__.dict":
		return dictOf(args)
	case "torch.Size":
		if len(args) == 1 {
			return args[0]
		}
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3":
		return newTensor(args)
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
		if len(args) > 0 {
			return args[0]
		}
	case "torch._tensor._rebuild_from_type_v2": // function, class, its arguments, state
		if len(args) > 2 {
			if inner, ok := args[0].(Global); ok && inner != f {
				return u.call(inner, args[2])
			}
		}
	}
	return &Object{Class: f}
}

// dictOf makes a dictionary of a call's arguments: nothing, another
// dictionary, or a list of pairs.
func dictOf(args Tuple) *Dict {
	d := &Dict{}
	if len(args) == 0 {
		return d
	}
	switch from := args[0].(type) {
	case *Dict:
		for i, k := range from.Keys {
			d.put(k, from.Values[i])
		}
	case *List:
		for _, x := range from.Items {
			switch pair := x.(type) {
			case Tuple:
				d.setAll(pair)
			case *List:
				d.setAll(pair.Items)
			}
		}
	}
	return d
}

// dtypeClasses gives the storage class of a dtype, for storages without one.
var dtypeClasses = map[Global]string{
	"torch.float32": "torch.FloatStorage", "torch.float64": "torch.DoubleStorage", "torch.float16": "torch.HalfStorage",
	"torch.bfloat16": "torch.BFloat16Storage", "torch.int64": "torch.LongStorage", "torch.int32": "torch.IntStorage",
	"torch.int16": "torch.ShortStorage", "torch.int8": "torch.CharStorage", "torch.uint8": "torch.ByteStorage", "torch.bool": "torch.BoolStorage",
}

// newTensor reads (storage, offset, shape, stride, requires_grad, hooks and, in
// the third version, dtype).
func newTensor(args Tuple) any {
	if len(args) < 4 {
		throw("a tensor of %d arguments", len(args))
	}
	s, ok1 := args[0].(Storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := ints(args[2])
	stride, ok4 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || len(shape) != len(stride) || offset < 0 {
		throw("a tensor whose storage, place or shape is none")
	}
	if len(args) > 6 {
		if dtype, ok := args[6].(Global); ok && dtypeClasses[dtype] != "" {
			s.Class = dtypeClasses[dtype]
		}
	}
	return Tensor{s, offset, shape, stride}
}

func ints(v any) ([]int, bool) {
	t, ok := v.(Tuple)
	if !ok || len(t) > 64 {
		return nil, false
	}
	out := make([]int, 0, len(t))
	for _, x := range t {
		i, ok := x.(int64)
		if !ok || i < 0 || i > 1<<40 {
			return nil, false
		}
		out = append(out, int(i))
	}
	return out, true
}

// persistent reads what torch.save keeps outside the pickle: a storage as
// ("storage", class, key, device, elements, view), or a module's class with its
// source as ("module", class, file, source).
func (u *Reader) persistent(v any) any {
	t, ok := v.(Tuple)
	if !ok || len(t) < 2 {
		return &Object{Class: "persistent id"}
	}
	if t[0] == "module" {
		return t[1]
	}
	if t[0] != "storage" || len(t) < 5 {
		return &Object{Class: "persistent id"}
	}
	class, ok1 := t[1].(Global)
	key, ok2 := t[2].(string)
	if !ok1 || !ok2 {
		throw("a storage without a class or a key")
	}
	if len(t) > 5 && t[5] != nil {
		throw("a view of a storage, as PyTorch before 0.4 wrote them")
	}
	u.Storages[key] = string(class)
	return Storage{key, string(class)}
}
