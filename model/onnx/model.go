// Package onnx writes networks as ONNX models, reads what others' models say
// and hold, and edits graphs.
package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/internal/regular"
	"github.com/synshard/synshard/model"
)

const (
	// MaxFile is the most bytes that a protobuf message, and so an ONNX file,
	// can have; what is larger keeps its weights in files beside it.
	MaxFile = math.MaxInt32
	// maxNesting bounds graphs within nodes within graphs, each of which is
	// three messages deep.
	maxNesting = 300
)

// Model is an ONNX model in memory. What the format has and this package does
// not know stays with it, and is written again by Bytes.
type Model struct {
	pb  *onnxpb.Model
	dir string // of the file, where external data lie; "" for bytes
}

// Parse reads a model out of an ONNX file's bytes. What is no model, or is cut
// short, is model.ErrFormat; where it is one of ours that is not what was written,
// it is ErrDamaged.
func Parse(b []byte) (*Model, error) {
	m := &Model{pb: &onnxpb.Model{}}
	if err := (proto.UnmarshalOptions{RecursionLimit: maxNesting}).Unmarshal(b, m.pb); err != nil {
		err = fmt.Errorf("%w: not an ONNX model, damaged or cut short", model.ErrFormat)
		if bytes.Contains(b[:min(len(b), 64)], []byte(producer)) || bytes.Contains(b, []byte(sumKey)) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, err
	}
	if err := m.verify(); err != nil {
		return nil, err
	}
	return m, nil
}

// ReadFile reads the model in the file at path, without the external data that
// it may name.
func ReadFile(path string) (*Model, error) {
	_, m, err := read(path)
	return m, err
}

// read gives the file's bytes too.
func read(path string) ([]byte, *Model, error) {
	b, err := regular.ReadFile(path, MaxFile)
	if errors.Is(err, regular.ErrUnfit) {
		err = fmt.Errorf("%w: %w", err, model.ErrFormat)
	}
	if err != nil {
		return nil, nil, err
	}
	m, err := Parse(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	m.dir = filepath.Dir(path)
	return b, m, nil
}

// Bytes is the model as a file holds it. The same model gives the same bytes.
func (m *Model) Bytes() ([]byte, error) {
	if size := proto.Size(m.pb); size > MaxFile {
		return nil, fmt.Errorf("onnx: a model of %d bytes: a file can hold 2 GiB", size)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.pb)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return b, nil
}

// metadata is what the file says of itself, by key; of a key that is there
// twice the last.
func (m *Model) metadata() map[string]string {
	out := map[string]string{}
	for _, e := range m.pb.GetMetadata() {
		out[e.GetKey()] = e.GetValue()
	}
	return out
}

// opset is the version of the operators that every model may use; 0: not said.
func (m *Model) opset() int64 {
	version := int64(0)
	for _, s := range m.pb.GetOpsetImport() {
		if s.GetDomain() == "" || s.GetDomain() == "ai.onnx" {
			version = s.GetVersion()
		}
	}
	return version
}

// BeforeSoftmax names the tensor whose Softmax is the output of that name: the
// logits. It is "" where something else makes the output.
func (m *Model) BeforeSoftmax(output string) string {
	found := ""
	for _, n := range m.pb.GetGraph().GetNodes() {
		if n.GetOp() == "Softmax" && len(n.GetInputs()) > 0 && len(n.GetOutputs()) > 0 && n.GetOutputs()[0] == output {
			found = n.GetInputs()[0]
		}
	}
	return found
}

// passing are operators that give their first input's values on, but for its form and rounding.
var passing = []string{"Cast", "Identity", "Reshape", "Flatten", "Squeeze", "QuantizeLinear", "DequantizeLinear"}

// ValuesOf names the operator whose values the output of that name has, behind those that change their form
// alone: Softmax, Cast, Identity is Softmax. It is "" where none makes it.
func (m *Model) ValuesOf(output string) string {
	makers := map[string]*onnxpb.Node{}
	for _, n := range m.pb.GetGraph().GetNodes() {
		for _, made := range n.GetOutputs() {
			makers[made] = n
		}
	}
	for range len(makers) { // a graph with a loop is none, and ends here
		n := makers[output]
		if !slices.Contains(passing, n.GetOp()) || len(n.GetInputs()) == 0 {
			return n.GetOp()
		}
		output = n.GetInputs()[0]
	}
	return ""
}

// AddOutput makes the tensor of that name, float32 [N, width], an output after
// the others. The tensor must be in the graph already.
func (m *Model) AddOutput(name string, width int) {
	m.addOutput(value(name, onnxpb.Tensor_FLOAT, name+"_N", width))
}

// AddOutputOfAnyShape is AddOutput for a tensor of float32 of whatever shape; one that is an
// output is left.
func (m *Model) AddOutputOfAnyShape(name string) {
	for _, v := range m.pb.GetGraph().GetOutputs() {
		if v.GetName() == name {
			return
		}
	}
	m.addOutput(shapeless(name))
}

func (m *Model) addOutput(v *onnxpb.Value) {
	if m.pb.Graph == nil {
		m.pb.Graph = &onnxpb.Graph{}
	}
	m.pb.Graph.Outputs = append(m.pb.Graph.Outputs, v)
}
