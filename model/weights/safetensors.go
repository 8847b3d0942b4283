package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/synshard/synshard/internal/regular"
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

// badf is an error of a file that breaks the format.
func badf(format string, args ...any) error {
	return fmt.Errorf("safetensors: %w: %s", model.ErrFormat, fmt.Sprintf(format, args...))
}

// ReadSafetensors reads a whole file of the given size: its tensors in the
// order of their bytes, and its metadata. Holes, overlaps and bytes after the
// last tensor are model.ErrFormat; a file of ours that is not what was written is
// ErrDamaged.
func ReadSafetensors(r io.ReaderAt, size int64) ([]model.Tensor, map[string]string, error) {
	tensors, meta, err := readSafetensors(r, size)
	if err == nil {
		err = checkSum(tensors, meta)
	}
	if err != nil {
		return nil, nil, markDamaged(r, err)
	}
	return tensors, meta, nil
}

// ReadMetadata reads a file's metadata alone, of which no sum is looked at.
func ReadMetadata(r io.ReaderAt, size int64) (map[string]string, error) {
	_, meta, _, err := readHeader(r, size)
	return meta, err
}

func readSafetensors(r io.ReaderAt, size int64) ([]model.Tensor, map[string]string, error) {
	entries, meta, start, err := readHeader(r, size)
	if err != nil {
		return nil, nil, err
	}
	names := slices.SortedFunc(maps.Keys(entries), func(a, b string) int {
		x, y := entries[a].Offsets, entries[b].Offsets
		return slices.Compare(x[:], y[:])
	})
	var tensors []model.Tensor
	end := int64(0)
	for _, name := range names {
		e := entries[name]
		length, err := e.length()
		if err != nil {
			return nil, nil, badf("tensor %q: %v", name, err)
		}
		if e.Offsets[0] != end || e.Offsets[1]-e.Offsets[0] != length || e.Offsets[1] > size-start {
			return nil, nil, badf("tensor %q: bytes %d to %d for %s%v in %d bytes of data", name, e.Offsets[0], e.Offsets[1], e.DType, e.Shape, size-start)
		}
		end = e.Offsets[1]
		data := make([]byte, length)
		if _, err := r.ReadAt(data, start+e.Offsets[0]); err != nil && (err != io.EOF || length > 0) {
			return nil, nil, fmt.Errorf("safetensors: read %q: %w", name, err)
		}
		tensors = append(tensors, model.Tensor{Name: name, DType: e.DType, Shape: e.Shape, Data: data})
	}
	if end != size-start {
		return nil, nil, badf("%d bytes after the last tensor", size-start-end)
	}
	return tensors, meta, nil
}

// readHeader reads the entries and the metadata, and says where the data start.
func readHeader(r io.ReaderAt, size int64) (entries map[string]safetensorsEntry, meta map[string]string, start int64, err error) {
	if size < 8 {
		return nil, nil, 0, badf("%d bytes", size)
	}
	var head [8]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, nil, 0, fmt.Errorf("safetensors: read header: %w", err)
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n < 2 || n > maxHeader || int64(n) > size-8 {
		return nil, nil, 0, badf("a header of %d bytes in a file of %d", n, size)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, nil, 0, fmt.Errorf("safetensors: read header: %w", err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, nil, 0, badf("header: %v", err)
	}
	meta, entries = map[string]string{}, map[string]safetensorsEntry{}
	for name, m := range raw {
		if name == "__metadata__" {
			if err := json.Unmarshal(m, &meta); err != nil {
				return nil, nil, 0, badf("metadata: %v", err)
			}
			continue
		}
		var e safetensorsEntry
		if err := json.Unmarshal(m, &e); err != nil {
			return nil, nil, 0, badf("tensor %q: %v", name, err)
		}
		entries[name] = e
	}
	return entries, meta, 8 + int64(n), nil
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
	f, info, err := regular.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	tensors, meta, err := ReadSafetensors(f, info.Size())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, meta, nil
}

// WriteSafetensors writes tensors in their order; the same input gives the
// same bytes.
func WriteSafetensors(w io.Writer, tensors []model.Tensor, meta map[string]string) error {
	head, err := header(tensors, meta)
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(head))); err != nil {
		return fmt.Errorf("safetensors: write: %w", err)
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("safetensors: write: %w", err)
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
			return fmt.Errorf("safetensors: write %q: %w", t.Name, err)
		}
	}
	return nil
}

// header is the file's head, padded so that the data are aligned.
func header(tensors []model.Tensor, meta map[string]string) ([]byte, error) {
	var head bytes.Buffer
	field := func(name string, v any) error {
		key, err := json.Marshal(name)
		if err != nil {
			return fmt.Errorf("safetensors: write %q: %w", name, err)
		}
		value, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("safetensors: write %q: %w", name, err)
		}
		if head.Len() > 0 {
			head.WriteByte(',')
		}
		fmt.Fprintf(&head, "%s:%s", key, value)
		return nil
	}
	if len(meta) > 0 {
		if err := field("__metadata__", meta); err != nil {
			return nil, err
		}
	}
	seen, at := map[string]bool{"__metadata__": true}, int64(0)
	for _, t := range tensors {
		e := safetensorsEntry{t.DType, t.Shape, [2]int64{at, at + int64(len(t.Data))}}
		if e.Shape == nil {
			e.Shape = []int{}
		}
		if n, err := e.length(); err != nil || n != int64(len(t.Data)) || seen[t.Name] {
			return nil, fmt.Errorf("safetensors: write %q: %s%v in %d bytes, or twice", t.Name, t.DType, t.Shape, len(t.Data))
		}
		seen[t.Name], at = true, e.Offsets[1]
		if err := field(t.Name, e); err != nil {
			return nil, err
		}
	}
	out := "{" + head.String() + "}"
	return []byte(out + strings.Repeat(" ", (8-len(out)%8)%8)), nil
}
