#!/usr/bin/env bash
# Runs every program of examples/readers over a split and predictions, and holds what each counts to `synshard eval`.
#   scripts/test-readers.sh SYNSHARD DATASET SPLIT PREDICTIONS
#
# Python's libraries and npm's are kept from one time to the next (kept.bash). PyTorch and R are taken from where they are (SYNSHARD_TEST_TORCH: a Python
# with torch, torchvision, pyarrow and Pillow); a reader whose library is not there is named.
set -euo pipefail
synshard=$(realpath "$1") dataset=$(realpath "$2") split=$3 predictions=$(realpath "$4")
cd "$(dirname "$0")"
source ./kept.bash
cd ../examples/readers
kept_readers test-readers
if command -v npm >/dev/null && ! cmp -s package-lock.json "$kept/package-lock.json"; then
	cp package.json package-lock.json "$kept/"
	(cd "$kept" && npm ci --ignore-scripts --no-audit --no-fund --silent) || { rm -f "$kept/package-lock.json"; exit 1; }
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "test-readers: $*" >&2; cat "$dir/out" "$dir/err" >&2 2>/dev/null || true; exit 1; }

# What eval counts, whole images of a share, without those that could not be read.
"$synshard" --progress off eval "$predictions" --json >"$dir/eval.json"
want=$("$kept/bin/python" - "$dir/eval.json" <<'P'
import json, sys
e = json.load(open(sys.argv[1]))
print(f"{e['images'] - e['rejected']} images, {round(e['top1'] * e['images'])} right")
P
)
skipped=()
reader() { # PROGRAM COMMAND...
	HF_HUB_OFFLINE=1 HF_HOME=$dir/hf "${@:2}" "$1" "$dataset" "$split" "$predictions" >"$dir/out" 2>"$dir/err" || fail "$1 failed"
	[ "$(tail -n 1 "$dir/out")" = "$want" ] || fail "$1 counts otherwise, want $want"
}
ran=0
for program in *.py *.mjs *.R; do
	case $program in
	pytorch.py)
		torch=
		for python in ${SYNSHARD_TEST_TORCH:-} "$kept/bin/python" python3; do
			[ -n "$torch" ] || ! "$python" -c 'import torch, torchvision, pyarrow, PIL' 2>/dev/null || torch=$python
		done
		[ -n "$torch" ] || { skipped+=("$program (torch, torchvision)"); continue; }
		reader "$program" "$torch" ;;
	*.py) reader "$program" "$kept/bin/python" ;;
	*.mjs)
		[ -d "$kept/node_modules" ] && command -v node >/dev/null || { skipped+=("$program (node, npm)"); continue; }
		cp "$program" "$kept/" # modules are looked for beside the program
		program=$kept/$program
		reader "$program" node ;;
	*.R)
		Rscript -e 'library(arrow); library(dplyr)' >/dev/null 2>&1 || { skipped+=("$program (R with arrow and dplyr)"); continue; }
		reader "$program" Rscript ;;
	esac
	ran=$((ran + 1))
done
[ ${#skipped[@]} -eq 0 ] || printf 'test-readers: skipped for want of its library: %s\n' "${skipped[@]}" >&2
echo "test-readers: $ran readers count $want, as eval does"
