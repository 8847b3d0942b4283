#!/usr/bin/env bash
# Everything that only a GPU shows, in one command, on a machine with PyTorch and this checkout but without Go or a
# network: builds the engine against the PyTorch found, then training beside PyTorch eager and compiled, training from
# shards, prediction by the engine and, where ONNX Runtime's GPU build is given, by that. Carry bin/synshard
# (go build -o bin/synshard ./cmd/synshard) and scripts/, train/torch/shim/.
#   scripts/bench/gpu.sh [--data DATASET] [--ort-lib FILE] [--batch N] [--steps N] [--rounds N] [--precision "bf16"]
#                        [--device cuda] [--no-compile] [--out DIR]
# DATASET is what 'synshard ingest' made; without it a small set is drawn.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
usage() { sed -n '6,8s/^# \{0,1\}//p' "$0"; }
data='' ort='' batch=256 steps=100 rounds=3 precision=bf16 device=cuda compile=--compile out=$here/gpu-bench
while [ $# -gt 0 ]; do
	case $1 in
	--no-compile) compile='' ;;
	-h | --help) usage; exit 0 ;;
	--data | --ort-lib | --batch | --steps | --rounds | --precision | --device | --out)
		[ $# -ge 2 ] || { usage >&2; exit 2; }
		case $1 in
		--data) data=$2 ;; --ort-lib) ort=$2 ;; --batch) batch=$2 ;; --steps) steps=$2 ;; --rounds) rounds=$2 ;;
		--precision) precision=$2 ;; --device) device=$2 ;; --out) out=$2 ;;
		esac
		shift ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
python=${PYTHON:-python3}
ss=$here/bin/synshard
[ -x "$ss" ] || { echo "bench/gpu: $ss is missing: build it where Go is, with go build -o bin/synshard ./cmd/synshard" >&2; exit 1; }
torch=$("$python" -c 'import torch, os; print(os.path.dirname(torch.__file__))') || { echo "bench/gpu: $python has no torch; set PYTHON" >&2; exit 1; }
mkdir -p "$out"
step() { printf '\n== %s\n' "$*"; }

step "engine against $torch"
"$here/scripts/build-shim.sh" --torch "$torch" --out "$out/lib/libsynshard_torch.so"
export SYNSHARD_TORCH_LIB=$out/lib/libsynshard_torch.so SYNSHARD_PROGRESS=off
"$ss" doctor || true
[ "$device" = cpu ] || nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv

if [ -z "$data" ]; then
	step "a drawn set"
	"$ss" sample --out "$out/archives"
	data=$out/dataset
	a=$out/archives/ILSVRC2012
	"$ss" ingest --train "${a}_img_train.tar" --val "${a}_img_val.tar" --devkit "${a}_devkit_t12.tar.gz" --out "$data"
fi

step "training step beside PyTorch: synthetic, then from shards"
PYTHON=$python SYNSHARD=$ss "$here/scripts/bench/train.sh" --device "$device" --precision "$precision" --batch "$batch" --steps "$steps" \
	--rounds "$rounds" $compile --data "$data" --out "$out/train.txt"

step "a run, and the largest batch that fits"
"$ss" train "$data" --recipe demo --out "$out/run" --device "$device" --batch "$([ "$device" = cpu ] && echo 16 || echo auto)" \
	--stop-after-steps 5 || [ $? = 75 ]
"$ss" train "$data" --recipe demo --out "$out/short" --device "$device" --epochs 1 --batch 16

step "prediction by the engine"
"$ss" infer "$out/short/model.safetensors" "$data" --split val --engine torch --provider "${device%%:*}" --precision "$precision" --out "$out/engine.arrow"
"$ss" eval "$out/engine.arrow" --json >"$out/engine.json"

if [ -n "$ort" ]; then
	step "prediction by ONNX Runtime's CUDA provider"
	"$ss" bench infer "$out/short/model.onnx" --provider cuda --ort-lib "$ort" --batches 64,128,256 | tee "$out/infer.txt"
	"$ss" infer "$out/short/model.onnx" "$data" --split val --provider cuda --ort-lib "$ort" --out "$out/ort.arrow"
	"$ss" eval --compare "$out/engine.arrow" "$out/ort.arrow"
fi
step "done: $out"
