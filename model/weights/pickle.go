package weights

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/synshard/synshard/model"
)

// A reader of the pickles that torch.save writes: enough opcodes of protocols
// 2 to 4 for dictionaries of tensors, and nothing that is ever executed. The
// only callables are the ones named in call; anything else is an opaque value.

// pickleLimit bounds the values a pickle may make.
const pickleLimit = 1 << 22

type (
	global   string // module.name
	tuple    []any
	list     struct{ items []any }
	dict     struct{ keys, values []any }
	mark     struct{}
	opaque   struct{ what global } // an object of a class that does not matter
	storage  struct{ key, kind string }
	ptTensor struct {
		storage       storage
		offset        int64
		shape, stride []int
	}
)

type unpickler struct {
	b     []byte
	at    int
	stack []any
	memo  map[uint32]any
	made  int
}

// unpickle reads one pickle and gives its value and the place after it.
func unpickle(b []byte) (v any, end int, err error) {
	u := &unpickler{b: b, memo: map[uint32]any{}}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case pickleError:
			err = fmt.Errorf("%w: pickle at %d: %s", model.ErrFormat, u.at, string(p))
		default:
			panic(p)
		}
	}()
	return u.run(), u.at, nil
}

// pickleError is thrown by the helpers below and caught by unpickle.
type pickleError string

func throw(format string, args ...any) { panic(pickleError(fmt.Sprintf(format, args...))) }

func (u *unpickler) take(n int) []byte {
	if n < 0 || n > len(u.b)-u.at {
		throw("%d bytes are wanted and %d are there", n, len(u.b)-u.at)
	}
	u.at += n
	return u.b[u.at-n : u.at]
}

func (u *unpickler) u8() int  { return int(u.take(1)[0]) }
func (u *unpickler) u16() int { return int(binary.LittleEndian.Uint16(u.take(2))) }
func (u *unpickler) u32() int { return int(binary.LittleEndian.Uint32(u.take(4))) }

// line takes up to a newline.
func (u *unpickler) line() string {
	for i := u.at; i < len(u.b) && i < u.at+4096; i++ {
		if u.b[i] == '\n' {
			s := string(u.b[u.at:i])
			u.at = i + 1
			return s
		}
	}
	throw("a line without an end")
	return ""
}

func (u *unpickler) push(v any) {
	if u.made++; u.made > pickleLimit {
		throw("more than %d values", pickleLimit)
	}
	u.stack = append(u.stack, v)
}

func (u *unpickler) pop() any {
	if len(u.stack) == 0 {
		throw("the stack is empty")
	}
	v := u.stack[len(u.stack)-1]
	u.stack = u.stack[:len(u.stack)-1]
	return v
}

func (u *unpickler) top() any {
	v := u.pop()
	u.stack = append(u.stack, v)
	return v
}

// popMark takes what was pushed since the last mark.
func (u *unpickler) popMark() []any {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, ok := u.stack[i].(mark); ok {
			items := append([]any(nil), u.stack[i+1:]...)
			u.stack = u.stack[:i]
			return items
		}
	}
	throw("no mark")
	return nil
}

func (u *unpickler) run() any {
	for {
		switch op := u.u8(); op {
		case '.': // STOP
			return u.pop()
		case 0x80: // PROTO
			if p := u.u8(); p > 5 {
				throw("protocol %d", p)
			}
		case 0x95: // FRAME
			u.take(8)
		case '(':
			u.push(mark{})
		case '0': // POP
			u.pop()
		case '}', ']', ')':
			u.push(map[int]any{'}': &dict{}, ']': &list{}, ')': tuple{}}[op])
		case 'N', 0x88, 0x89:
			u.push(map[int]any{'N': nil, 0x88: true, 0x89: false}[op])
		case 'q', 'r', 0x94, 'h', 'j':
			u.memory(op)
		case 'c', 0x93, 'Q', 'R', 'b', 0x81:
			u.object(op)
		case 't', 0x85, 0x86, 0x87, 'u', 's', 'e', 'a':
			u.collect(op)
		default:
			u.push(u.scalar(op))
		}
	}
}

// scalar reads a number or a string.
func (u *unpickler) scalar(op int) any {
	switch op {
	case 'J':
		return int64(int32(u.u32()))
	case 'K':
		return int64(u.u8())
	case 'M':
		return int64(u.u16())
	case 0x8a: // LONG1
		b := u.take(u.u8())
		if len(b) > 8 {
			if len(b) > 16 {
				throw("an integer of %d bytes", len(b))
			}
			return opaque{"int"} // the old format's magic number
		}
		var v int64
		for i := len(b) - 1; i >= 0; i-- {
			v = v<<8 | int64(b[i])
		}
		if n := len(b); n > 0 && n < 8 && b[n-1]&0x80 != 0 {
			v -= 1 << (8 * n)
		}
		return v
	case 'G':
		return math.Float64frombits(binary.BigEndian.Uint64(u.take(8)))
	case 'X', 'T', 'B':
		return string(u.take(u.u32()))
	case 0x8c, 'U', 'C':
		return string(u.take(u.u8()))
	}
	throw("opcode %#x", op)
	return nil
}

func (u *unpickler) memory(op int) {
	switch op {
	case 'q':
		u.memo[uint32(u.u8())] = u.top()
	case 'r':
		u.memo[uint32(u.u32())] = u.top()
	case 0x94: // MEMOIZE
		u.memo[uint32(len(u.memo))] = u.top()
	default:
		key := uint32(0)
		if op == 'h' {
			key = uint32(u.u8())
		} else {
			key = uint32(u.u32())
		}
		v, ok := u.memo[key]
		if !ok {
			throw("nothing is remembered as %d", key)
		}
		u.push(v)
	}
	if len(u.memo) > pickleLimit {
		throw("more than %d values", pickleLimit)
	}
}

// collect makes tuples, and fills lists and dictionaries.
func (u *unpickler) collect(op int) {
	switch op {
	case 't':
		u.push(tuple(u.popMark()))
	case 0x85, 0x86, 0x87:
		n := op - 0x84
		if len(u.stack) < n {
			throw("the stack is empty")
		}
		t := append(tuple(nil), u.stack[len(u.stack)-n:]...)
		u.stack = u.stack[:len(u.stack)-n]
		u.push(t)
	case 'u', 's':
		var items []any
		if op == 'u' {
			items = u.popMark()
		} else {
			v, k := u.pop(), u.pop()
			items = []any{k, v}
		}
		d, ok := u.top().(*dict)
		if !ok || len(items)%2 != 0 {
			throw("items for what is no dictionary")
		}
		for i := 0; i < len(items); i += 2 {
			d.keys, d.values = append(d.keys, items[i]), append(d.values, items[i+1])
		}
	default:
		items := []any{nil}
		if op == 'e' {
			items = u.popMark()
		} else {
			items[0] = u.pop()
		}
		l, ok := u.top().(*list)
		if !ok {
			throw("items for what is no list")
		}
		l.items = append(l.items, items...)
	}
}

// object deals with names, calls and references to storages.
func (u *unpickler) object(op int) {
	switch op {
	case 'c':
		module := u.line()
		u.push(global(module + "." + u.line()))
	case 0x93: // STACK_GLOBAL
		name, ok1 := u.pop().(string)
		module, ok2 := u.pop().(string)
		if !ok1 || !ok2 {
			throw("a global without a name")
		}
		u.push(global(module + "." + name))
	case 'Q': // BINPERSID
		u.push(persistent(u.pop()))
	case 'R', 0x81: // REDUCE, NEWOBJ
		args, ok1 := u.pop().(tuple)
		f, ok2 := u.pop().(global)
		if !ok1 || !ok2 {
			throw("a call of what is no class")
		}
		u.push(call(f, args))
	case 'b': // BUILD: the state of an object, which does not matter here
		u.pop()
		u.top()
	}
}

// call makes the few objects that matter.
func call(f global, args tuple) any {
	switch f {
	case "collections.OrderedDict":
		return &dict{}
	case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor":
		if len(args) < 4 {
			throw("a tensor of %d arguments", len(args))
		}
		s, ok1 := args[0].(storage)
		offset, ok2 := args[1].(int64)
		shape, ok3 := ints(args[2])
		stride, ok4 := ints(args[3])
		if !ok1 || !ok2 || !ok3 || !ok4 || len(shape) != len(stride) || offset < 0 {
			throw("a tensor of %v", args)
		}
		return ptTensor{s, offset, shape, stride}
	case "torch._utils._rebuild_parameter":
		if len(args) > 0 {
			return args[0]
		}
	}
	return opaque{f}
}

func ints(v any) ([]int, bool) {
	t, ok := v.(tuple)
	if !ok {
		return nil, false
	}
	var out []int
	for _, x := range t {
		i, ok := x.(int64)
		if !ok || i < 0 || i > 1<<40 {
			return nil, false
		}
		out = append(out, int(i))
	}
	return out, true
}

// persistent reads ('storage', class, key, device, elements).
func persistent(v any) any {
	t, ok := v.(tuple)
	if !ok || len(t) < 5 || t[0] != "storage" {
		throw("a reference that is no storage")
	}
	class, ok1 := t[1].(global)
	key, ok2 := t[2].(string)
	if !ok1 || !ok2 {
		throw("a storage without a class or a key")
	}
	return storage{key, string(class)}
}
