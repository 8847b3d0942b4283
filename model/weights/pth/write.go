package pth

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/synshard/synshard/model"
)

// storageNames is storageTypes the other way round.
var storageNames = func() map[string]string {
	names := map[string]string{}
	for class, dtype := range storageTypes {
		names[dtype] = class[len("torch."):]
	}
	return names
}()

// Write writes tensors as torch.save writes a state dict since PyTorch 1.6:
// a zip, uncompressed, with the pickled dictionary and one file a tensor.
// torch.load reads it with weights_only. The same input gives the same bytes.
func Write(w io.Writer, tensors []model.Tensor) error {
	z := zip.NewWriter(w)
	member := func(name string, b []byte) error {
		f, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err == nil {
			_, err = f.Write(b)
		}
		if err != nil {
			return fmt.Errorf("pth: write %s: %w", name, err)
		}
		return nil
	}
	text, err := pickleStateDict(tensors)
	if err != nil {
		return err
	}
	if err := member("data.pkl", text); err != nil {
		return err
	}
	if err := member("byteorder", []byte("little")); err != nil {
		return err
	}
	for i, t := range tensors {
		if err := member("data/"+strconv.Itoa(i), t.Data); err != nil {
			return err
		}
	}
	if err := member("version", []byte("3\n")); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("pth: write: %w", err)
	}
	return nil
}

// pickleStateDict is the pickle, protocol 2, of an OrderedDict from names to
// calls of torch._utils._rebuild_tensor_v2, each on a storage of its own.
func pickleStateDict(tensors []model.Tensor) ([]byte, error) {
	p := pickler("\x80\x02")
	p.global("collections", "OrderedDict")
	p = append(p, ")R("...) // no arguments, call, mark
	seen := map[string]bool{}
	for i, t := range tensors {
		class, ok := storageNames[t.DType]
		n := model.Elements(t.Shape)
		if !ok || seen[t.Name] || len(t.Data) != n*model.ElementSize(t.DType) {
			return nil, fmt.Errorf("pth: write %q: %s%v in %d bytes, or twice", t.Name, t.DType, t.Shape, len(t.Data))
		}
		seen[t.Name] = true
		p.text(t.Name)
		p.global("torch._utils", "_rebuild_tensor_v2")
		p = append(p, "(("...)
		p.text("storage")
		p.global("torch", class)
		p.text(strconv.Itoa(i))
		p.text("cpu")
		p.int(n)
		p = append(p, "tQ"...) // tuple, persistent id
		p.int(0)
		strides, step := make([]int, len(t.Shape)), 1
		for d := len(t.Shape) - 1; d >= 0; d-- {
			strides[d] = step
			step *= t.Shape[d]
		}
		p.tuple(t.Shape)
		p.tuple(strides)
		p = append(p, '\x89') // requires_grad: False
		p.global("collections", "OrderedDict")
		p = append(p, ")RtR"...)
	}
	return append(p, "u."...), nil // set items, stop
}

// pickler appends opcodes of pickle's protocol 2.
type pickler []byte

func (p *pickler) global(module, name string) { *p = append(*p, "c"+module+"\n"+name+"\n"...) }

func (p *pickler) text(s string) {
	*p = append(binary.LittleEndian.AppendUint32(append(*p, 'X'), uint32(len(s))), s...)
}

// int writes up to 2^63: BININT where it fits, LONG1 otherwise.
func (p *pickler) int(n int) {
	if n < 1<<31 {
		*p = binary.LittleEndian.AppendUint32(append(*p, 'J'), uint32(n))
		return
	}
	*p = binary.LittleEndian.AppendUint64(append(*p, 0x8a, 8), uint64(n))
}

func (p *pickler) tuple(values []int) {
	*p = append(*p, '(')
	for _, v := range values {
		p.int(v)
	}
	*p = append(*p, 't')
}
