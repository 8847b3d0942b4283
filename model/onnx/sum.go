package onnx

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
)

// sumKey is the metadata key of the sum that models written by this package
// carry: the sha256, in hex, of what their graph and metadata say.
const sumKey = "synshard.sha256"

// announceKey is the metadata key that says that there is a sum: of the two a flipped
// bit can hide only one.
const announceKey = "synshard.sum"

// ErrDamaged marks a model that is not what was written.
var ErrDamaged = errors.New("damaged")

// verify compares a model with the sum that it carries. One that carries none,
// or that another producer wrote, passes.
func (m *Model) verify() error {
	meta := m.metadata()
	want, ok := meta[sumKey]
	announced := meta[announceKey] != ""
	ours := strings.HasPrefix(m.pb.GetProducerName(), producer)
	// Others keep both entries or none, and name themselves; damage to an entry's tag
	// puts its value in the place of the producer's name.
	if !ok && !announced || ok && !ours {
		return nil
	}
	if got := m.sum(); got != want {
		return fmt.Errorf("%w: its sum is %s and %.64q was written; if another tool changed it on purpose, it has to drop the metadata entries %s and %s", ErrDamaged, got, want, sumKey, announceKey)
	}
	return nil
}

// seal gives the model its sum, in place of one that it carries.
func (m *Model) seal() {
	m.pb.Metadata = slices.DeleteFunc(m.pb.Metadata, func(e *onnxpb.Entry) bool { return e.GetKey() == sumKey || e.GetKey() == announceKey })
	m.pb.Metadata = append(m.pb.Metadata, &onnxpb.Entry{Key: proto.String(announceKey), Value: proto.String(sumKey)})
	m.pb.Metadata = append(m.pb.Metadata, &onnxpb.Entry{Key: proto.String(sumKey), Value: proto.String(m.sum())})
}

// sum is a sum of what the messages say, not of their bytes, which may be in
// any order. Fields that this package does not know are not in it.
func (m *Model) sum() string {
	s := summer{sha256.New()}
	s.say("model", m.pb.GetIrVersion(), m.pb.GetProducerName())
	for _, o := range m.pb.GetOpsetImport() {
		s.say("opset", o.GetDomain(), o.GetVersion())
	}
	for _, e := range m.pb.GetMetadata() {
		if e.GetKey() != sumKey {
			s.say("metadata", e.GetKey(), e.GetValue())
		}
	}
	s.graph(m.pb.GetGraph())
	return fmt.Sprintf("%x", s.Sum(nil))
}

// summer writes what it is told to a hash, a line of JSON each.
type summer struct{ hash.Hash }

func (s summer) say(what string, values ...any) {
	line, err := json.Marshal(append([]any{what}, values...))
	if err != nil {
		panic(err) // numbers, strings and lists of them only
	}
	s.Write(append(line, '\n'))
}

func (s summer) graph(g *onnxpb.Graph) {
	s.say("graph", g.GetName(), len(g.GetNodes()), len(g.GetInitializers()))
	for _, n := range g.GetNodes() {
		s.say("node", n.GetOp(), n.GetDomain(), n.GetName(), n.GetInputs(), n.GetOutputs())
		for _, a := range n.GetAttributes() {
			s.attribute(a)
		}
	}
	for _, t := range g.GetInitializers() {
		s.tensor(t)
	}
	for _, v := range slices.Concat(g.GetInputs(), g.GetOutputs()) {
		t := v.GetType().GetTensor()
		s.say("value", v.GetName(), t.GetElement())
		for _, d := range t.GetShape().GetDims() {
			s.say("dimension", d.GetValue(), d.GetParam())
		}
	}
}

func (s summer) attribute(a *onnxpb.Attribute) {
	s.say("attribute", a.GetName(), int32(a.GetKind()), math.Float32bits(a.GetF()), a.GetI(), a.GetS(), a.GetInts())
	for _, f := range a.GetFloats() {
		s.say("float", math.Float32bits(f))
	}
	for _, t := range slices.Concat([]*onnxpb.Tensor{a.GetTensor()}, a.GetTensors()) {
		if t != nil {
			s.tensor(t)
		}
	}
	for _, g := range slices.Concat([]*onnxpb.Graph{a.GetGraph()}, a.GetGraphs()) {
		if g != nil {
			s.graph(g)
		}
	}
}

// tensor says its elements as they lie in the file, or where they lie outside.
func (s summer) tensor(t *onnxpb.Tensor) {
	data := t.GetRawData()
	if len(data) == 0 {
		data = typedData(t, elementTypes[onnxpb.Tensor_DataType(t.GetDataType())])
	}
	s.say("tensor", t.GetName(), t.GetDataType(), t.GetDims(), len(data))
	s.Write(data)
	for _, e := range t.GetExternal() {
		s.say("external", e.GetKey(), e.GetValue())
	}
}
