#!/usr/bin/env bash
# The GPU's path through a training step without a GPU: its kernels emulated by the processor, held to the same figures
# and to the plain path as any other. A library that was built so already may be given.
#   scripts/test-shim-emulated.sh [LIBRARY]
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
library=$(realpath "${1:-$work/libsynshard_torch.so}")
[ $# -gt 0 ] || train/torch/shim/build.sh --emulate --out "$library"
SYNSHARD_TORCH_LIB=$library go test -timeout 30m ./train/torch ./train/cluster -count=1 \
	-run 'Forward|TestGradients$|CrossEntropy|Updates|State|Accumulate|Mistakes|FastPaths|Half|LowWeights|Networks|Queue|Pinned|Group|Procs|Record|Trajectory|Predict|Frozen|ClassWeights|Mixed|Refused|Evaluate'
