#!/usr/bin/env bash
# The road from archives to accuracy on a very small set, with the checks a user would make by hand: each verb's
# result is there, a second run does nothing, and bad input ends with the exit code of the table.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/synshard" ./cmd/synshard
ln -s "$PWD/lib" "$dir/lib" # what this checkout was set up with
ss() { "$dir/synshard" --progress off "$@"; }
fail() { echo "e2e: $*" >&2; exit 1; }

# expect CODE ARGS...: runs synshard and checks its exit code and that its complaint is one line.
expect() {
	local want=$1 got=0
	shift
	ss "$@" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = "$want" ] || fail "synshard $*: exit $got, want $want: $(cat "$dir/err")"
	[ "$want" = 0 ] || [ "$(wc -l <"$dir/err")" -ge 1 ] || fail "synshard $*: exit $got without a word"
}

a=$dir/archives d=$dir/dataset r=$dir/a_run_whose_name_is_longer_than_a_narrow_window_is_wide
ingest=(ingest --train "$a/ILSVRC2012_img_train.tar" --val "$a/ILSVRC2012_img_val.tar" --test "$a/ILSVRC2012_img_test.tar"
	--devkit "$a/ILSVRC2012_devkit_t12.tar.gz" --out "$d")
train=(train "$d" --out "$r" --recipe demo --epochs 1 --batch 8)

expect 0 sample --out "$a" --train-per-synset 4 --val-per-synset 2 --test-images 100
expect 0 "${ingest[@]}"
sum=$(cd "$d" && find . -type f ! -name '*.lock' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
expect 0 "${ingest[@]}"
[ "$sum" = "$(cd "$d" && find . -type f ! -name '*.lock' -print0 | sort -z | xargs -0 sha256sum | sha256sum)" ] || fail "a second ingest changed the dataset"
expect 0 verify "$d"
expect 0 "${train[@]}"
expect 0 "${train[@]}" # done already
expect 0 infer "$r/model.onnx" "$d" --split val --embedding=fp16 --probabilities all --out "$dir/val.arrow"
expect 0 eval "$dir/val.arrow" --json
grep -q '"top1"' "$dir/out" || fail "eval --json has no top1: $(cat "$dir/out")"
expect 0 report "$r" "$dir/val.arrow" --data "$d" --out "$dir/report.html"
scripts/test-browser.sh "$dir/report.html"
expect 0 model describe inception_v3 --savings --out "$dir/network.html"
scripts/test-browser.sh "$dir/network.html"
scripts/test-make.sh "$dir/synshard"
scripts/test-mlflow.sh "$dir/synshard" "$d"
scripts/test-browser.sh --serve "$dir/synshard" "$d" "$dir/val.arrow" "$r/model.onnx"

# The readers' split has an image that is cut short, which its header does not show: its row has an error.
expect 0 export "$d" --to folder --out "$dir/folder"
image=$(find "$dir/folder/val" -name '*.JPEG' | sort | sed -n 1p)
truncate -s $(($(stat -c %s "$image") * 9 / 10)) "$image"
expect 0 ingest "$dir/folder" --check-images header --out "$dir/short"
expect 3 infer "$r/model.onnx" "$dir/short" --split val --embedding=fp16 --out "$dir/short.arrow"
scripts/test-readers.sh "$dir/synshard" "$dir/short" val "$dir/short.arrow"
scripts/test-publishing.sh "$dir/synshard" "$d" val "$r/model.onnx" "$dir/val.arrow"
scripts/test-learning.sh "$dir/synshard"
scripts/test-nightly.sh "$dir/synshard" "$r/model.onnx" "$a/ILSVRC2012_img_test.tar"

expect 1 ls "$dir/nothing"
expect 1 train "$a" --out "$dir/x"
expect 1 infer "$r/model.onnx" "$dir/nothing" --out "$dir/x.arrow"
expect 1 infer "$a/ILSVRC2012_img_val.tar" "$d" --split val --out "$dir/x.arrow"
expect 2 train
expect 2 eval "$dir/val.arrow" --no-such-flag
expect 6 train "$d" --out "$dir/x" --torch-lib "$dir/nothing.so"
expect 6 infer "$r/model.onnx" "$d" --split val --out "$dir/x.arrow" --ort-lib "$dir/nothing.so"

# A flipped byte in the image data of a shard.
shard=$(find "$d/val" -name 'part-*.arrow' | head -1)
printf '\xff' | dd of="$shard" bs=1 seek=$(($(stat -c %s "$shard") / 2)) conv=notrunc status=none
expect 4 verify "$d"
echo "e2e: the whole road and $(grep -c '^expect [1-9]' "$0") kinds of bad input behave"
