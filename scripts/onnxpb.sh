#!/usr/bin/env bash
# Generates internal/onnxpb/onnx.pb.go from onnx.proto beside it. Needs protoc 3.21.12 (Debian 12's protobuf-compiler);
# the generator for Go is the one of the protobuf version in go.mod.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
want='libprotoc 3.21.12'
have=$(protoc --version) || { echo 'onnxpb.sh: no protoc: install protobuf-compiler' >&2; exit 1; }
[ "$have" = "$want" ] || { echo "onnxpb.sh: $have: want $want, so that the same file comes out" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here"
go build -o "$work/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
protoc --plugin="$work/protoc-gen-go" --go_out=. --go_opt=paths=source_relative internal/onnxpb/onnx.proto
