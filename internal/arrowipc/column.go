package arrowipc

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// decoder gives the nodes and buffers of a batch to its columns, in order. The
// head is a RecordBatch {0 rows, 1 nodes, 2 buffers, 3 compression, 4 numbers
// of buffers of views}.
type decoder struct {
	f       *File
	batch   int // its number, for what its dictionaries are
	head    table
	body    []byte // nil: buffers are read one by one
	bodyAt  int64
	size    int64 // of the body
	nodes   cursor
	buffers cursor
	views   cursor
	unpack  *unpacker // nil: not compressed
	depth   int       // of dictionaries in dictionaries
}

// cursor goes through a vector of a flatbuffer.
type cursor struct{ at, left, size int }

func (c *cursor) next(f flat) ([]byte, bool) {
	if c.left <= 0 {
		return nil, false
	}
	p := f[c.at : c.at+c.size]
	c.at, c.left = c.at+c.size, c.left-1
	return p, true
}

func newCursor(t table, i, size int) (cursor, bool) {
	at, n := t.vector(i, size)
	return cursor{at, n, size}, n >= 0
}

// newDecoder reads the head of a batch, without its body.
func newDecoder(f *File, head table, b Batch, number int) (*decoder, error) {
	d := &decoder{f: f, batch: number, head: head, bodyAt: b.Body, size: b.Size}
	var ok1, ok2, ok3 bool
	d.nodes, ok1 = newCursor(head, 1, 16)
	d.buffers, ok2 = newCursor(head, 2, 16)
	d.views, ok3 = newCursor(head, 4, 8)
	if !ok1 || !ok2 || !ok3 {
		return nil, corruptf("head of the record batch at %d", b.At)
	}
	if c, ok := head.sub(3); ok {
		var err error
		if d.unpack, err = newUnpacker(c.u8(0), c.u8(1), f.size); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// node is the next column's number of rows and of nulls among them.
func (d *decoder) node() (rows, nulls int64, err error) {
	p, ok := d.nodes.next(d.head.f)
	if !ok {
		return 0, 0, corruptf("too few columns")
	}
	rows, nulls = int64(le.Uint64(p)), int64(le.Uint64(p[8:]))
	if rows < 0 || rows > 1<<31-1 || nulls < 0 || nulls > rows {
		return 0, 0, corruptf("%d rows, %d of them null", rows, nulls)
	}
	return rows, nulls, nil
}

// place is where the next buffer lies in the body.
func (d *decoder) place(size int64) (at, n int64, err error) {
	p, ok := d.buffers.next(d.head.f)
	if !ok {
		return 0, 0, corruptf("too few buffers")
	}
	at, n = int64(le.Uint64(p)), int64(le.Uint64(p[8:]))
	if at < 0 || n < 0 || at > size || n > size-at {
		return 0, 0, corruptf("a buffer of %d bytes at %d lies outside the batch of %d", n, at, size)
	}
	return at, n, nil
}

func (d *decoder) buffer() ([]byte, error) {
	at, n, err := d.place(d.size)
	if err != nil {
		return nil, err
	}
	var b []byte
	if d.body != nil {
		b = d.body[at : at+n : at+n]
	} else if b, err = d.f.bytes(d.bodyAt+at, n, nil); err != nil {
		return nil, err
	}
	if d.unpack != nil {
		return d.unpack.buffer(b)
	}
	if at%8 != 0 { // arrays of numbers want their places even
		b = append(make([]byte, 0, n), b...)
	}
	return b, nil
}

// count is how many buffers a column has before those of its children.
func (d *decoder) count(f *field) (int, error) {
	switch f.layout {
	case layoutNull, layoutEncoded:
		return 0, nil
	case layoutRuns, layoutStruct, layoutSparse:
		return 1, nil
	case layoutFixed, layoutList, layoutBigList, layoutDense:
		return 2, nil
	case layoutText, layoutLarge, layoutListView:
		return 3, nil
	}
	n, err := d.viewBuffers()
	return 2 + n, err
}

func (d *decoder) viewBuffers() (int, error) {
	p, ok := d.views.next(d.head.f)
	if !ok || le.Uint64(p) > uint64(d.buffers.left) {
		return 0, corruptf("numbers of the buffers of views")
	}
	return int(le.Uint64(p)), nil
}

// skip passes over a column that is not wanted.
func (d *decoder) skip(f *field) error {
	if _, _, err := d.node(); err != nil {
		return err
	}
	n, err := d.count(f)
	if err != nil {
		return err
	}
	for range n {
		if _, ok := d.buffers.next(d.head.f); !ok {
			return corruptf("too few buffers")
		}
	}
	for i := range f.kids {
		if err := d.skip(&f.kids[i]); err != nil {
			return err
		}
	}
	return nil
}

// column decodes a column; rows < 0 takes as many as its node says. What comes
// back is checked: no value of it lies outside its buffers.
func (d *decoder) column(f *field, rows int) (*array.Data, error) {
	length, nulls, err := d.node()
	if err != nil {
		return nil, err
	}
	if rows >= 0 && length != int64(rows) {
		return nil, corruptf("%d rows, want %d", length, rows)
	}
	c := column{d: d, f: f, rows: int(length)}
	switch f.layout {
	case layoutNull:
		return array.NewData(f.Type, c.rows, []*memory.Buffer{nil}, nil, c.rows, 0), nil
	case layoutListView, layoutSparse, layoutDense, layoutEncoded:
		return nil, unsupportedf("a column of type %s", f.Type.Name())
	}
	if err := c.validity(nulls); err != nil {
		return nil, err
	}
	if f.values != nil {
		return c.encoded()
	}
	switch f.layout {
	case layoutFixed:
		err = c.fixed()
	case layoutText:
		err = c.text(4)
	case layoutLarge:
		err = c.text(8)
	case layoutView:
		err = c.view()
	case layoutList:
		err = c.list(4)
	case layoutBigList:
		err = c.list(8)
	case layoutRuns:
		if int64(c.rows)*int64(f.bits) > 1<<31-1 {
			return nil, corruptf("%d rows of %d values", c.rows, f.bits)
		}
		err = c.child(&f.kids[0], c.rows*f.bits)
	case layoutStruct:
		for i := range f.kids {
			if err == nil {
				err = c.child(&f.kids[i], c.rows)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return c.data(nil), nil
}

// vectors finds the rows of a column of fixed-size lists.
func (d *decoder) vectors(f *field, rows int) (v Vectors, err error) {
	if f.layout != layoutRuns || f.kids[0].layout != layoutFixed || f.kids[0].values != nil || f.kids[0].bits%8 != 0 || d.unpack != nil {
		return v, unsupportedf("places of rows in a column of type %s", f.Type)
	}
	c := column{d: d, rows: rows}
	lists, nulls, err := d.node()
	if err == nil && lists != int64(rows) {
		err = corruptf("%d rows, want %d", lists, rows)
	}
	if err == nil {
		err = c.validity(nulls)
	}
	if err != nil {
		return v, err
	}
	if c.buffers[0] != nil {
		v.valid = c.buffers[0].Bytes()
	}
	v.Bytes = f.bits * (f.kids[0].bits / 8)
	numbers, nulls, err := d.node()
	switch {
	case err != nil:
		return v, err
	case numbers != lists*int64(f.bits):
		return v, corruptf("%d rows, want %d", numbers, lists*int64(f.bits))
	}
	if err = d.whole(&v, rows, f.bits, nulls > 0); err != nil {
		return v, err
	}
	at, n, err := d.place(d.size)
	if err == nil && n/int64(v.Bytes) < lists {
		err = corruptf("%d bytes for %d rows of %d", n, rows, v.Bytes)
	}
	v.At = d.bodyAt + at
	return v, err
}

// whole goes over the validity of the numbers of lists, and wants those of valid rows to be there.
func (d *decoder) whole(v *Vectors, rows, each int, nulls bool) error {
	b, err := d.buffer()
	if err != nil || !nulls {
		return err
	}
	if int64(len(b)) < (int64(rows)*int64(each)+7)/8 {
		return corruptf("%d bytes of validity for %d rows of %d", len(b), rows, each)
	}
	for row := range rows {
		for i := row * each; i < (row+1)*each && v.Valid(row); i++ {
			if b[i/8]&(1<<(i%8)) == 0 {
				return unsupportedf("places of rows with nulls")
			}
		}
	}
	return nil
}

// column is a column being decoded.
type column struct {
	d       *decoder
	f       *field
	rows    int
	nulls   int
	buffers []*memory.Buffer
	kids    []arrow.ArrayData
}

func (c *column) data(dictionary *array.Data) *array.Data {
	if dictionary != nil {
		return array.NewDataWithDictionary(c.f.Type, c.rows, c.buffers, c.nulls, 0, dictionary)
	}
	return array.NewData(c.f.Type, c.rows, c.buffers, c.kids, c.nulls, 0)
}

func (c *column) add(b []byte) { c.buffers = append(c.buffers, memory.NewBufferBytes(b)) }

// validity reads the bits of rows that have a value. Their number is counted,
// and the node's believed only where it says that there are no nulls.
func (c *column) validity(nulls int64) error {
	b, err := c.d.buffer()
	if err != nil {
		return err
	}
	if nulls == 0 {
		c.buffers = append(c.buffers, nil)
		return nil
	}
	if len(b) < (c.rows+7)/8 {
		return corruptf("%d bytes of validity for %d rows", len(b), c.rows)
	}
	if c.nulls = c.rows - ones(b, c.rows); int64(c.nulls) != nulls {
		return corruptf("%d rows are null, not %d", c.nulls, nulls)
	}
	c.add(b)
	return nil
}

func (c *column) fixed() error {
	b, err := c.d.buffer()
	if err != nil {
		return err
	}
	if int64(len(b))*8/int64(c.f.bits) < int64(c.rows) {
		return corruptf("%d bytes for %d values", len(b), c.rows)
	}
	c.add(b)
	return nil
}

// text reads offsets of so many bytes, and the bytes that they are into.
func (c *column) text(width int) error {
	offsets, err := c.offsets(width)
	if err != nil {
		return err
	}
	b, err := c.d.buffer()
	if err != nil {
		return err
	}
	c.add(b)
	return c.ascend(offsets, width, int64(len(b)))
}

func (c *column) list(width int) error {
	offsets, err := c.offsets(width)
	if err != nil {
		return err
	}
	if err := c.child(&c.f.kids[0], -1); err != nil {
		return err
	}
	return c.ascend(offsets, width, int64(c.kids[0].Len()))
}

func (c *column) child(f *field, rows int) error {
	data, err := c.d.column(f, rows)
	if err != nil {
		return err
	}
	c.kids = append(c.kids, data)
	return nil
}

func (c *column) offsets(width int) ([]byte, error) {
	b, err := c.d.buffer()
	if err != nil {
		return nil, err
	}
	if c.rows == 0 && len(b) < width { // the format lets no rows have no offsets
		b = make([]byte, width)
	}
	if len(b)/width < c.rows+1 {
		return nil, corruptf("%d bytes of offsets for %d rows", len(b), c.rows)
	}
	c.add(b)
	return b, nil
}

// ascend wants offsets that ascend from 0 or more to limit at most.
func (c *column) ascend(b []byte, width int, limit int64) error {
	var last int64
	bad := false
	for i := range c.rows + 1 {
		var v int64
		if width == 4 {
			v = int64(int32(le.Uint32(b[4*i:])))
		} else {
			v = int64(le.Uint64(b[8*i:]))
		}
		bad = bad || v < last
		last = v
	}
	if bad || last > limit {
		return corruptf("offsets do not ascend from 0 to %d", limit)
	}
	return nil
}

// view reads views: {length int32, then 12 bytes in place, or 4 of a prefix,
// number of a buffer int32, offset in it int32}.
func (c *column) view() error {
	n, err := c.d.viewBuffers()
	if err != nil {
		return err
	}
	views, err := c.d.buffer()
	if err != nil {
		return err
	}
	if len(views)/16 < c.rows {
		return corruptf("%d bytes of views for %d rows", len(views), c.rows)
	}
	c.add(views)
	for range n {
		b, err := c.d.buffer()
		if err != nil {
			return err
		}
		c.add(b)
	}
	for i := range c.rows {
		v := views[16*i:]
		size := int64(int32(le.Uint32(v)))
		k, from := int64(int32(le.Uint32(v[8:]))), int64(int32(le.Uint32(v[12:])))
		switch valid := c.nulls == 0 || c.buffers[0].Bytes()[i/8]&(1<<(i%8)) != 0; {
		case !valid || size >= 0 && size <= 12:
		case size < 0 || k < 0 || k >= int64(n) || from < 0 || from+size > int64(c.buffers[2+k].Len()):
			return corruptf("the view of row %d lies outside its buffer", i)
		}
	}
	return nil
}

// encoded reads a column of numbers of a dictionary.
func (c *column) encoded() (*array.Data, error) {
	if err := c.fixed(); err != nil {
		return nil, err
	}
	dictionary, err := c.d.f.dictionary(c.f, c.d.batch, c.d.depth)
	if err != nil {
		return nil, err
	}
	indices := array.MakeFromData(array.NewData(c.f.Type.(*arrow.DictionaryType).IndexType, c.rows, c.buffers, nil, c.nulls, 0))
	for i := range c.rows {
		if v, ok := Int(indices, i); indices.IsValid(i) && (!ok || v < 0 || v >= int64(dictionary.Len())) {
			return nil, corruptf("row %d is number %d of a dictionary of %d", i, v, dictionary.Len())
		}
	}
	return c.data(dictionary), nil
}
