package onnx

import (
	"crypto/sha256"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
)

// Identity is what a model is known by, over all files that it consists of.
type Identity struct {
	// Sum is a sha256, in hex: the file's where it holds everything, as sha256sum gives it;
	// else that of it and of the name and sum of each file of external data.
	Sum string

	own    regular.State
	beside []regular.State // external data
}

// External says whether weights lie in files beside the model's own.
func (id Identity) External() bool { return len(id.beside) > 0 }

// Unchanged wants every file to be what it was when the sum was taken: who opens the
// model again then has what the sum is of.
func (id Identity) Unchanged() error {
	for _, s := range append([]regular.State{id.own}, id.beside...) {
		if s.Info == nil { // of no file
			continue
		}
		if err := s.Unchanged(); err != nil {
			return err
		}
	}
	return nil
}

// NotWritten wants nothing to have been written into external data, which ONNX Runtime
// maps: what is written there while the model runs changes its weights.
func (id Identity) NotWritten() error {
	for _, s := range id.beside {
		if err := s.NotWritten(); err != nil {
			return err
		}
	}
	return nil
}

// Load is ReadFile, and gives the model's identity with it. A file of external data that is
// missing, or lies outside the model's directory, is an error.
func Load(path string) (*Model, Identity, error) {
	var id Identity
	var err error
	if id.own, err = regular.StateOf(path); err != nil {
		return nil, id, err
	}
	b, m, err := read(path)
	if err != nil {
		return nil, id, err
	}
	return m, id, m.identify(path, b, &id)
}

func (m *Model) identify(path string, b []byte, id *Identity) error {
	id.Sum = fmt.Sprintf("%x", sha256.Sum256(b))
	beside, err := m.external()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(beside) == 0 {
		return nil
	}
	all := sha256.New()
	fmt.Fprintf(all, "%s\n", id.Sum)
	for _, name := range beside {
		state, err := regular.StateOf(name)
		if err != nil {
			return fmt.Errorf("%s: external data: %w", path, err)
		}
		one, err := regular.SHA256(name)
		if err != nil {
			return fmt.Errorf("%s: external data: %w", path, err)
		}
		rel, err := filepath.Rel(m.dir, name)
		if err != nil {
			return fmt.Errorf("%s: external data: %w", path, err)
		}
		fmt.Fprintf(all, "%q %s\n", filepath.ToSlash(rel), one)
		id.beside = append(id.beside, state)
	}
	id.Sum = fmt.Sprintf("%x", all.Sum(nil))
	return nil
}

// external lists the files that tensors anywhere in the model lie in, sorted.
func (m *Model) external() ([]string, error) {
	var out []string
	err := eachTensor(m.pb.ProtoReflect(), func(t *onnxpb.Tensor) error {
		if t.GetLocation() != onnxpb.Tensor_EXTERNAL {
			return nil
		}
		place, err := m.place(t)
		if err == nil && !slices.Contains(out, place.path) {
			out = append(out, place.path)
		}
		return err
	})
	slices.Sort(out)
	return out, err
}

// eachTensor calls f for every tensor in a message, whatever holds it:
// initializers, constants of nodes, graphs within nodes, functions. Parse has
// bounded the depth.
func eachTensor(m protoreflect.Message, f func(*onnxpb.Tensor) error) error {
	if t, ok := m.Interface().(*onnxpb.Tensor); ok {
		return f(t)
	}
	var err error
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				if err = eachTensor(v.List().Get(i).Message(), f); err != nil {
					break
				}
			}
		default:
			err = eachTensor(v.Message(), f)
		}
		return err == nil
	})
	return err
}

// place is where a tensor's data lie in a file beside the model.
type place struct {
	path           string
	offset, length int64 // length -1: to the file's end
}

// place reads a tensor's external data entries: location, a path relative to
// the model's directory that must not lead out of it, offset and length in
// bytes.
func (m *Model) place(t *onnxpb.Tensor) (place, error) {
	p := place{length: -1}
	location := ""
	for _, e := range t.GetExternal() {
		var err error
		switch e.GetKey() {
		case "location":
			location = e.GetValue()
		case "offset":
			p.offset, err = number64(e.GetValue())
		case "length":
			p.length, err = number64(e.GetValue())
		}
		if err != nil {
			return p, fmt.Errorf("tensor %q: %w: external %s %q", t.GetName(), model.ErrFormat, e.GetKey(), e.GetValue())
		}
	}
	clean := path.Clean(strings.ReplaceAll(location, `\`, "/"))
	if location == "" || clean == "." || !filepath.IsLocal(filepath.FromSlash(clean)) {
		return p, fmt.Errorf("tensor %q: %w: its data lie in %q, which is not in the model's directory", t.GetName(), model.ErrFormat, location)
	}
	p.path = filepath.Join(m.dir, filepath.FromSlash(clean))
	return p, nil
}
