// Package pickle reads Python's pickles, protocols 0 to 5, without ever running
// anything: a class or a function is a name, what it would make an Object of
// that name, and what is put into an object is kept or dropped. The few calls
// that matter to files of weights are known by name, in objects.go.
package pickle

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/synshard/synshard/model"
)

// limit bounds the values a pickle may make.
const limit = 1 << 22

// Reader reads pickles that follow each other.
type Reader struct {
	Storages map[string]string // class by key, of every storage that was referred to

	b     []byte
	at    int
	stack []any
	memo  map[uint32]any
	made  int
}

// NewReader reads the pickles at the beginning of b.
func NewReader(b []byte) *Reader { return &Reader{b: b, Storages: map[string]string{}} }

// Rest is what follows the pickles read so far.
func (u *Reader) Rest() []byte { return u.b[u.at:] }

// Read reads the next pickle and gives its value, which may hold itself. What
// is no pickle is model.ErrFormat.
func (u *Reader) Read() (v any, err error) {
	u.stack, u.memo = nil, map[uint32]any{}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case pickleError:
			err = fmt.Errorf("%w: pickle at %d: %s", model.ErrFormat, u.at, string(p))
		default:
			panic(p)
		}
	}()
	return u.run(), nil
}

// pickleError is thrown by the helpers below and caught by Read. Values of
// a pickle are never printed: they may hold themselves.
type pickleError string

func throw(format string, args ...any) { panic(pickleError(fmt.Sprintf(format, args...))) }

func (u *Reader) take(n uint64) []byte {
	if n > uint64(len(u.b)-u.at) {
		throw("%d bytes are wanted and %d are there", n, len(u.b)-u.at)
	}
	u.at += int(n)
	return u.b[u.at-int(n) : u.at]
}

func (u *Reader) u8() uint64  { return uint64(u.take(1)[0]) }
func (u *Reader) u16() uint64 { return uint64(binary.LittleEndian.Uint16(u.take(2))) }
func (u *Reader) u32() uint64 { return uint64(binary.LittleEndian.Uint32(u.take(4))) }
func (u *Reader) u64() uint64 { return binary.LittleEndian.Uint64(u.take(8)) }

// line takes up to a newline.
func (u *Reader) line() string {
	for i := u.at; i < len(u.b) && i < u.at+1<<16; i++ {
		if u.b[i] == '\n' {
			s := string(u.b[u.at:i])
			u.at = i + 1
			return s
		}
	}
	throw("a line without an end")
	return ""
}

func (u *Reader) push(v any) {
	if u.made++; u.made > limit {
		throw("more than %d values", limit)
	}
	u.stack = append(u.stack, v)
}

func (u *Reader) pop() any {
	v := u.top()
	u.stack = u.stack[:len(u.stack)-1]
	return v
}

func (u *Reader) top() any {
	if len(u.stack) == 0 {
		throw("the stack is empty")
	}
	return u.stack[len(u.stack)-1]
}

// popMark takes what was pushed since the last mark.
func (u *Reader) popMark() []any {
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

// popN takes the last n values.
func (u *Reader) popN(n int) []any {
	if len(u.stack) < n {
		throw("the stack is empty")
	}
	items := append([]any(nil), u.stack[len(u.stack)-n:]...)
	u.stack = u.stack[:len(u.stack)-n]
	return items
}

// run carries out opcodes up to STOP; names are those of Python's pickletools.
func (u *Reader) run() any {
	for {
		switch op := byte(u.u8()); op {
		case '.': // STOP
			return u.pop()
		case 0x80: // PROTO
			if p := u.u8(); p > 5 {
				throw("protocol %d", p)
			}
		case 0x95: // FRAME
			u.take(8)
		case 0x98: // READONLY_BUFFER
		case '(': // MARK
			u.push(mark{})
		case '0': // POP
			u.pop()
		case '1': // POP_MARK
			u.popMark()
		case '2': // DUP
			u.push(u.top())
		case 'p', 'q', 'r', 0x94, 'g', 'h', 'j':
			u.memory(op)
		case '}', ']', ')', 0x8f, 't', 0x85, 0x86, 0x87, 'l', 'd', 0x91:
			u.push(u.collection(op))
		case 'u', 's', 'e', 'a', 0x90, 'b':
			u.fill(op)
		case 'c', 0x93, 'i', 'o', 'R', 0x81, 0x92, 'P', 'Q':
			u.push(u.object(op))
		case 'X', 'B', 'T', 0x8c, 'C', 'U', 0x8d, 0x8e, 0x96, 'S', 'V':
			u.push(u.text(op))
		default:
			u.push(u.scalar(op))
		}
	}
}

// scalar reads a constant or a number.
func (u *Reader) scalar(op byte) any {
	switch op {
	case 'N': // NONE
		return nil
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return op == 0x88
	case 'J': // BININT
		return int64(int32(u.u32()))
	case 'K': // BININT1
		return int64(u.u8())
	case 'M': // BININT2
		return int64(u.u16())
	case 0x8a: // LONG1
		return integer(u.take(u.u8()))
	case 0x8b: // LONG4
		return integer(u.take(u.u32()))
	case 'G': // BINFLOAT
		return math.Float64frombits(binary.BigEndian.Uint64(u.take(8)))
	case 'I', 'L': // INT, LONG
		s := strings.TrimSuffix(u.line(), "L")
		if op == 'I' && (s == "00" || s == "01") {
			return s == "01"
		}
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			return v
		}
		return &Object{Class: "int"}
	case 'F': // FLOAT
		v, err := strconv.ParseFloat(u.line(), 64)
		if err != nil {
			throw("a number that is none")
		}
		return v
	}
	throw("opcode %#x", op)
	return nil
}

// integer reads a little-endian integer in two's complement. One of more than
// 64 bits, such as the old format's magic number, is an object.
func integer(b []byte) any {
	if len(b) > 8 {
		return &Object{Class: "int"}
	}
	var v int64
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | int64(b[i])
	}
	if n := len(b); n > 0 && n < 8 && b[n-1]&0x80 != 0 {
		v -= 1 << (8 * n)
	}
	return v
}

// text reads a string, or bytes.
func (u *Reader) text(op byte) any {
	switch op {
	case 'X', 'B', 'T': // BINUNICODE, BINBYTES, BINSTRING
		return string(u.take(u.u32()))
	case 0x8c, 'C', 'U': // SHORT_BINUNICODE, SHORT_BINBYTES, SHORT_BINSTRING
		return string(u.take(u.u8()))
	case 0x8d, 0x8e, 0x96: // BINUNICODE8, BINBYTES8, BYTEARRAY8
		return string(u.take(u.u64()))
	case 'V': // UNICODE
		return u.line()
	default: // STRING
		return strings.Trim(u.line(), `'"`)
	}
}

// memory puts the top into the memo, or pushes what is there.
func (u *Reader) memory(op byte) {
	var key uint64
	switch op {
	case 'p', 'g': // PUT, GET
		n, err := strconv.ParseUint(u.line(), 10, 32)
		if err != nil {
			throw("a place in the memo that is none")
		}
		key = n
	case 'q', 'h': // BINPUT, BINGET
		key = u.u8()
	case 'r', 'j': // LONG_BINPUT, LONG_BINGET
		key = u.u32()
	default: // MEMOIZE
		key = uint64(len(u.memo))
	}
	if op == 'g' || op == 'h' || op == 'j' {
		v, ok := u.memo[uint32(key)]
		if !ok {
			throw("nothing is remembered as %d", key)
		}
		u.push(v)
		return
	}
	if u.memo[uint32(key)] = u.top(); len(u.memo) > limit {
		throw("more than %d values", limit)
	}
}

// collection makes an empty collection, or one of what lies on the stack.
func (u *Reader) collection(op byte) any {
	switch op {
	case '}': // EMPTY_DICT
		return &Dict{}
	case ']': // EMPTY_LIST
		return &List{}
	case ')': // EMPTY_TUPLE
		return Tuple{}
	case 0x8f: // EMPTY_SET
		return &Object{Class: "set"}
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		return Tuple(u.popN(int(op) - 0x84))
	}
	items := u.popMark()
	switch op {
	case 'l': // LIST
		return &List{items}
	case 'd': // DICT
		d := &Dict{}
		d.setAll(items)
		return d
	case 0x91: // FROZENSET
		return &Object{Class: "frozenset"}
	}
	return Tuple(items) // TUPLE
}

// fill puts items or a state into what lies below them. An object takes
// whatever it is given; a dictionary's attributes do not matter.
func (u *Reader) fill(op byte) {
	var items []any
	switch op {
	case 'u', 'e', 0x90: // SETITEMS, APPENDS, ADDITEMS
		items = u.popMark()
	case 's': // SETITEM
		items = u.popN(2)
	default: // APPEND, BUILD
		items = u.popN(1)
	}
	switch to := u.top().(type) {
	case *Object:
		switch op {
		case 'b':
			to.State = items[0]
		case 'u', 's':
			to.Items.setAll(items)
		}
	case *Dict:
		switch op {
		case 'u', 's':
			to.setAll(items)
		case 'e', 'a', 0x90:
			throw("a dictionary is given items without keys")
		}
	case *List:
		switch op {
		case 'e', 'a':
			to.Items = append(to.Items, items...)
		case 'u', 's', 0x90:
			throw("a list is given items with keys")
		}
	default:
		if op != 'b' {
			throw("items for %T", to)
		}
	}
}
