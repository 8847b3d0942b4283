package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
)

// holding is a model of one node with the initializers given.
func holding(tensors ...*onnxpb.Tensor) *Model {
	return &Model{pb: &onnxpb.Model{Graph: &onnxpb.Graph{
		Nodes:        []*onnxpb.Node{Node("Conv", "c", []string{"x", "w"}, "y")},
		Inputs:       []*onnxpb.Value{value("x", onnxpb.Tensor_FLOAT, "N", 3)},
		Outputs:      []*onnxpb.Value{value("y", onnxpb.Tensor_FLOAT, "N", 3)},
		Initializers: tensors,
	}}}
}

// write writes a model to a file of that name in a directory.
func write(t testing.TB, dir, name string, m *Model) string {
	t.Helper()
	b, err := m.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInitializers reads the same numbers from each place and type that ONNX
// has for them.
func TestInitializers(t *testing.T) {
	dir := t.TempDir()
	named := func(kind onnxpb.Tensor_DataType, x *onnxpb.Tensor) *onnxpb.Tensor {
		x.Name, x.DataType, x.Dims = proto.String("w"), proto.Int32(int32(kind)), []int64{3}
		return x
	}
	raw := FloatBytes([]float32{1, -2, 0.5})
	if err := os.WriteFile(filepath.Join(dir, "data.bin"), append(make([]byte, 16), raw...), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]*onnxpb.Tensor{
		"raw":                  named(onnxpb.Tensor_FLOAT, &onnxpb.Tensor{RawData: raw}),
		"floats":               named(onnxpb.Tensor_FLOAT, &onnxpb.Tensor{FloatData: []float32{1, -2, 0.5}}),
		"doubles":              named(onnxpb.Tensor_DOUBLE, &onnxpb.Tensor{DoubleData: []float64{1, -2, 0.5}}),
		"half as integers":     named(onnxpb.Tensor_FLOAT16, &onnxpb.Tensor{Int32Data: []int32{0x3c00, 0xc000, 0x3800}}),
		"bfloat16 as integers": named(onnxpb.Tensor_BFLOAT16, &onnxpb.Tensor{Int32Data: []int32{0x3f80, 0xc000, 0x3f00}}),
		"external": named(onnxpb.Tensor_FLOAT, &onnxpb.Tensor{Location: onnxpb.Tensor_EXTERNAL.Enum(), External: []*onnxpb.Entry{
			{Key: proto.String("location"), Value: proto.String("data.bin")}, {Key: proto.String("offset"), Value: proto.String("16")}, {Key: proto.String("length"), Value: proto.String("12")}}}),
	} {
		tensors, _, err := ReadWeights(write(t, dir, "model.onnx", holding(x)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		values, err := tensors[0].Floats()
		if diff := cmp.Diff([]float32{1, -2, 0.5}, values); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		if diff := cmp.Diff([]int{3}, tensors[0].Shape); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// A tensor's dims may be packed.
	packed := append([]byte{10, 1, 3, 16, 1, 'B', 1, 'w', 'J', 12}, raw...)
	x := &onnxpb.Tensor{}
	if err := proto.Unmarshal(packed, x); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{3}, x.GetDims()); diff != "" {
		t.Error(diff)
	}
}

func TestBadInitializers(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "short.bin"), make([]byte, 8), 0o666); err != nil {
		t.Fatal(err)
	}
	external := func(entries ...string) *onnxpb.Tensor {
		x := tensor("w", onnxpb.Tensor_FLOAT, []int{3}, nil)
		x.Location = onnxpb.Tensor_EXTERNAL.Enum()
		for i := 0; i < len(entries); i += 2 {
			x.External = append(x.External, &onnxpb.Entry{Key: proto.String(entries[i]), Value: proto.String(entries[i+1])})
		}
		return x
	}
	for name, x := range map[string]*onnxpb.Tensor{
		"too few bytes":         tensor("w", onnxpb.Tensor_FLOAT, []int{9}, make([]byte, 12)),
		"text":                  tensor("w", onnxpb.Tensor_STRING, []int{3}, make([]byte, 12)),
		"a negative dimension":  tensor("w", onnxpb.Tensor_FLOAT, []int{-1}, nil),
		"a huge shape":          tensor("w", onnxpb.Tensor_FLOAT, []int{1 << 40, 1 << 40}, nil),
		"a short file":          external("location", "short.bin"),
		"another length":        external("location", "short.bin", "length", "4"),
		"an offset past it":     external("location", "short.bin", "offset", "9"),
		"a negative offset":     external("location", "short.bin", "offset", "-1"),
		"a file that is absent": external("location", "nothere.bin"),
		"a way out":             external("location", "../short.bin"),
	} {
		if _, _, err := ReadWeights(write(t, dir, "model.onnx", holding(x))); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
	path := filepath.Join(dir, "no.onnx")
	if err := os.WriteFile(path, []byte("no model"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadWeights(path); !errors.Is(err, model.ErrFormat) {
		t.Errorf("text as ONNX: %v", err)
	}
}
