#!/usr/bin/env bash
# The whole road on a small drawn set: archives packed as ILSVRC2012's -> Arrow shards -> Inception-v3 trained from
# nothing -> predictions -> accuracy. Sets the machine up first. Files lie in DIR (default: demo/ in the checkout).
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-demo}

scripts/setup.sh
go build -o bin/synshard ./cmd/synshard
ss=$PWD/bin/synshard
began=$SECONDS

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
step() {
	printf '\n%s$ synshard %s%s\n' "$bold" "$*" "$plain"
	"$ss" "$@"
}

echo 'Training takes most of the time, and says how long after its first steps.'
step doctor
step sample --out "$dir/archives" --train-per-synset 75
step ingest --train "$dir/archives/ILSVRC2012_img_train.tar" --val "$dir/archives/ILSVRC2012_img_val.tar" \
	--test "$dir/archives/ILSVRC2012_img_test.tar" --devkit "$dir/archives/ILSVRC2012_devkit_t12.tar.gz" --out "$dir/dataset"
step ls "$dir/dataset" --tree
step train "$dir/dataset" --recipe demo --out "$dir/run"
step infer "$dir/run/model.onnx" "$dir/dataset" --split val --out "$dir/val.arrow"
step eval "$dir/val.arrow"
step report "$dir/run" "$dir/val.arrow" --data "$dir/dataset" --out "$dir/report.html"

cat <<U

demo: done in $((SECONDS - began)) s after set-up. What it made:
  $dir/archives    the set, packed as ILSVRC2012 is
  $dir/dataset     Arrow shards by synset (open train/ with pyarrow, Polars or Hugging Face datasets)
  $dir/run         checkpoints, log.ndjson, curves.png and model.onnx
  $dir/val.arrow   a prediction for each validation image
  $dir/report.html a page to look at: open it in a browser
U
