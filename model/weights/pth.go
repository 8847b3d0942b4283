package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/synshard/synshard/model"
)

// Files of torch.save: a zip with data.pkl and one file a storage since
// PyTorch 1.6, and before that a row of pickles followed by the storages. A
// state dict, or a dictionary with one under "state_dict" or "model", is read.
// Nothing in the file is executed.

// storageTypes maps PyTorch's storage classes to element types.
var storageTypes = map[string]string{
	"torch.FloatStorage": "F32", "torch.DoubleStorage": "F64", "torch.HalfStorage": "F16", "torch.BFloat16Storage": "BF16",
	"torch.LongStorage": "I64", "torch.IntStorage": "I32", "torch.ShortStorage": "I16", "torch.CharStorage": "I8",
	"torch.ByteStorage": "U8", "torch.BoolStorage": "BOOL",
}

// maxWeights bounds the weights read of one file.
const maxWeights = 1 << 34

// ReadPTH reads the tensors of a file that torch.save wrote, in the file's
// order.
func ReadPTH(r io.ReaderAt, size int64) ([]model.Tensor, error) {
	var head [4]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("pth: %w: %d bytes", model.ErrFormat, size)
	}
	if string(head[:]) == "PK\x03\x04" {
		return readZip(r, size)
	}
	return readLegacy(r, size)
}

// IsPTH says whether a file begins as torch.save's do.
func IsPTH(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || len(head) > 2 && head[0] == 0x80 && head[1] <= 5 && head[2] == 0x8a
}

func pthf(format string, args ...any) error {
	return fmt.Errorf("pth: %w: %s", model.ErrFormat, fmt.Sprintf(format, args...))
}

func readZip(r io.ReaderAt, size int64) ([]model.Tensor, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, pthf("%v", err)
	}
	files := map[string]*zip.File{}
	root, found := "", false
	for _, f := range z.File {
		files[f.Name] = f
		if dir, ok := strings.CutSuffix(f.Name, "data.pkl"); ok && !found {
			root, found = dir, true
		}
	}
	if !found {
		return nil, pthf("no data.pkl in it")
	}
	if order, ok := files[root+"byteorder"]; ok {
		if b, err := readMember(order, 16); err != nil || string(b) != "little" {
			return nil, pthf("byte order %q, %v", b, err)
		}
	}
	text, err := readMember(files[root+"data.pkl"], 64<<20)
	if err != nil {
		return nil, err
	}
	v, _, err := unpickle(text)
	if err != nil {
		return nil, fmt.Errorf("pth: %w", err)
	}
	kept := map[string][]byte{}
	return stateDict(v, func(s storage) ([]byte, error) {
		if b, ok := kept[s.key]; ok {
			return b, nil
		}
		f, ok := files[root+"data/"+s.key]
		if !ok {
			return nil, pthf("storage %s is not in it", s.key)
		}
		b, err := readMember(f, maxWeights)
		kept[s.key] = b
		return b, err
	})
}

func readMember(f *zip.File, limit int64) ([]byte, error) {
	if f.UncompressedSize64 > uint64(limit) {
		return nil, pthf("member %s of %d bytes", f.Name, f.UncompressedSize64)
	}
	r, err := f.Open()
	if err != nil {
		return nil, pthf("member %s: %v", f.Name, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil || int64(len(b)) > limit {
		return nil, pthf("member %s: %v", f.Name, err)
	}
	return b, nil
}

// readLegacy reads magic number, protocol, system, object and storage keys,
// five pickles, and then each storage: its element count and its elements.
func readLegacy(r io.ReaderAt, size int64) ([]model.Tensor, error) {
	if size > maxWeights {
		return nil, pthf("%d bytes", size)
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("pth: %w", err)
	}
	var values []any
	at := 0
	for range 5 {
		v, n, err := unpickle(b[at:])
		if err != nil {
			return nil, fmt.Errorf("pth: %w", err)
		}
		values = append(values, v)
		at += n
	}
	keys, ok := values[4].(*list)
	if _, magic := values[0].(opaque); !magic || values[1] != int64(1001) || !ok {
		return nil, pthf("not a file of torch.save")
	}
	kinds := map[string]string{}
	collectStorages(values[3], kinds, 0)
	data := map[string][]byte{}
	for _, k := range keys.items {
		key, ok := k.(string)
		size := model.ElementSize(storageTypes[kinds[key]])
		if !ok || size == 0 {
			return nil, pthf("storage %v of type %q", k, kinds[key])
		}
		if len(b)-at < 8 {
			return nil, pthf("the file ends before storage %s", key)
		}
		n := binary.LittleEndian.Uint64(b[at:])
		at += 8
		if n > uint64(len(b)-at)/uint64(size) {
			return nil, pthf("storage %s has %d elements in %d bytes", key, n, len(b)-at)
		}
		data[key] = b[at : at+int(n)*size]
		at += int(n) * size
	}
	return stateDict(values[3], func(s storage) ([]byte, error) {
		b, ok := data[s.key]
		if !ok {
			return nil, pthf("storage %s is not in it", s.key)
		}
		return b, nil
	})
}

// collectStorages notes the type of every storage in a value.
func collectStorages(v any, kinds map[string]string, depth int) {
	if depth > 8 {
		return
	}
	switch v := v.(type) {
	case ptTensor:
		kinds[v.storage.key] = v.storage.kind
	case *dict:
		for _, x := range v.values {
			collectStorages(x, kinds, depth+1)
		}
	}
}

// stateDict turns a dictionary of tensors into tensors.
func stateDict(v any, load func(storage) ([]byte, error)) ([]model.Tensor, error) {
	d, ok := v.(*dict)
	if !ok {
		return nil, pthf("it holds no dictionary of tensors; save the model's state_dict()")
	}
	for i, k := range d.keys { // a training script's checkpoint
		if inner, ok := d.values[i].(*dict); ok && (k == "state_dict" || k == "model") {
			return stateDict(inner, load)
		}
	}
	var out []model.Tensor
	total := 0
	for i, k := range d.keys {
		name, ok1 := k.(string)
		t, ok2 := d.values[i].(ptTensor)
		if !ok1 || !ok2 {
			continue
		}
		b, err := load(t.storage)
		if err != nil {
			return nil, err
		}
		x, err := t.tensor(strings.TrimPrefix(name, "module."), b)
		if err != nil {
			return nil, err
		}
		if total += len(x.Data); total > maxWeights {
			return nil, pthf("more than %d bytes of weights", int64(maxWeights))
		}
		out = append(out, x)
	}
	if len(out) == 0 {
		return nil, pthf("no tensors in it")
	}
	return out, nil
}

// tensor copies the elements out of their storage, row-major.
func (t ptTensor) tensor(name string, b []byte) (model.Tensor, error) {
	dtype, ok := storageTypes[t.storage.kind]
	if !ok {
		return model.Tensor{}, pthf("tensor %s of type %s", name, t.storage.kind)
	}
	size := model.ElementSize(dtype)
	n, last := int64(1), t.offset
	for i, d := range t.shape {
		if d > 0 && n > int64(maxWeights)/int64(d) || t.stride[i] > 1<<32 {
			return model.Tensor{}, pthf("tensor %s of shape %v", name, t.shape)
		}
		n *= int64(d)
		last += int64(max(d-1, 0)) * int64(t.stride[i])
	}
	if n > 0 && last >= int64(len(b)/size) || n*int64(size) > maxWeights || n > int64(len(b)/size) {
		return model.Tensor{}, pthf("tensor %s of shape %v goes past its storage", name, t.shape)
	}
	out := model.Tensor{Name: name, DType: dtype, Shape: slices.Clone(t.shape), Data: make([]byte, 0, n*int64(size))}
	place := make([]int, len(t.shape))
	for range n {
		at := t.offset
		for i, p := range place {
			at += int64(p) * int64(t.stride[i])
		}
		out.Data = append(out.Data, b[at*int64(size):(at+1)*int64(size)]...)
		for i := len(place) - 1; i >= 0; i-- {
			if place[i]++; place[i] < t.shape[i] {
				break
			}
			place[i] = 0
		}
	}
	return out, nil
}

// ReadFile reads a file of weights by what is in it: safetensors (ours
// or timm's) or torch.save's.
func ReadFile(path string) ([]model.Tensor, map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	head := make([]byte, 16)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	var tensors []model.Tensor
	var meta map[string]string
	if IsPTH(head) {
		tensors, err = ReadPTH(f, info.Size())
	} else {
		tensors, meta, err = ReadSafetensors(f, info.Size())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, meta, nil
}
