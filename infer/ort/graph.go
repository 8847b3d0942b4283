package ort

import (
	"fmt"
	"os"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of onnx.proto3.
const (
	modelGraph  = 7
	graphNode   = 1
	graphOutput = 12
)

// beneathSoftmax gives the tensor that a Softmax takes whose result is the
// output of that name; "" if something else makes it.
func beneathSoftmax(path, output string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	found := ""
	err = eachField(b, func(f protowire.Number, graph []byte) error {
		if f != modelGraph {
			return nil
		}
		return eachField(graph, func(f protowire.Number, node []byte) error {
			if f != graphNode {
				return nil
			}
			var in, out, op string
			err := eachField(node, func(f protowire.Number, m []byte) error {
				switch {
				case f == 1 && in == "":
					in = string(m)
				case f == 2 && out == "":
					out = string(m)
				case f == 4:
					op = string(m)
				}
				return nil
			})
			if op == "Softmax" && out == output {
				found = in
			}
			return err
		})
	})
	return found, err
}

// withOutput gives a model one more output, a float matrix [N, classes]: a
// message that occurs twice in its field is merged, by protobuf's rules, so
// that what is new is said at the end.
func withOutput(b []byte, name string, classes int) []byte {
	sub := func(field protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), content)
	}
	num := func(field protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), v)
	}
	n := sub(1, sub(2, []byte("logits_N")))
	c := sub(1, num(1, uint64(classes)))
	tensor := append(num(1, 1), sub(2, append(n, c...))...)
	value := append(sub(1, []byte(name)), sub(2, sub(1, tensor))...)
	return append(b, sub(modelGraph, sub(graphOutput, value))...)
}

// eachField calls f with every length-delimited field of a message.
func eachField(b []byte, f func(field protowire.Number, m []byte) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("parse the model: %w", protowire.ParseError(n))
		}
		b = b[n:]
		var m []byte
		if kind == protowire.BytesType {
			m, n = protowire.ConsumeBytes(b)
		} else {
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return fmt.Errorf("parse the model: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if kind != protowire.BytesType {
			continue
		}
		if err := f(field, m); err != nil {
			return err
		}
	}
	return nil
}
