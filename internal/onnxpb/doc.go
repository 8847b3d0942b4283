// Package onnxpb holds the messages of ONNX files, generated from onnx.proto.
package onnxpb

//go:generate ../../scripts/onnxpb.sh
