#!/usr/bin/env bash
# The engine's tests on a shim built with gcc's address sanitizer. What is compared to other numbers' last digits stays
# out: without wide instructions sums round otherwise. One that was built so already may be given.
#   scripts/test-shim-sanitized.sh [LIBRARY]
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
library=$(realpath "${1:-$work/libsynshard_torch.so}")
[ $# -gt 0 ] || train/torch/shim/build.sh --sanitize --out "$library"
go test -c -o "$work/torch.test" ./train/torch
cd train/torch
SYNSHARD_TORCH_LIB=$library ASAN_OPTIONS=detect_leaks=0 \
	LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so.6)" \
	"$work/torch.test" -test.run 'Forward|Updates|State|Evaluate|Accumulate|Mistakes|FastPaths'
