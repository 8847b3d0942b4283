#!/usr/bin/env bash
# The engine's tests on a shim built with gcc's address sanitizer. What is compared to other numbers' last digits stays
# out: without wide instructions sums round otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
train/torch/shim/build.sh --sanitize --out "$work/libsynshard_torch.so"
go test -c -o "$work/torch.test" ./train/torch
cd train/torch
SYNSHARD_TORCH_LIB=$work/libsynshard_torch.so ASAN_OPTIONS=detect_leaks=0 \
	LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so.6)" \
	"$work/torch.test" -test.run 'Forward|Updates|State|Evaluate|Accumulate|Mistakes|FastPaths'
