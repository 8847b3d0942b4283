#!/usr/bin/env bash
# The training step of Inception-v3 (299, auxiliary head, RMSProp, averaged weights) here and in PyTorch, in turns in
# one run, and the ratio. Needs PyTorch in $PYTHON (default python3), for --compile what it compiles with, and the engine's
# library. What the device can do is measured in the same run: MFU is against its own matrix product.
#   scripts/bench/train.sh [--device cpu|cuda] [--precision "fp32 bf16"] [--batch N] [--steps N] [--rounds N]
#                          [--threads N] [--compile] [--data DIR] [--procs N] [--out FILE]
# On a GPU: scripts/bench/train.sh --device cuda --precision bf16 --batch 256 --steps 100 --compile --data imagenet
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
device=cpu precisions='fp32 bf16' batch=16 steps=5 rounds=3 threads=$(nproc) compile='' data='' procs=1 out=''
while [ $# -gt 0 ]; do
	case $1 in
	--compile) compile=1 ;;
	-h | --help) usage; exit 0 ;;
	--device | --precision | --batch | --steps | --rounds | --threads | --data | --procs | --out)
		[ $# -ge 2 ] || { usage >&2; exit 2; }
		case $1 in
		--device) device=$2 ;; --precision) precisions=$2 ;; --batch) batch=$2 ;; --steps) steps=$2 ;;
		--rounds) rounds=$2 ;; --threads) threads=$2 ;; --data) data=$2 ;; --procs) procs=$2 ;; --out) out=$2 ;;
		esac
		shift ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
python=${PYTHON:-python3}
"$python" -c 'import torch' 2>/dev/null || { echo "bench/train: $python has no torch; set PYTHON" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# $SYNSHARD is a binary built elsewhere, for a machine without Go.
if [ -n "${SYNSHARD:-}" ]; then cp "$SYNSHARD" "$work/synshard"; else (cd "$here" && go build -o "$work/synshard" ./cmd/synshard); fi
ln -s "$here/lib" "$work/lib" # what was set up for this checkout

limits() { "$python" "$here/scripts/bench/limits.py" --device "$device" --threads "$threads" --precision "$precision" >"$work/limits-$precision-$round"; }
ours() { (cd "$here" && "$work/synshard" bench train --progress off --json --device "$device" --precision "$precision" --steps "$steps" "$@"); }
for precision in $precisions; do
	for round in $(seq "$rounds"); do
		echo "bench/train: $precision, round $round of $rounds" >&2
		limits
		ours --batch "$batch" --threads "$threads" ${data:+--data "$data"} >"$work/ours.$precision.$round"
		[ "$procs" = 1 ] || ours --batch $((batch * procs)) --procs "$procs" >"$work/procs.$precision.$round"
		twin=("$here/scripts/bench/train_pytorch.py" --device "$device" --precision "$precision" --batch "$batch" --steps "$steps" --threads "$threads")
		"$python" "${twin[@]}" >"$work/eager.$precision.$round"
		[ -z "$compile" ] || "$python" "${twin[@]}" --compile --warmup 5 >"$work/compile.$precision.$round"
	done
done

"$python" - "$work" "$precisions" "$rounds" <<'PY' | tee ${out:+"$out"}
import glob, json, statistics, sys
work, precisions, rounds = sys.argv[1], sys.argv[2].split(), int(sys.argv[3])
print("medians of %d rounds; the best step of all; images a second of processor time" % rounds)
limits = [json.load(open(f)) for f in sorted(glob.glob(f"{work}/limits-*"))] # of each round: a machine's own rate drifts, too
tflops = {p: max(l["tflops"][p] for l in limits if p in l["tflops"]) for p in precisions}
print("a matrix product here reaches %s TFLOP/s, a copy %.1f GB/s" % (", ".join("%.3g in %s" % (t, p) for p, t in tflops.items()), max(l["copy_gb_s"] for l in limits)))
print("%-9s %-28s %9s %9s %9s %9s %6s" % ("precision", "who", "images/s", "best", "per cpu-s", "peak MiB", "MFU"))
for p in precisions:
    rows = {}
    for f in sorted(glob.glob(f"{work}/*.{p}.*")):
        got = json.load(open(f))
        for r in got.get("runs", [got]):
            who = r["who"] + " PyTorch" if "who" in r else "synshard, " + r["data"].rstrip("/").split("/")[-1]
            if r.get("procs", 1) > 1: who += ", %d processes" % r["procs"]
            rows.setdefault(who, []).append(r)
    sums = {w: (statistics.median(r["images_per_second"] for r in rs), max(r["images_per_second_best"] for r in rs),
                statistics.median(r["images_per_cpu_second"] for r in rs)) for w, rs in rows.items()}
    flop = max(r["tflops"] / r["images_per_second"] for rs in rows.values() for r in rs if "tflops" in r) # 10^12 an image
    for w, s in sums.items():
        peak = max(r.get("peak_bytes") or 0 for r in rows[w]) >> 20
        print("%-9s %-28s %9.2f %9.2f %9s %9s %5.1f%%" % (p, w[:28], *s[:2], "%.2f" % s[2] if s[2] else "-", peak or "-", 100 * s[0] * flop / tflops[p]))
    ours = sums["synshard, synthetic"]
    for w, s in sums.items():
        if not w.startswith("synshard, synthetic"):
            print("%-9s %-28s %9.2f %9.2f %9s" % (p, "ratio to " + w.removeprefix("synshard, ")[:19], ours[0] / s[0], ours[1] / s[1], "%.2f" % (ours[2] / s[2]) if s[2] else "-"))
    for rs in rows.values():
        m = [r for r in rs if r.get("procs", 1) > 1]
        if m:
            print("%-9s communication a step: %.1f ms on the way, %.1f ms of it waited for, step %.1f ms" % (
                p, *(1e3 * statistics.median(r[k] for r in m) for k in ("communication_seconds", "communication_exposed_seconds", "step_seconds"))))
PY
