package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// maxDepth bounds groups in groups of a schema, which the reader below
	// follows by recursion; lists of structs of lists have some ten.
	maxDepth = 64
	// maxElements bounds a schema's columns and groups.
	maxElements = 1 << 18
	// maxFooter bounds a file's metadata, in bytes.
	maxFooter = 1 << 30
)

// checkSchema holds a file's schema to its bounds before anything recurses. What
// is wrong otherwise is left to the reader to say.
func checkSchema(r io.ReaderAt, size int64) error {
	var tail [8]byte
	if size < 12 {
		return nil
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != "PAR1" || length > size-12 {
		return nil
	}
	if length > maxFooter {
		return fmt.Errorf("metadata of %d bytes", length)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-8-length); err != nil {
		return err
	}
	s := &thrift{b: footer}
	return s.schema()
}

// thrift reads the compact form of Thrift, as far as a schema needs it. A read
// beyond the end sets short.
type thrift struct {
	b     []byte
	short bool
}

// The types of the compact form that are told apart here.
const (
	thriftTrue, thriftFalse, thriftByte         = 1, 2, 3
	thriftI16, thriftI32, thriftI64             = 4, 5, 6
	thriftDouble, thriftBinary                  = 7, 8
	thriftList, thriftSet, thriftMap, thriftSub = 9, 10, 11, 12
)

var errShape = errors.New("metadata of another shape")

// schema finds the list of schema elements, field 2 of the metadata, which are
// the nodes of a tree from its root on, each with the number of its children.
func (s *thrift) schema() error {
	return s.fields(func(id int64, kind byte) error {
		if id != 2 || kind != thriftList {
			return s.skip(kind, 0)
		}
		n, element := s.list()
		if element != thriftSub || n > maxElements {
			return fmt.Errorf("a schema of %d elements", n)
		}
		var left []int64 // children to come, of each group around the place
		for range n {
			children := int64(0)
			err := s.fields(func(id int64, kind byte) error {
				if id == 5 && kind == thriftI32 {
					v := s.varint()
					children = int64(v>>1) ^ -int64(v&1)
					return nil
				}
				return s.skip(kind, 0)
			})
			if err != nil || s.short {
				return err
			}
			for len(left) > 0 && left[len(left)-1] == 0 {
				left = left[:len(left)-1]
			}
			if len(left) > 0 {
				left[len(left)-1]--
			}
			if children > 0 {
				left = append(left, children)
			}
			if len(left) > maxDepth {
				return fmt.Errorf("a schema of more than %d groups in each other", maxDepth)
			}
		}
		return nil
	})
}

func (s *thrift) take(n uint64) []byte {
	if n > uint64(len(s.b)) {
		s.short, s.b = true, nil
		return nil
	}
	out := s.b[:n]
	s.b = s.b[n:]
	return out
}

func (s *thrift) varint() uint64 {
	v, n := binary.Uvarint(s.b)
	if n <= 0 {
		s.short, s.b = true, nil
		return 0
	}
	s.b = s.b[n:]
	return v
}

// list gives the head of a list.
func (s *thrift) list() (n uint64, element byte) {
	head := s.take(1)
	if head == nil {
		return 0, 0
	}
	if n = uint64(head[0] >> 4); n == 15 {
		n = s.varint()
	}
	return n, head[0] & 15
}

// fields gives each field of a struct to f, which reads its value.
func (s *thrift) fields(f func(id int64, kind byte) error) error {
	id := int64(0)
	for {
		head := s.take(1)
		if head == nil || head[0] == 0 {
			return nil
		}
		if delta := int64(head[0] >> 4); delta != 0 {
			id += delta
		} else {
			v := s.varint()
			id = int64(v>>1) ^ -int64(v&1)
		}
		if err := f(id, head[0]&15); err != nil || s.short {
			return err
		}
	}
}

// skip passes over a value.
func (s *thrift) skip(kind byte, depth int) error {
	if depth > 16 {
		return errShape
	}
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		s.take(1)
	case thriftI16, thriftI32, thriftI64:
		s.varint()
	case thriftDouble:
		s.take(8)
	case thriftBinary:
		s.take(s.varint())
	case thriftSub:
		return s.fields(func(_ int64, kind byte) error { return s.skip(kind, depth+1) })
	case thriftList, thriftSet:
		n, element := s.list()
		return s.skipMany(n, []byte{element}, depth)
	case thriftMap:
		n := s.varint()
		if n == 0 {
			return nil
		}
		kinds := s.take(1)
		if kinds == nil {
			return nil
		}
		return s.skipMany(n, []byte{kinds[0] >> 4, kinds[0] & 15}, depth)
	default:
		return errShape
	}
	return nil
}

// skipMany passes over the values of a list or a map. Booleans in them are a
// byte each.
func (s *thrift) skipMany(n uint64, kinds []byte, depth int) error {
	for range n {
		for _, kind := range kinds {
			if kind == thriftTrue || kind == thriftFalse {
				kind = thriftByte
			}
			if err := s.skip(kind, depth+1); err != nil || s.short {
				return err
			}
		}
	}
	return nil
}
