// Package weights reads and writes files of weights, and knows what others call them:
// safetensors of anybody's and files of torch.save, out of whatever wrapped them;
// torchvision's and timm's names; batch norm that was folded; widths.
package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/weights/pth"
)

// Options choose among the weights that a file holds.
//
// With neither EMA nor Plain the plain ones of other people's files are taken, and of our own
// training's checkpoints the averaged ones, which were validated, and which a run exports.
type Options struct {
	EMA   bool   // the averaged ones; an error where there are none
	Plain bool   // those that are not averaged; an error where there are none
	Key   string // of the dictionary that has them, as model.ema; "" finds it
}

// File is what was read of a file of weights.
type File struct {
	Tensors  []model.Tensor    // in the file's order; elements may share memory: they are not to be changed
	Metadata map[string]string // of safetensors; nil for others
	Taken    Taken             // which of the file's, and under which names
}

// Taken says which of a file's tensors were taken, where there was a choice.
type Taken struct {
	Key     string   `json:"key,omitempty"`      // of the dictionary they lay in; "": the file's own
	Prefix  string   `json:"prefix,omitempty"`   // that wrappers had put before their names, and that is gone
	EMA     bool     `json:"ema,omitempty"`      // averaged weights
	Other   string   `json:"other,omitempty"`    // key or prefix of averaged weights that were not taken
	LeftOut []string `json:"left_out,omitempty"` // tensors beside them
	Plain   bool     `json:"-"`                  // plain weights are there, of one of our checkpoints, and averages were taken
}

// String says it in words; "" where a file had nothing but the weights under
// their own names.
func (t Taken) String() string {
	var clauses []string
	what := "weights"
	if t.EMA {
		what = "averaged weights"
	}
	if t.Key != "" {
		clauses = append(clauses, fmt.Sprintf("%s under %q", what, t.Key))
	} else if t.EMA || t.Prefix != "" || t.Other != "" || len(t.LeftOut) > 0 {
		clauses = append(clauses, what)
	}
	if t.Prefix != "" {
		clauses = append(clauses, fmt.Sprintf("their names without %q", t.Prefix))
	}
	if n := len(t.LeftOut); n > 0 {
		names := t.LeftOut[:min(n, 3)]
		clauses = append(clauses, fmt.Sprintf("%d tensors beside them left out: %.200q", n, names))
	}
	if t.Other != "" {
		clauses = append(clauses, fmt.Sprintf("averaged weights are under %q too", t.Other))
	}
	return strings.Join(clauses, "; ")
}

// KindOf says by how a file begins whether it is one of weights, safetensors or pth, torch.save's; "": neither, or it
// cannot be read.
func KindOf(path string) string {
	f, info, err := regular.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	switch head = head[:n]; {
	case pth.Is(head):
		return "pth"
	case n > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= uint64(info.Size())-8:
		return "safetensors"
	}
	return ""
}

// ReadFile reads a file of weights by what is in it: safetensors (ours, timm's
// or others') or torch.save's. What is neither, or damaged, is model.ErrFormat;
// several weights that could be meant are ErrSeveral, and those asked for that are
// not there ErrAbsent.
func ReadFile(path string, o Options) (*File, error) {
	f, info, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out, err := read(f, info.Size(), o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, markDamaged(f, err))
	}
	return out, nil
}

func read(r io.ReaderAt, size int64, o Options) (*File, error) {
	head := make([]byte, 512)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head = head[:n]
	switch {
	case pth.Is(head):
		return readPTH(r, size, o)
	case n > 1 && head[0] == 0x80 && head[1] <= 5:
		return nil, fmt.Errorf("%w: a plain pickle: save the weights with torch.save or as safetensors", model.ErrFormat)
	case n > 262 && bytes.HasPrefix(head[257:], []byte("ustar")):
		return nil, fmt.Errorf("%w: a tar, as PyTorch wrote before 0.2: load it and save it again", model.ErrFormat)
	}
	tensors, meta, err := ReadSafetensors(r, size)
	if err != nil {
		return nil, err
	}
	f := &File{Tensors: tensors, Metadata: meta}
	if o.Key != "" {
		return nil, fmt.Errorf("safetensors: %w: no dictionaries in it, and so no %q", ErrAbsent, o.Key)
	}
	if meta[model.SpecKey] != "" { // ours: names are the network's
		return f, f.settleOwn(o)
	}
	_, err = f.unwrap(o)
	return f, err
}

// Errors of a choice: several weights could be meant, and those that are asked
// for are not there.
var (
	ErrSeveral = pth.ErrSeveral
	ErrAbsent  = pth.ErrAbsent
)

func errNoPlain() error { return fmt.Errorf("%w: no weights that are not averaged", ErrAbsent) }

func errNoAverages() error { return fmt.Errorf("%w: no averaged (EMA) weights", ErrAbsent) }

// readPTH reads a file of torch.save. Names come first: tensors that are left
// out are not read.
func readPTH(r io.ReaderAt, size int64, o Options) (*File, error) {
	c, err := pth.Open(r, size)
	if err != nil {
		return nil, err
	}
	found, err := c.Find(o.Key, o.EMA)
	if err != nil {
		return nil, err
	}
	f := &File{Taken: Taken{Key: found.Key, EMA: found.Averaged, Other: found.Other}}
	for _, name := range found.Names {
		f.Tensors = append(f.Tensors, model.Tensor{Name: name})
	}
	original, err := f.unwrap(o)
	if err != nil {
		return nil, err
	}
	for i, name := range original {
		x, err := found.Tensor(name)
		if err != nil {
			return nil, err
		}
		x.Name = f.Tensors[i].Name
		f.Tensors[i] = x
	}
	return f, nil
}
