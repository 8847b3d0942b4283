package prediction

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
)

// columnSum is the sha256 of a column's values: of each row the number of its
// values (0 for a null, 1 for a value, n for a list of n) as 4 bytes, and each value: an
// integer as 8 bytes, a number as the 4 of the nearest float32, text as 4 bytes of
// length and itself; all little-endian. It depends on what a column says and
// not on how it is stored, so that it holds for a table that another program
// saved again.
type columnSum struct {
	h   hash.Hash
	buf []byte
}

func newColumnSum() *columnSum { return &columnSum{h: sha256.New(), buf: make([]byte, 0, 1<<15)} }

// room writes the buffer out where it is nearly full.
func (s *columnSum) room() {
	if len(s.buf) > 1<<15-16 {
		s.h.Write(s.buf)
		s.buf = s.buf[:0]
	}
}

func (s *columnSum) count(n int) {
	s.room()
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(n))
}

func (s *columnSum) ints(_ int, values []int64) error {
	s.count(len(values))
	for _, v := range values {
		s.room()
		s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(v))
	}
	return nil
}

func (s *columnSum) floats(_ int, values []float64) error {
	s.count(len(values))
	for _, v := range values {
		s.room()
		s.buf = binary.LittleEndian.AppendUint32(s.buf, math.Float32bits(float32(v)))
	}
	return nil
}

func (s *columnSum) strings(_ int, values [][]byte) error {
	s.count(len(values))
	for _, v := range values {
		s.count(len(v))
		if len(v) <= cap(s.buf)-len(s.buf) {
			s.buf = append(s.buf, v...)
			continue
		}
		s.h.Write(s.buf)
		s.buf = s.buf[:0]
		s.h.Write(v)
	}
	return nil
}

// hex ends the sum.
func (s *columnSum) hex() string {
	s.h.Write(s.buf)
	s.buf = s.buf[:0]
	return fmt.Sprintf("%x", s.h.Sum(nil))
}

// recordSums sums the columns of records up.
type recordSums struct {
	fields []arrow.Field
	sums   []*columnSum
}

func newRecordSums(fields []arrow.Field) *recordSums {
	s := &recordSums{fields: fields}
	for range fields {
		s.sums = append(s.sums, newColumnSum())
	}
	return s
}

func (s *recordSums) add(rec arrow.Record) error {
	for i, f := range s.fields {
		if err := eachValue(rec.Column(i), kindOf(f.Name, arrowKind(f.Type)), s.sums[i]); err != nil {
			return fmt.Errorf("column %s: %w", f.Name, err)
		}
	}
	return nil
}

// metadata is the sums as a file has them.
func (s *recordSums) metadata() metadata {
	md := metadata{}
	for i, f := range s.fields {
		md[keyColumnSum+f.Name] = s.sums[i].hex()
	}
	return md
}
