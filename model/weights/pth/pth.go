// Package pth reads the files that torch.save writes and finds the weights in
// them, as training scripts put them there; and it writes state dicts.
package pth

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path"
	"slices"

	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights/pickle"
)

// Files of torch.save: a zip with data.pkl and one file a storage since
// PyTorch 1.6, and before that a row of pickles followed by the storages.
// Nothing in the file is executed.

// storageTypes maps PyTorch's storage classes to element types.
var storageTypes = map[string]string{
	"torch.FloatStorage": "F32", "torch.DoubleStorage": "F64", "torch.HalfStorage": "F16", "torch.BFloat16Storage": "BF16",
	"torch.LongStorage": "I64", "torch.IntStorage": "I32", "torch.ShortStorage": "I16", "torch.CharStorage": "I8",
	"torch.ByteStorage": "U8", "torch.BoolStorage": "BOOL",
}

// legacyMagic begins files of the older format: LONG1 of ten bytes,
// 0x1950a86a20f9469cfc6c.
const legacyMagic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"

const (
	// maxPickle bounds data.pkl, in bytes.
	maxPickle = 64 << 20
	// maxLegacy bounds a file of the older format, which is read whole.
	maxLegacy = 1 << 34
	// maxGrowth bounds what is read and copied of a file by the bytes that are
	// there: compressed members, tensors that are the same memory again.
	maxGrowth, growthSlack = 8, 1 << 20
)

// Checkpoint is a file of torch.save, its pickle read and its storages not yet.
type Checkpoint struct {
	value any
	load  func(key string) ([]byte, error)
	kept  map[string][]byte
	left  int64 // bytes that may still be read and copied
}

// Open reads what a file of so many bytes holds, but for the elements of
// tensors, which are read from r when they are asked for. What torch.save did
// not write is model.ErrFormat.
func Open(r io.ReaderAt, size int64) (*Checkpoint, error) {
	var head [4]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("pth: %w: %d bytes", model.ErrFormat, size)
	}
	c := &Checkpoint{left: math.MaxInt64}
	if size < (math.MaxInt64-growthSlack)/maxGrowth {
		c.left = maxGrowth*size + growthSlack
	}
	var err error
	if string(head[:]) == "PK\x03\x04" {
		err = c.openZip(r, size)
	} else {
		err = c.openLegacy(r, size)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Is says whether a file begins as torch.save's do.
func Is(head []byte) bool {
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		return true
	}
	if len(head) < 2 || head[0] != 0x80 || head[1] > 5 {
		return false
	}
	number := head[2:]
	if len(number) > 9 && number[0] == 0x95 { // a frame of protocol 4
		number = number[9:]
	}
	return bytes.HasPrefix(number, []byte(legacyMagic))
}

func pthf(format string, args ...any) error {
	return fmt.Errorf("pth: %w: %s", model.ErrFormat, fmt.Sprintf(format, args...))
}

// spend counts bytes before they are read or copied.
func (c *Checkpoint) spend(n int64) error {
	if n > c.left {
		return pthf("it unfolds to more than %d times its size", maxGrowth)
	}
	c.left -= n
	return nil
}

func (c *Checkpoint) storage(key string) ([]byte, error) {
	if b, ok := c.kept[key]; ok {
		return b, nil
	}
	b, err := c.load(key)
	if err == nil {
		if c.kept == nil {
			c.kept = map[string][]byte{}
		}
		c.kept[key] = b
	}
	return b, err
}

func (c *Checkpoint) openZip(r io.ReaderAt, size int64) error {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return pthf("%v", err)
	}
	members := map[string]*zip.File{}
	root, found := "", false
	for _, f := range z.File {
		members[f.Name] = f
		if dir, name := path.Split(f.Name); name == "data.pkl" && !found {
			root, found = dir, true
		}
	}
	if !found {
		return pthf("no data.pkl in it")
	}
	if order, ok := members[root+"byteorder"]; ok {
		if b, err := c.member(order, 16); err != nil || string(b) != "little" {
			return pthf("byte order %q, %v", b, err)
		}
	}
	text, err := c.member(members[root+"data.pkl"], maxPickle)
	if err != nil {
		return err
	}
	if c.value, err = pickle.NewReader(text).Read(); err != nil {
		return fmt.Errorf("pth: %w", err)
	}
	c.load = func(key string) ([]byte, error) {
		f, ok := members[root+"data/"+key]
		if !ok {
			return nil, pthf("storage %s is not in it", key)
		}
		return c.member(f, math.MaxInt64)
	}
	return nil
}

// member reads a member of at most limit bytes.
func (c *Checkpoint) member(f *zip.File, limit int64) ([]byte, error) {
	n := f.UncompressedSize64
	if n > uint64(limit) {
		return nil, pthf("member %s of %d bytes", f.Name, n)
	}
	if err := c.spend(int64(n)); err != nil {
		return nil, err
	}
	r, err := f.Open()
	if err != nil {
		return nil, pthf("member %s: %v", f.Name, err)
	}
	defer r.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, pthf("member %s: %v", f.Name, err)
	}
	if extra, err := r.Read(make([]byte, 1)); extra > 0 || err != io.EOF { // the end, where the sum is checked
		return nil, pthf("member %s: %v", f.Name, err)
	}
	return b, nil
}

// openLegacy reads magic number, protocol, system, object and storage keys,
// five pickles, and then each storage: its element count and its elements.
func (c *Checkpoint) openLegacy(r io.ReaderAt, size int64) error {
	if size > maxLegacy {
		return pthf("%d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), b); err != nil {
		return fmt.Errorf("pth: %w", err)
	}
	u := pickle.NewReader(b)
	var values [5]any
	for i := range values {
		v, err := u.Read()
		if err != nil {
			return fmt.Errorf("pth: %w", err)
		}
		values[i] = v
	}
	keys, ok := values[4].(*pickle.List)
	if magic, _ := values[0].(*pickle.Object); magic == nil || magic.Class != "int" || values[1] != int64(1001) || !ok {
		return pthf("not a file of torch.save")
	}
	c.value = values[3]
	data, rest := map[string][]byte{}, u.Rest()
	for _, k := range keys.Items {
		key, _ := k.(string)
		size := uint64(model.ElementSize(storageTypes[u.Storages[key]]))
		if size == 0 {
			return pthf("storage %q of type %q", key, u.Storages[key])
		}
		if len(rest) < 8 {
			return pthf("the file ends before storage %s", key)
		}
		n := binary.LittleEndian.Uint64(rest)
		if rest = rest[8:]; n > uint64(len(rest))/size {
			return pthf("storage %s has %d elements in %d bytes", key, n, len(rest))
		}
		data[key], rest = rest[:n*size], rest[n*size:]
	}
	c.load = func(key string) ([]byte, error) {
		b, ok := data[key]
		if !ok {
			return nil, pthf("storage %s is not in it", key)
		}
		return b, nil
	}
	return nil
}

// tensor gives a tensor's elements, row-major: of its storage's memory where
// they lie there so, else copied.
func (c *Checkpoint) tensor(name string, t pickle.Tensor) (model.Tensor, error) {
	out := model.Tensor{Name: name, DType: storageTypes[t.Storage.Class], Shape: t.Shape}
	size := int64(model.ElementSize(out.DType))
	if size == 0 {
		return out, pthf("tensor %s of type %s", name, t.Storage.Class)
	}
	b, err := c.storage(t.Storage.Key)
	if err != nil {
		return out, err
	}
	n, last, dense := int64(1), t.Offset, true
	for i := len(t.Shape) - 1; i >= 0; i-- {
		d, stride := int64(t.Shape[i]), int64(t.Stride[i])
		if d > 0 && n > (1<<40)/d || d > 1 && stride > (1<<40)/(d-1) {
			return out, pthf("tensor %s of shape %v", name, t.Shape)
		}
		dense = dense && (d == 1 || stride == n)
		n *= d
		last += max(d-1, 0) * stride
	}
	if n > 0 && last >= int64(len(b))/size {
		return out, pthf("tensor %s of shape %v goes past its storage", name, t.Shape)
	}
	switch {
	case n == 0:
		out.Data = []byte{}
	case dense:
		out.Data = b[t.Offset*size : (t.Offset+n)*size : (t.Offset+n)*size]
	default:
		if err := c.spend(n * size); err != nil {
			return out, err
		}
		out.Data = gather(t, b, n, size)
	}
	return out, nil
}

// gather copies n elements of so many bytes in the order of their places.
func gather(t pickle.Tensor, b []byte, n, size int64) []byte {
	out := make([]byte, 0, n*size)
	place := make([]int, len(t.Shape))
	for range n {
		at := t.Offset
		for i, p := range place {
			at += int64(p) * int64(t.Stride[i])
		}
		out = append(out, b[at*size:(at+1)*size]...)
		for i := len(place) - 1; i >= 0; i-- {
			if place[i]++; place[i] < t.Shape[i] {
				break
			}
			place[i] = 0
		}
	}
	return slices.Clip(out)
}
