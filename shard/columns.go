package shard

import (
	"math/bits"

	"github.com/apache/arrow/go/v15/arrow"
)

// column is one column of a batch, checked: its slices are long enough for its
// rows and its offsets ascend within its data.
type column struct {
	rows  int
	valid []byte // a bit a row, set where there is a value; nil: all have one
	off   []byte // rows+1 int32, for text, bytes and lists
	data  []byte // values
	start int    // place of data in the batch's body
	kids  []column
}

// decoder gives the nodes and buffers of a batch to its columns, in order.
type decoder struct {
	f                    fbuf
	body                 []byte
	nodes, nodesLeft     int
	buffers, buffersLeft int
}

func (d *decoder) node() (length, nulls int64, err error) {
	if d.nodesLeft == 0 {
		return 0, 0, corruptf("too few nodes")
	}
	p := d.f[d.nodes:]
	d.nodes, d.nodesLeft = d.nodes+16, d.nodesLeft-1
	return int64(le.Uint64(p)), int64(le.Uint64(p[8:])), nil
}

func (d *decoder) buffer() (b []byte, start int, err error) {
	if d.buffersLeft == 0 {
		return nil, 0, corruptf("too few buffers")
	}
	p := d.f[d.buffers:]
	d.buffers, d.buffersLeft = d.buffers+16, d.buffersLeft-1
	at, n, size := int64(le.Uint64(p)), int64(le.Uint64(p[8:])), int64(len(d.body))
	if at < 0 || n < 0 || at > size || n > size-at {
		return nil, 0, corruptf("a buffer of %d bytes at %d lies outside the batch of %d", n, at, size)
	}
	return d.body[at : at+n], int(at), nil
}

// column decodes a column of type t; rows < 0 takes what its node says.
func (d *decoder) column(c *column, t arrow.DataType, rows int) error {
	length, nulls, err := d.node()
	if err != nil {
		return err
	}
	if length < 0 || length > int64(len(d.body)) || rows >= 0 && length != int64(rows) || nulls < 0 || nulls > length {
		return corruptf("%d rows, %d of them null", length, nulls)
	}
	c.rows = int(length)
	if c.valid, _, err = d.buffer(); err != nil {
		return err
	}
	switch {
	case nulls == 0:
		c.valid = nil
	case len(c.valid) < (c.rows+7)/8:
		return corruptf("%d bytes of validity for %d rows", len(c.valid), c.rows)
	case int64(c.rows-ones(c.valid, c.rows)) != nulls:
		return corruptf("%d rows are null, not %d", c.rows-ones(c.valid, c.rows), nulls)
	}
	switch t := t.(type) {
	case *arrow.StructType:
		c.kids = make([]column, len(t.Fields()))
		for i := range c.kids {
			if err := d.column(&c.kids[i], t.Field(i).Type, c.rows); err != nil {
				return err
			}
		}
		return nil
	case *arrow.ListType:
		if err := d.offsets(c); err != nil {
			return err
		}
		c.kids = make([]column, 1)
		if err := d.column(&c.kids[0], t.Elem(), -1); err != nil {
			return err
		}
		return c.checkOffsets(c.kids[0].rows)
	case *arrow.StringType, *arrow.BinaryType:
		if err := d.offsets(c); err != nil {
			return err
		}
		if c.data, c.start, err = d.buffer(); err != nil {
			return err
		}
		return c.checkOffsets(len(c.data))
	case arrow.FixedWidthDataType:
		if c.data, c.start, err = d.buffer(); err != nil {
			return err
		}
		if len(c.data)/(t.BitWidth()/8) < c.rows {
			return corruptf("%d bytes for %d values", len(c.data), c.rows)
		}
		return nil
	}
	return corruptf("a column of type %s", t)
}

func (d *decoder) offsets(c *column) (err error) {
	if c.off, _, err = d.buffer(); err != nil {
		return err
	}
	if c.rows > 0 && len(c.off)/4 < c.rows+1 {
		return corruptf("%d bytes of offsets for %d rows", len(c.off), c.rows)
	}
	return nil
}

// checkOffsets wants offsets that ascend from 0 or more to limit at most.
func (c *column) checkOffsets(limit int) error {
	if c.rows == 0 {
		return nil
	}
	last := int32(le.Uint32(c.off))
	bad := last < 0
	for i := 1; i <= c.rows; i++ {
		v := int32(le.Uint32(c.off[4*i:]))
		bad = bad || v < last
		last = v
	}
	if bad || int(last) > limit {
		return corruptf("offsets do not ascend from 0 to %d", limit)
	}
	return nil
}

// ones counts the bits that are set among the first n.
func ones(b []byte, n int) (count int) {
	for _, v := range b[:n/8] {
		count += bits.OnesCount8(v)
	}
	if n%8 != 0 {
		count += bits.OnesCount8(b[n/8] & (1<<(n%8) - 1))
	}
	return count
}

func (c *column) null(i int) bool { return c.valid != nil && c.valid[i/8]&(1<<(i%8)) == 0 }

// span is where row i of text, bytes or a list begins and ends.
func (c *column) span(i int) (from, to int) {
	return int(int32(le.Uint32(c.off[4*i:]))), int(int32(le.Uint32(c.off[4*i+4:])))
}

// bytes is row i of text or bytes; null is empty.
func (c *column) bytes(i int) []byte {
	if c.null(i) {
		return nil
	}
	from, to := c.span(i)
	return c.data[from:to:to]
}

func (c *column) str(i int) string { return string(c.bytes(i)) }

// i32 and i64 are row i of a column of numbers, 0 where it is null.
func (c *column) i32(i int) int32 {
	if c.null(i) {
		return 0
	}
	return int32(le.Uint32(c.data[4*i:]))
}

func (c *column) i64(i int) int64 {
	if c.null(i) {
		return 0
	}
	return int64(le.Uint64(c.data[8*i:]))
}

// strs is row i of a list of text.
func (c *column) strs(i int) []string {
	if c.null(i) {
		return nil
	}
	from, to := c.span(i)
	out := make([]string, 0, to-from)
	for k := from; k < to; k++ {
		out = append(out, c.kids[0].str(k))
	}
	return out
}

// fillRow reads row i of the columns that shards and index share.
func fillRow(r *Row, c []column, i int) {
	if r.Label = -1; !c[0].null(i) {
		r.Label = c[0].i64(i)
	}
	r.Synset = c[1].str(i)
	r.ILSVRC2012ID = c[2].i32(i)
	r.Width, r.Height = c[3].i32(i), c[4].i32(i)
	r.Format, r.Mode = intern(c[5].bytes(i)), intern(c[6].bytes(i))
	copy(r.SHA256[:], c[7].data[32*i:])
	r.Objects = nil
	if c[8].null(i) {
		return
	}
	boxes := c[8].kids[0].kids
	from, to := c[8].span(i)
	for k := from; k < to; k++ {
		r.Objects = append(r.Objects, Object{boxes[0].str(k), boxes[1].i32(k), boxes[2].i32(k), boxes[3].i32(k), boxes[4].i32(k)})
	}
}

// intern spares the copies of the commonest values.
func intern(b []byte) string {
	switch string(b) {
	case "JPEG":
		return "JPEG"
	case "PNG":
		return "PNG"
	case "RGB":
		return "RGB"
	case "L":
		return "L"
	}
	return string(b)
}
