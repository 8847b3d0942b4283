package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/synshard/synshard/model"
)

// The safetensors format: 8 bytes little-endian length of the header, the
// header in JSON (name -> dtype, shape, data_offsets from the header's end;
// "__metadata__" -> strings), then the data without holes.
// https://github.com/huggingface/safetensors describes it.

// maxHeader bounds the header, as the reference implementation does.
const maxHeader = 100_000_000

type safetensorsEntry struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// ReadSafetensors reads a whole file of the given size.
func ReadSafetensors(r io.ReaderAt, size int64) ([]model.Tensor, map[string]string, error) {
	bad := func(format string, args ...any) ([]model.Tensor, map[string]string, error) {
		return nil, nil, fmt.Errorf("safetensors: %w: %s", model.ErrFormat, fmt.Sprintf(format, args...))
	}
	var head [8]byte
	if size < 8 {
		return bad("%d bytes", size)
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, nil, fmt.Errorf("safetensors: read header: %w", err)
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n < 2 || n > maxHeader || int64(n) > size-8 {
		return bad("a header of %d bytes in a file of %d", n, size)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, nil, fmt.Errorf("safetensors: read header: %w", err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return bad("header: %v", err)
	}
	meta := map[string]string{}
	if m, ok := raw["__metadata__"]; ok {
		if err := json.Unmarshal(m, &meta); err != nil {
			return bad("metadata: %v", err)
		}
		delete(raw, "__metadata__")
	}
	entries := map[string]safetensorsEntry{}
	for name, m := range raw {
		var e safetensorsEntry
		if err := json.Unmarshal(m, &e); err != nil {
			return bad("tensor %q: %v", name, err)
		}
		entries[name] = e
	}
	names := slices.SortedFunc(maps.Keys(entries), func(a, b string) int {
		x, y := entries[a].Offsets, entries[b].Offsets
		return slices.Compare([]int64{x[0], x[1]}, []int64{y[0], y[1]})
	})
	var tensors []model.Tensor
	end, start := int64(0), 8+int64(n)
	for _, name := range names {
		e := entries[name]
		length, err := e.length()
		if err != nil {
			return bad("tensor %q: %v", name, err)
		}
		if e.Offsets[0] != end || e.Offsets[1]-e.Offsets[0] != length || e.Offsets[1] > size-start {
			return bad("tensor %q: bytes %d to %d for %s%v in %d bytes of data", name, e.Offsets[0], e.Offsets[1], e.DType, e.Shape, size-start)
		}
		end = e.Offsets[1]
		data := make([]byte, length)
		if _, err := r.ReadAt(data, start+e.Offsets[0]); err != nil && (err != io.EOF || length > 0) {
			return nil, nil, fmt.Errorf("safetensors: read %q: %w", name, err)
		}
		tensors = append(tensors, model.Tensor{Name: name, DType: e.DType, Shape: e.Shape, Data: data})
	}
	if end != size-start {
		return bad("%d bytes after the last tensor", size-start-end)
	}
	return tensors, meta, nil
}

// length is the entry's size in bytes as dtype and shape make it.
func (e safetensorsEntry) length() (int64, error) {
	size := model.ElementSize(e.DType)
	if size == 0 {
		return 0, fmt.Errorf("unknown type %q", e.DType)
	}
	n := int64(size)
	for _, d := range e.Shape {
		if d < 0 || d > 0 && n > (1<<46)/int64(d) {
			return 0, fmt.Errorf("shape %v", e.Shape)
		}
		n *= int64(d)
	}
	return n, nil
}

// ReadSafetensorsFile reads the file at path.
func ReadSafetensorsFile(path string) ([]model.Tensor, map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	tensors, meta, err := ReadSafetensors(f, info.Size())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, meta, nil
}

// WriteSafetensors writes tensors in their order; the same input gives the
// same bytes.
func WriteSafetensors(w io.Writer, tensors []model.Tensor, meta map[string]string) error {
	var head bytes.Buffer
	head.WriteByte('{')
	field := func(name string, v any) error {
		if head.Len() > 1 {
			head.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		value, err := json.Marshal(v)
		if err != nil {
			return err
		}
		head.Write(key)
		head.WriteByte(':')
		head.Write(value)
		return nil
	}
	if len(meta) > 0 {
		if err := field("__metadata__", meta); err != nil {
			return fmt.Errorf("safetensors: write metadata: %w", err)
		}
	}
	seen, at := map[string]bool{"__metadata__": true}, int64(0)
	for _, t := range tensors {
		e := safetensorsEntry{t.DType, t.Shape, [2]int64{at, at + int64(len(t.Data))}}
		if e.Shape == nil {
			e.Shape = []int{}
		}
		if n, err := e.length(); err != nil || n != int64(len(t.Data)) || seen[t.Name] {
			return fmt.Errorf("safetensors: write %q: %s%v in %d bytes, or twice", t.Name, t.DType, t.Shape, len(t.Data))
		}
		seen[t.Name], at = true, e.Offsets[1]
		if err := field(t.Name, e); err != nil {
			return fmt.Errorf("safetensors: write %q: %w", t.Name, err)
		}
	}
	head.WriteByte('}')
	for head.Len()%8 != 0 { // so that the data are aligned
		head.WriteByte(' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(head.Len())); err != nil {
		return fmt.Errorf("safetensors: write: %w", err)
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return fmt.Errorf("safetensors: write: %w", err)
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
			return fmt.Errorf("safetensors: write %q: %w", t.Name, err)
		}
	}
	return nil
}
