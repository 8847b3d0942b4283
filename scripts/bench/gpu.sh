#!/usr/bin/env bash
# Everything that only a GPU shows, in one command, on a machine with PyTorch, a C++ compiler and this checkout but without
# Go or a network: builds the engine against the PyTorch found, runs the engine's tests on the GPU, trains beside PyTorch
# eager and compiled on synthetic images and from shards, predicts by the engine and, where ONNX Runtime's GPU build is
# given, by that; tables and ratios at the end. Where Go is, --pack makes the archive to carry over:
#   scripts/bench/gpu.sh --pack FILE.tar.gz
#   scripts/bench/gpu.sh [--data DATASET] [--ort-lib FILE] [--batch N] [--steps N] [--rounds N] [--precision "bf16"]
#                        [--device cuda] [--no-compile] [--no-tests] [--out DIR]
# DATASET is what 'synshard ingest' made; without it a small set is drawn. PYTHON names the Python (python3).
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
usage() { sed -n '6,9s/^# \{0,1\}//p' "$0"; }
die() { echo "bench/gpu: $*" >&2; exit 1; }
data='' ort='' batch=256 steps=100 rounds=3 precision=bf16 device=cuda compile=--compile tests=1 out=$here/gpu-bench pack=''
while [ $# -gt 0 ]; do
	case $1 in
	--no-compile) compile='' ;;
	--no-tests) tests='' ;;
	-h | --help) usage; exit 0 ;;
	--data | --ort-lib | --batch | --steps | --rounds | --precision | --device | --out | --pack)
		[ $# -ge 2 ] || { usage >&2; exit 2; }
		case $1 in
		--data) data=$2 ;; --ort-lib) ort=$2 ;; --batch) batch=$2 ;; --steps) steps=$2 ;; --rounds) rounds=$2 ;;
		--precision) precision=$2 ;; --device) device=$2 ;; --out) out=$2 ;; --pack) pack=$2 ;;
		esac
		shift ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
if [ -n "$pack" ]; then
	cd "$here"
	go build -o bin/synshard ./cmd/synshard
	go test -c -o bin/torch.test ./train/torch
	wordnet=${SYNSHARD_WORDNET:-/usr/share/wordnet}
	[ -e "$wordnet/data.noun" ] || die "no data.noun in $wordnet; set SYNSHARD_WORDNET"
	mkdir -p bin/wordnet
	cp "$wordnet/data.noun" bin/wordnet/
	tar -czf "$pack" --transform 's,^,synshard/,' bin/synshard bin/torch.test bin/wordnet scripts train/torch
	echo "bench/gpu: $pack: unpack it there and run synshard/scripts/bench/gpu.sh" >&2
	exit 0
fi

python=${PYTHON:-python3}
ss=$here/bin/synshard
for f in "$ss" "$here/bin/torch.test"; do
	[ -x "$f" ] || die "$f is missing: make it where Go is, with scripts/bench/gpu.sh --pack FILE.tar.gz"
done
torch=$("$python" -c 'import torch, os; print(os.path.dirname(torch.__file__))') || die "$python has no torch; set PYTHON"
mkdir -p "$out"
out=$(cd "$out" && pwd)
failed=()
step() { printf '\n== %s\n' "$*"; }
# part runs one part of the whole; the others go on without it, and the end names it.
part() {
	local name=$1 code=0
	shift
	step "$name"
	"$@" || code=$?
	[ $code = 0 ] || { failed+=("$name"); echo "bench/gpu: $name: exit status $code" >&2; }
}

step "engine against $torch"
"$here/scripts/build-shim.sh" --torch "$torch" --out "$out/lib/libsynshard_torch.so"
export SYNSHARD_TORCH_LIB=$out/lib/libsynshard_torch.so SYNSHARD_PROGRESS=off
[ ! -e "$here/bin/wordnet" ] || export SYNSHARD_WORDNET=$here/bin/wordnet
"$ss" doctor || true # it also looks for what is not needed here
gpus=0
if [ "$device" != cpu ]; then
	nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
	gpus=$(nvidia-smi -L | wc -l)
fi

engine_tests() { # their data lie beside their sources
	(cd "$here/train/torch" && SYNSHARD_TEST_NATIVE=1 SYNSHARD_TEST_DEVICE=$device "$here/bin/torch.test" -test.v -test.timeout 30m) >"$out/tests.txt" 2>&1 || {
		grep -E '^(---|===|panic|FAIL)|_test.go' "$out/tests.txt" | grep -E 'FAIL|panic|_test.go' | tail -40
		return 1
	}
	grep -cE '^--- PASS' "$out/tests.txt" | sed 's/$/ tests passed/'
	grep -E -A1 '^--- SKIP' "$out/tests.txt" || true
}
[ -z "$tests" ] || part "the engine's tests on $device" engine_tests

if [ -z "$data" ]; then
	step "a drawn set"
	data=$out/dataset a=$out/archives/ILSVRC2012
	"$ss" sample --out "$out/archives"
	"$ss" ingest --train "${a}_img_train.tar" --val "${a}_img_val.tar" --devkit "${a}_devkit_t12.tar.gz" --out "$data"
fi

beside_pytorch() {
	PYTHON=$python SYNSHARD=$ss "$here/scripts/bench/train.sh" --device "$device" --precision "$precision" --batch "$batch" --steps "$steps" \
		--rounds "$rounds" $compile --procs "$([ "$gpus" -gt 1 ] && echo "$gpus" || echo 1)" --data "$data" --out "$out/train.txt"
}
part "training step beside PyTorch: synthetic, from shards, and on every GPU at once" beside_pytorch

where_time_goes() {
	for p in $precision; do
		for more in '' --unfused --recompute; do
			# shellcheck disable=SC2086 # none or one word
			"$ss" bench train --device "$device" --precision "$p" --batch "$batch" --steps "$steps" $more | sed "s/^/${more:-plain run}: /"
		done
	done | tee "$out/steps.txt"
}
part "where a step's time goes: as it is, unfused, recomputed" where_time_goes

short_runs() {
	"$ss" train "$data" --recipe demo --out "$out/run" --device "$device" --batch "$([ "$device" = cpu ] && echo 16 || echo auto)" \
		--stop-after-steps 2 || [ $? = 75 ]
	"$ss" train "$data" --recipe demo --out "$out/short" --device "$device" --epochs 1 --batch 16 "${few[@]}"
}
few=()
[ "$device" != cpu ] || few=(--limit-per-synset 4) # a CPU takes its time
part "a run, and the largest batch that fits" short_runs

engine_predicts() {
	"$ss" infer "$out/short/model.safetensors" "$data" --split val --engine torch --provider "${device%%:*}" --precision "${precision%% *}" --out "$out/engine.arrow"
	"$ss" eval "$out/engine.arrow" --json >"$out/engine.json"
}
part "prediction by the engine" engine_predicts

ort_predicts() {
	"$ss" bench infer "$out/short/model.onnx" --provider cuda --ort-lib "$ort" --batches 64,128,256 | tee "$out/infer.txt"
	"$ss" infer "$out/short/model.onnx" "$data" --split val --provider cuda --ort-lib "$ort" --out "$out/ort.arrow"
	"$ss" eval --compare "$out/engine.arrow" "$out/ort.arrow"
}
[ -z "$ort" ] || part "prediction by ONNX Runtime's CUDA provider" ort_predicts

step "the table"
cat "$out/train.txt" 2>/dev/null || true
[ ${#failed[@]} = 0 ] || die "failed: $(IFS=';'; echo "${failed[*]}"); the rest is in $out"
step "done: $out"
