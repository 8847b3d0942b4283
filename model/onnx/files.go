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

// Load is ReadFile, and gives the model's identity with it: the sha256, in hex, of all
// that it consists of. That is the file's at path where it holds everything, as
// sha256sum gives it; else the sum of that and of the name and sum of each file of
// external data. A file of those that is missing, or lies outside the model's
// directory, is an error.
func Load(path string) (*Model, string, error) {
	b, m, err := read(path)
	if err != nil {
		return nil, "", err
	}
	identity, err := m.identity(path, b)
	return m, identity, err
}

func (m *Model) identity(path string, b []byte) (string, error) {
	own := sha256.Sum256(b)
	beside, err := m.external()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if len(beside) == 0 {
		return fmt.Sprintf("%x", own), nil
	}
	all := sha256.New()
	fmt.Fprintf(all, "%x\n", own)
	for _, name := range beside {
		one, err := regular.SHA256(name)
		if err != nil {
			return "", fmt.Errorf("%s: external data: %w", path, err)
		}
		rel, err := filepath.Rel(m.dir, name)
		if err != nil {
			return "", fmt.Errorf("%s: external data: %w", path, err)
		}
		fmt.Fprintf(all, "%q %s\n", filepath.ToSlash(rel), one)
	}
	return fmt.Sprintf("%x", all.Sum(nil)), nil
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
