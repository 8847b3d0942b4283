package main

import (
	"bytes"
	"os"
	"strconv"
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

// apart writes the model at path into the bed's directory with its weights in
// weights.bin beside it.
func (b *inferBed) apart(path string) {
	b.t.Helper()
	whole, err := os.ReadFile(path)
	check(b.t, err)
	m := &onnxpb.Model{}
	check(b.t, proto.Unmarshal(whole, m))
	var data []byte
	for _, x := range m.Graph.Initializers {
		if len(x.Dims) < 2 {
			continue
		}
		x.Location, x.External = onnxpb.Tensor_EXTERNAL.Enum(), []*onnxpb.Entry{
			{Key: proto.String("location"), Value: proto.String("weights.bin")},
			{Key: proto.String("offset"), Value: proto.String(strconv.Itoa(len(data)))},
			{Key: proto.String("length"), Value: proto.String(strconv.Itoa(len(x.RawData)))}}
		data = append(data, x.RawData...)
		x.RawData = nil
	}
	b.put("weights.bin", string(data))
	text, err := proto.Marshal(m)
	check(b.t, err)
	b.model = b.put("apart.onnx", string(text))
}

// TestInferKnowsWeightsBeside: weights in a file beside the model are the
// model. Others make other predictions, which do not pass for those that are
// there.
func TestInferKnowsWeightsBeside(t *testing.T) {
	b := newInferBed(t)
	b.apart(b.model)
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
	b.infer(0, image, "-", "--out", b.at("out.arrow"), "--overwrite")
	check(t, os.Remove(b.at("weights.bin")))
	if _, talk := b.infer(1, image, "-", "--out", b.at("out.arrow")); !strings.Contains(talk, "weights.bin") {
		t.Errorf("no weights beside the model: %s", talk)
	}
}

// TestInferLogitsOfWeightsBeside: the model is given an output in memory, and
// its weights still lie beside it.
func TestInferLogitsOfWeightsBeside(t *testing.T) {
	b := newInferBed(t)
	image := b.images + "/image0.png\n"
	b.model = strings.Replace(b.model, "nhwc_uint8", "nchw_softmax", 1)
	flags := []string{"-", "--logits", "--input-size", "32", "--mean", "0.5", "--std", "0.5"}
	b.infer(0, image, append(flags, "--out", b.at("whole.csv"))...)
	b.apart(b.model)
	b.infer(0, image, append(flags, "--out", b.at("apart.csv"))...)
	b.same("whole.csv", "apart.csv")
}

// TestInferKnowsItsOutput: predictions of one output of a model are none of another's. What is
// chosen as the model would be taken by itself is the same.
func TestInferKnowsItsOutput(t *testing.T) {
	b := newInferBed(t)
	whole, err := os.ReadFile(b.model)
	check(t, err)
	m := &onnxpb.Model{}
	check(t, proto.Unmarshal(whole, m))
	first := m.Graph.Outputs[0]
	more := proto.Clone(first).(*onnxpb.Value)
	more.Name = proto.String("more")
	m.Graph.Outputs = append(m.Graph.Outputs, more)
	m.Graph.Nodes = append(m.Graph.Nodes, &onnxpb.Node{Op: proto.String("Identity"), Inputs: []string{first.GetName()}, Outputs: []string{"more"}})
	text, err := proto.Marshal(m)
	check(t, err)
	image := b.images + "/image0.png\n"
	b.infer(0, image, "-", "--out", b.at("one.arrow"))
	if said, talk := b.infer(0, image, "-", "--out", b.at("one.arrow"), "--output", first.GetName(), "--tensor-layout", "nhwc"); !strings.Contains(said+talk, "nothing to do") {
		t.Errorf("the only output by its name: %s%s", said, talk)
	}
	b.model = b.put("two.onnx", string(text))
	b.infer(0, image, "-", "--out", b.at("out.arrow"), "--output", first.GetName())
	if said, talk := b.infer(0, image, "-", "--out", b.at("out.arrow"), "--output", first.GetName()); !strings.Contains(said+talk, "nothing to do") {
		t.Errorf("the same again: %s%s", said, talk)
	}
	if _, talk := b.infer(1, image, "-", "--out", b.at("out.arrow"), "--output", "more"); !strings.Contains(talk, "output is "+first.GetName()+", not more") {
		t.Errorf("another output: %s", talk)
	}
	b.infer(0, image, "-", "--out", b.at("out.arrow"), "--output", "more", "--overwrite")
	if said, talk := b.infer(0, image, "-", "--out", b.at("out.arrow"), "--output", "more"); !strings.Contains(said+talk, "nothing to do") {
		t.Errorf("again, of the other: %s%s", said, talk)
	}
}
