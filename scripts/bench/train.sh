#!/usr/bin/env bash
# The training step of Inception-v3 (299, auxiliary head, RMSProp, averaged weights) here and in PyTorch, in turns in
# one run, and the ratio. Needs PyTorch and torchvision in $PYTHON (default python3), and the engine's library.
#   scripts/bench/train.sh [--device cpu|cuda] [--precision "fp32 bf16"] [--batch N] [--steps N] [--rounds N]
#                          [--threads N] [--compile] [--data DIR] [--out FILE]
# On a GPU: scripts/bench/train.sh --device cuda --precision bf16 --batch 256 --steps 100 --compile --data imagenet
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }
device=cpu precisions='fp32 bf16' batch=16 steps=5 rounds=3 threads=$(nproc) compile='' data='' out=''
while [ $# -gt 0 ]; do
	case $1 in
	--compile) compile=1 ;;
	-h | --help) usage; exit 0 ;;
	--device | --precision | --batch | --steps | --rounds | --threads | --data | --out)
		[ $# -ge 2 ] || { usage >&2; exit 2; }
		case $1 in
		--device) device=$2 ;; --precision) precisions=$2 ;; --batch) batch=$2 ;; --steps) steps=$2 ;;
		--rounds) rounds=$2 ;; --threads) threads=$2 ;; --data) data=$2 ;; --out) out=$2 ;;
		esac
		shift ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
python=${PYTHON:-python3}
"$python" -c 'import torch, torchvision' 2>/dev/null || { echo "bench/train: $python has no torch and torchvision; set PYTHON" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# $SYNSHARD is a binary built elsewhere, for a machine without Go.
if [ -n "${SYNSHARD:-}" ]; then cp "$SYNSHARD" "$work/synshard"; else (cd "$here" && go build -o "$work/synshard" ./cmd/synshard); fi

for precision in $precisions; do
	for round in $(seq "$rounds"); do
		echo "bench/train: $precision, round $round of $rounds" >&2
		(cd "$here" && "$work/synshard" bench train --progress off --json --device "$device" --precision "$precision" --batch "$batch" \
			--steps "$steps" --threads "$threads" ${data:+--data "$data"}) >"$work/ours.$precision.$round"
		twin=("$here/scripts/bench/train_pytorch.py" --device "$device" --precision "$precision" --batch "$batch" --steps "$steps" --threads "$threads")
		"$python" "${twin[@]}" >"$work/eager.$precision.$round"
		[ -z "$compile" ] || "$python" "${twin[@]}" --compile --warmup 5 >"$work/compile.$precision.$round"
	done
done

"$python" - "$work" "$precisions" "$rounds" <<'PY' | tee ${out:+"$out"}
import glob, json, statistics, sys
work, precisions, rounds = sys.argv[1], sys.argv[2].split(), int(sys.argv[3])
print("medians of %d rounds; the best step of all; pictures a second of processor time" % rounds)
print("%-9s %-28s %9s %9s %9s" % ("precision", "who", "images/s", "best", "per cpu-s"))
for p in precisions:
    rows = {}
    for f in sorted(glob.glob(f"{work}/*.{p}.*")):
        got = json.load(open(f))
        for r in got if isinstance(got, list) else [got]:
            who = r["who"] + " PyTorch" if "who" in r else "synshard, " + r["data"]
            rows.setdefault(who, []).append(r)
    sums = {w: (statistics.median(r["images_per_s"] for r in rs), max(r["images_per_s_best"] for r in rs),
                statistics.median(r["images_per_cpu_s"] for r in rs)) for w, rs in rows.items()}
    for w, s in sums.items():
        print("%-9s %-28s %9.2f %9.2f %9.2f" % (p, w[:28], *s))
    ours = sums["synshard, synthetic"]
    for w, s in sums.items():
        if not w.startswith("synshard, synthetic"):
            print("%-9s %-28s %9.2f %9.2f %9.2f" % (p, "ratio to " + w[:19], *(a / b for a, b in zip(ours, s))))
PY
