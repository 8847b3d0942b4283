package prediction

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/synshard/synshard/infer/prediction/encode"
	"github.com/synshard/synshard/internal/arrowipc"
)

// Embedded says that the file has a column of embeddings that can be had.
func (b *Browser) Embedded() bool { return b.embedding() >= 0 }

// embedding is the place of the embeddings among the columns; -1: there are none.
func (b *Browser) embedding() int {
	return slices.IndexFunc(b.columns, func(c column) bool { return c.name == "embedding" && c.kind == kindFloat })
}

// lookAtEmbeddings finds out how wide embeddings are, by the first that is there, and how they lie.
func (b *Browser) lookAtEmbeddings() error {
	for g := range b.Groups() {
		err := b.Embeddings(g, func(_ int, v []float32) error { b.Width = max(b.Width, len(v)); return nil })
		if err != nil {
			return err
		}
		if b.Width > 0 {
			_, _, b.Apart, err = b.vectors(g)
			return err
		}
	}
	return nil
}

// Embeddings gives the embeddings of a group with their rows; rows without one, as those
// that failed, are left out. They are good until each returns.
func (b *Browser) Embeddings(g int, each func(i int, v []float32) error) error {
	at := b.embedding()
	if at < 0 {
		return nil
	}
	if _, concurrent := b.t.(arrowTable); !concurrent {
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	row, v := b.starts[g], []float32(nil)
	return b.t.each(g, b.columns[at], floatsFunc(func(values []float64) error {
		row++
		if len(values) == 0 {
			return nil
		}
		v = v[:0]
		for _, x := range values {
			v = append(v, float32(x))
		}
		return each(row-1, v)
	}))
}

// EmbeddingsOf gives the embeddings of some rows, in ascending order, as Embeddings does. Where
// they lie apart nothing is read of other rows, else whole groups are.
func (b *Browser) EmbeddingsOf(rows []int, each func(i int, v []float32) error) error {
	for len(rows) > 0 {
		g := b.GroupOf(rows[0])
		n, _ := slices.BinarySearch(rows, b.starts[g+1])
		at, of, apart, err := b.vectors(g)
		switch {
		case err != nil:
		case apart:
			err = b.some(at, of, b.starts[g], rows[:n], each)
		default:
			err = b.Embeddings(g, func(i int, v []float32) error {
				if _, wanted := slices.BinarySearch(rows[:n], i); !wanted {
					return nil
				}
				return each(i, v)
			})
		}
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// numbers are how the numbers of embeddings lie in a file: so many bytes each.
type numbers struct {
	bytes int
	read  func(v []float32, b []byte)
}

var numbersOf = map[arrow.Type]numbers{
	arrow.FLOAT16: {2, readHalves},
	arrow.FLOAT32: {4, func(v []float32, b []byte) {
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}},
	arrow.FLOAT64: {8, func(v []float32, b []byte) {
		for i := range v {
			v[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
	}},
}

func readHalves(v []float32, b []byte) {
	halves := encode.Halves()
	for ; len(v) >= 4; v, b = v[4:], b[8:] { // by four, in less than half the time
		x := binary.LittleEndian.Uint64(b)
		v[0], v[1], v[2], v[3] = halves[uint16(x)], halves[uint16(x>>16)], halves[uint16(x>>32)], halves[uint16(x>>48)]
	}
	for i := range v {
		v[i] = halves[binary.LittleEndian.Uint16(b[2*i:])]
	}
}

// vectors finds the embeddings of a group where they lie apart.
func (b *Browser) vectors(g int) (v arrowipc.Vectors, of numbers, apart bool, err error) {
	a, ok := b.t.(arrowTable)
	if !ok {
		return v, of, false, nil
	}
	column := b.columns[b.embedding()].at
	v, err = a.f.Vectors(g, column)
	if errors.Is(err, arrowipc.ErrUnsupported) {
		return v, of, false, nil
	}
	if err != nil {
		return v, of, false, damaged(err)
	}
	of, ok = numbersOf[a.f.Schema().Field(column).Type.(*arrow.FixedSizeListType).Elem().ID()]
	return v, of, ok, nil
}

// readAtOnce bounds what is read at a time of rows that follow one another.
const readAtOnce = 256 << 10

// some reads rows of a group that begins with row first.
func (b *Browser) some(at arrowipc.Vectors, of numbers, first int, rows []int, each func(i int, v []float32) error) error {
	buf, v := []byte(nil), make([]float32, at.Bytes/of.bytes)
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n] == rows[0]+n && (n+1)*at.Bytes <= readAtOnce {
			n++
		}
		buf = slices.Grow(buf[:0], n*at.Bytes)[:n*at.Bytes]
		if _, err := b.file.ReadAt(buf, at.At+int64(rows[0]-first)*int64(at.Bytes)); err != nil {
			return err
		}
		for k, row := range rows[:n] {
			if !at.Valid(row - first) {
				continue
			}
			of.read(v, buf[k*at.Bytes:])
			if err := each(row, v); err != nil {
				return err
			}
		}
		rows = rows[n:]
	}
	return nil
}

// floatsFunc is a sink of lists of numbers, row by row.
type floatsFunc func(values []float64) error

func (f floatsFunc) floats(_ int, values []float64) error { return f(values) }
func (f floatsFunc) strings(int, [][]byte) error {
	return formatf("column embedding holds text")
}
func (f floatsFunc) ints(int, []int64) error { return formatf("column embedding holds integers") }
