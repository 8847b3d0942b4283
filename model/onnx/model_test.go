package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

// TestUnknownFieldsStay: what this package does not know passes through at
// every level, and so does the difference between a zero and nothing.
func TestUnknownFieldsStay(t *testing.T) {
	m := holding(tensor("w", onnxpb.Tensor_FLOAT, []int{1}, FloatBytes([]float32{1})))
	m.pb.Graph.Nodes[0].Attributes = []*onnxpb.Attribute{Int("group", 0)}
	unknown := []byte{0xfa, 0x3f, 3, 'a', 'b', 'c'} // field 1023, three bytes
	for _, x := range []proto.Message{m.pb, m.pb.Graph, m.pb.Graph.Nodes[0], m.pb.Graph.Nodes[0].Attributes[0], m.pb.Graph.Initializers[0], m.pb.Graph.Inputs[0].Type} {
		x.ProtoReflect().SetUnknown(unknown)
	}
	b, err := m.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	read, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.pb, read.pb, protocmp.Transform()); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	g, err := read.Graph()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.pb, g.Model().pb, protocmp.Transform()); diff != "" {
		t.Errorf("taken apart and put together (-before +after)\n%s", diff)
	}
}

// TestLimits: graphs within graphs without end, and more weights than a file
// can hold.
func TestLimits(t *testing.T) {
	inner := &onnxpb.Graph{Name: proto.String("inmost")}
	for range 1000 {
		inner = &onnxpb.Graph{Nodes: []*onnxpb.Node{{Op: proto.String("If"), Attributes: []*onnxpb.Attribute{{Graph: inner}}}}}
	}
	deep, err := proto.Marshal(&onnxpb.Model{Graph: inner})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(deep); !errors.Is(err, model.ErrFormat) {
		t.Errorf("1,000 graphs in one another: %v", err)
	}
	same := make([]byte, 700<<20)
	large := holding(tensor("a", onnxpb.Tensor_UINT8, nil, same), tensor("b", onnxpb.Tensor_UINT8, nil, same), tensor("c", onnxpb.Tensor_UINT8, nil, same))
	if _, err := large.Bytes(); err == nil || !strings.Contains(err.Error(), "2 GiB") {
		t.Errorf("2,100 MiB of weights: %v", err)
	}
	path := filepath.Join(t.TempDir(), "large.onnx")
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(f.Truncate(MaxFile+1), f.Close())
	}
	if err != nil {
		t.Skip(err)
	}
	if _, err := ReadFile(path); !errors.Is(err, model.ErrFormat) {
		t.Errorf("a file of 2 GiB: %v", err)
	}
}

func TestBeforeSoftmaxAndAddOutput(t *testing.T) {
	m, err := Parse(exported(t))
	if err != nil {
		t.Fatal(err)
	}
	logits := m.BeforeSoftmax("probabilities")
	for output, want := range map[string]string{"probabilities": "fc", "embedding": "", "nothing": ""} {
		if got := m.BeforeSoftmax(output); got != want {
			t.Errorf("before the Softmax of %q is %q, want %q", output, got, want)
		}
	}
	m.AddOutput(logits, 3)
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	want := []Value{{"probabilities", "float", []int64{-1, 3}}, {"embedding", "float", []int64{-1, 128}}, {"fc", "float", []int64{-1, 3}}}
	if diff := cmp.Diff(want, info.Outputs); diff != "" {
		t.Error(diff)
	}
}

// TestValuesOf looks behind what changes no values, and no further.
func TestValuesOf(t *testing.T) {
	node := func(op, in, out string) *onnxpb.Node {
		return &onnxpb.Node{Op: proto.String(op), Inputs: []string{in}, Outputs: []string{out}}
	}
	m := &Model{pb: &onnxpb.Model{Graph: &onnxpb.Graph{Nodes: []*onnxpb.Node{
		node("Softmax", "logits", "half"), node("Cast", "half", "float"), node("Reshape", "float", "out"),
		node("Log", "half", "log"), node("Identity", "a", "b"), node("Identity", "b", "a"), {Op: proto.String("Identity"), Outputs: []string{"bare"}},
	}}}}
	for output, want := range map[string]string{"half": "Softmax", "out": "Softmax", "log": "Log", "a": "", "bare": "Identity", "logits": "", "nothing": ""} {
		if got := m.ValuesOf(output); got != want {
			t.Errorf("the values of %s are of %q, want %q", output, got, want)
		}
	}
}

// FuzzModel holds everything that reads a model to errors of one kind, and what
// is written to be read again as it was.
func FuzzModel(f *testing.F) {
	for _, m := range []*Model{everywhere(), holding(tensor("w", onnxpb.Tensor_FLOAT, []int{3}, make([]byte, 12))), holding(&onnxpb.Tensor{Name: proto.String("w"), Dims: []int64{2}, DataType: proto.Int32(10), Int32Data: []int32{1, 2}})} {
		b, err := m.Bytes()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("no model"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			if !errors.Is(err, model.ErrFormat) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		m.dir = t.TempDir()
		info, err := m.Info()
		if err == nil && (len(info.Inputs) == 0 || len(info.Outputs) == 0) {
			t.Fatal("a model without inputs or outputs is accepted")
		}
		if files, err := m.external(); err == nil {
			for _, path := range files {
				if rel, err := filepath.Rel(m.dir, path); err != nil || !filepath.IsLocal(rel) {
					t.Fatalf("%s lies outside", path)
				}
			}
		}
		m.verify()
		for _, x := range m.pb.GetGraph().GetInitializers() {
			if w, err := m.weight(x); err == nil && len(w.Data) != model.Elements(w.Shape)*model.ElementSize(w.DType) {
				t.Fatalf("%s%v in %d bytes", w.DType, w.Shape, len(w.Data))
			}
		}
		out, err := m.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if !proto.Equal(m.pb, again.pb) {
			t.Fatal("what was written is read as something else")
		}
		if g, err := m.Graph(); err == nil {
			g.Model()
		}
	})
}
