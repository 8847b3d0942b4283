package onnx

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
)

// TestSame: a model is the same as another of its nodes and weights, rounded once more or with other metadata, and no
// other is.
func TestSame(t *testing.T) {
	b := exported(t)
	parse := func() *Model {
		m, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	weight := func(m *Model, change func(float32) float32) {
		for _, x := range m.pb.GetGraph().GetInitializers() {
			if strings.HasSuffix(x.GetName(), ".weight") {
				at := x.GetRawData()[4*7:]
				binary.LittleEndian.PutUint32(at, math.Float32bits(change(math.Float32frombits(binary.LittleEndian.Uint32(at)))))
				return
			}
		}
		t.Fatal("no weights")
	}
	g := func(m *Model) { m.pb.Graph.Initializers = m.pb.Graph.Initializers[1:] }
	for what, c := range map[string]struct {
		change func(*Model)
		want   string // in the error; "": none
	}{
		"nothing":                    {func(*Model) {}, ""},
		"metadata":                   {func(m *Model) { m.pb.Metadata = nil }, ""},
		"a weight's last bit":        {func(m *Model) { weight(m, func(v float32) float32 { return math.Nextafter32(v, 9) }) }, ""},
		"a weight's fifth digit":     {func(m *Model) { weight(m, func(v float32) float32 { return v * 1.00001 }) }, ".weight"},
		"a weight that is no number": {func(m *Model) { weight(m, func(float32) float32 { return float32(math.NaN()) }) }, ".weight"},
		"a constant missing":         {g, "constants"},
		"a constant twice":           {func(m *Model) { m.pb.Graph.Initializers[1] = m.pb.Graph.Initializers[0] }, "names"},
		"a function":                 {func(m *Model) { m.pb.Functions = []*onnxpb.Function{{}} }, "functions"},
		"a sparse constant":          {func(m *Model) { m.pb.Graph.SparseInitializers = []*onnxpb.SparseTensor{{}} }, "sparse"},
		"a constant renamed":         {func(m *Model) { m.pb.Graph.Initializers[2].Name = proto.String("other") }, `"other"`},
		"a node's attribute":         {func(m *Model) { m.pb.Graph.Nodes[len(m.pb.Graph.Nodes)-2].Attributes = nil }, "nodes"},
		"a node less":                {func(m *Model) { m.pb.Graph.Nodes = m.pb.Graph.Nodes[1:] }, "nodes"},
		"an output more":             {func(m *Model) { m.AddOutput("features", 3) }, "nodes"},
	} {
		m := parse()
		c.change(m)
		err := m.Same(parse())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}
