package onnx

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

func dirOf(path string) string { return filepath.Dir(path) }

// Files lists the files that make up the model at path: the file itself, and
// those that hold its external data, in the order of their names.
func Files(path string) ([]string, error) {
	m, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	beside, err := m.external()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return append([]string{path}, beside...), nil
}

// Identity is the sha256, in hex, of all that a model consists of: of the file
// at path where it holds everything, as sha256sum gives it; else of that sum
// and of the name and sum of each file of external data. A file of those that
// is missing, or lies outside the model's directory, is an error.
func Identity(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	own, err := sum(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	m, err := read(f, path)
	if err != nil {
		return "", err
	}
	beside, err := m.external()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if len(beside) == 0 {
		return hexOf(own), nil
	}
	all := sha256.New()
	fmt.Fprintf(all, "%x\n", own.Sum(nil))
	for _, name := range beside {
		one, err := sumFile(name)
		if err != nil {
			return "", fmt.Errorf("%s: external data: %w", path, err)
		}
		rel, err := filepath.Rel(m.dir, name)
		if err != nil {
			return "", fmt.Errorf("%s: external data: %w", path, err)
		}
		fmt.Fprintf(all, "%q %s\n", filepath.ToSlash(rel), one)
	}
	return hexOf(all), nil
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h, err := sum(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hexOf(h), nil
}

func sum(r io.Reader) (hash.Hash, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return h, err
}

func hexOf(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

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
