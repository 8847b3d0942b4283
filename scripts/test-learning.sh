#!/usr/bin/env bash
# Four steps of a training here and in PyTorch, from the same weights over the same crops: scripts/learning/learning.py at its smallest. Before
# anything is learnt both must find the same, and the weights in the end must measure the same in both.
#   scripts/test-learning.sh SYNSHARD
# Needs a Python with torch, torchvision, Pillow, pyarrow and SciPy: SYNSHARD_TEST_TORCH, or python3; else it says so and ends.
set -euo pipefail
synshard=$(realpath "$1")
cd "$(dirname "$0")"
python=
for one in ${SYNSHARD_TEST_TORCH:-} python3; do
	[ -n "$python" ] || ! "$one" -c 'import torch, torchvision, PIL, pyarrow, scipy' 2>/dev/null || python=$one
done
if [ -z "$python" ]; then
	echo "test-learning: skipped: no Python here has torch, torchvision, Pillow, pyarrow and SciPy; SYNSHARD_TEST_TORCH names one" >&2
	exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$python" learning/learning.py "$synshard" "$dir/work" --seeds 1 --size 75 --epochs 1 --batch 8 --dropout 0 --train-per-synset 4 --val-per-synset 2 \
	--set augment.exact=true >"$dir/out" 2>"$dir/err" || { cat "$dir/out" "$dir/err" >&2; exit 1; }
"$python" -c 'import json, sys
found = json.loads(open(sys.argv[1]).read().splitlines()[-1])
apart = found["apart"]
assert found["steps"] == 4 and apart["first_loss"] < 1e-4 and apart["first_gradient_norm"] < 5e-3 and apart["measured_twice"] < 1e-3, found' "$dir/out" ||
	{ cat "$dir/out" >&2; exit 1; }
echo "test-learning: the first step's loss and gradient, and the last weights' figures, are PyTorch's"
