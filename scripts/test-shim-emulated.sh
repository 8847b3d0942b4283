#!/usr/bin/env bash
# The GPU's path through a training step without a GPU: its kernels emulated by the processor, held to the same figures
# and to the plain path as any other.
set -euo pipefail
cd "$(dirname "$0")/.."
torch=$(readelf -d lib/libsynshard_torch.so | sed -n 's/.*R\(UN\)\?PATH.*\[\([^]:]*\)\/lib[]:].*/\2/p') # what set-up built against
[ -d "$torch/include" ] || { echo "test-shim-emulated: lib/libsynshard_torch.so does not say where its libtorch lies" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/build-shim.sh --emulate --torch "$torch" --out "$work/libsynshard_torch.so"
SYNSHARD_TORCH_LIB=$work/libsynshard_torch.so go test ./train/torch ./train/cluster -count=1 \
	-run 'Forward|Updates|State|Accumulate|Mistakes|FastPaths|Half|Queue|Pinned|Group|Procs'
