package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/synshard/synshard/internal/onnxpb"
	"github.com/synshard/synshard/model"
	"github.com/synshard/synshard/model/onnx"
)

// TestInferMeetsDamage: a byte of a model that synshard wrote changes.
func TestInferMeetsDamage(t *testing.T) {
	b := newInferBed(t)
	spec := model.Spec{Model: "resnet50", Width: 0.0625, InputSize: 32, Resize: 40, Interpolation: "bilinear", Std: [3]float64{1, 1, 1}, Classes: []string{"a", "b", "c", "d", "e"}}
	net, err := spec.Network(false)
	check(t, err)
	var written bytes.Buffer
	check(t, onnx.Write(&written, net, net.Init(1), spec))
	b.model = b.put("model.onnx", written.String())
	image := b.images + "/image0.png\n"
	b.infer(0, image, "-", "--out", b.at("out.arrow"))
	bytes := written.Bytes()
	bytes[len(bytes)/2] ^= 1
	b.model = b.put("damaged.onnx", string(bytes))
	if _, talk := b.infer(exitCorrupt, image, "-", "--out", b.at("other.arrow")); !strings.Contains(talk, "damaged.onnx: damaged") {
		t.Errorf("%s", talk)
	}
}

// TestInferKnowsWeightsBeside: weights in a file beside the model are the
// model. Others make other predictions, which do not pass for those that are
// there.
func TestInferKnowsWeightsBeside(t *testing.T) {
	b := newInferBed(t)
	whole, err := os.ReadFile(b.model)
	check(t, err)
	m := &onnxpb.Model{}
	check(t, proto.Unmarshal(whole, m))
	for _, x := range m.Graph.Initializers {
		if x.GetName() == "mat" {
			b.put("weights.bin", string(x.RawData))
			x.RawData, x.Location = nil, onnxpb.Tensor_EXTERNAL.Enum()
			x.External = []*onnxpb.Entry{{Key: proto.String("location"), Value: proto.String("weights.bin")}}
		}
	}
	apart, err := proto.Marshal(m)
	check(t, err)
	b.model = b.put("apart.onnx", string(apart))
	image := b.images + "/image0.png\n"
	b.infer(0, image, "-", "--out", b.at("out.arrow"))
	if said, talk := b.infer(0, image, "-", "--out", b.at("out.arrow")); !strings.Contains(said+talk, "nothing to do") {
		t.Errorf("the same again: %s%s", said, talk)
	}
	other, err := os.ReadFile(b.at("weights.bin"))
	check(t, err)
	other[3] ^= 0x80 // a weight's sign
	b.put("weights.bin", string(other))
	if _, talk := b.infer(1, image, "-", "--out", b.at("out.arrow")); !strings.Contains(talk, "holds other predictions") {
		t.Errorf("other weights beside the model: %s", talk)
	}
	check(t, os.Remove(b.at("weights.bin")))
	if _, talk := b.infer(1, image, "-", "--out", b.at("out.arrow")); !strings.Contains(talk, "weights.bin") {
		t.Errorf("no weights beside the model: %s", talk)
	}
}
