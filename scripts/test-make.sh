#!/usr/bin/env bash
# examples/Makefile with a real make: the whole road, what is touched, what has changed, what was interrupted.
#   scripts/test-make.sh SYNSHARD
set -euo pipefail
synshard=$(realpath "$1")
cd "$(dirname "$0")/.."
makefile=$PWD/examples/Makefile
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "test-make: $*" >&2; cat "$dir/log" >&2 2>/dev/null || true; exit 1; }
mkdir "$dir/bin"
ln -s "$synshard" "$dir/bin/synshard"
export PATH=$dir/bin:$PATH SYNSHARD_PROGRESS=off
cd "$dir"
variables=(-f "$makefile" RECIPE=demo CONFIG=recipe.yaml)
made() { # ARGS...: make, with its output in log
	make "${variables[@]}" "$@" >log 2>&1
}
content() { make "${variables[@]}" -q >/dev/null 2>&1 || fail "$1: make -q finds work: $(make "${variables[@]}" -n 2>&1)"; }
draw() { synshard sample --out archives --train-per-synset "$1" --val-per-synset 1 --test-images 8 >/dev/null; }
sums() { sha256sum run/model.safetensors run/model.onnx val.arrow test.parquet accuracy.json; }
recipe() { printf '{epochs: %s, batch: 4, seed: %s, network: {width: 0.05}, eval: {size: 75, resize: 75}, loss: {aux_weight: 0}}\n' "$@" >recipe.yaml; }

# Interrupted while it trains, as by Ctrl-C: every process of the group has the signal.
draw 1
recipe 12 1
env --default-signal=INT setsid make "${variables[@]}" -j2 >log 2>&1 &
group=$!
for _ in $(seq 1200); do grep -qs '"step":2' run/log.ndjson && break; sleep 0.05; done
grep -qs '"step":2' run/log.ndjson || fail "training did not come to its second step"
kill -INT -- "-$group"
wait "$group" && fail "make was not interrupted: this proves nothing"
[ ! -e run/model.onnx ] || fail "the run was done before it was interrupted: this proves nothing"
[ -e dataset/dataset.json ] && [ -n "$(ls run/checkpoints)" ] || fail "an interrupted make left no dataset, or no checkpoint"
made -j2 || fail "an interrupted make does not go on"
grep -q '"text":"continued"' run/log.ndjson || fail "the run began again"
content "a whole make"
[ -e report.html ] && [ -e val.arrow ] && [ -e test.parquet ] && grep -q '"top1"' accuracy.json || fail "not all is made"
first=$(sums)

# Touched: each verb finds out that nothing has changed, and make is content.
touch archives/*
made || fail "over touched archives"
content "after the archives were touched"
[ "$first" = "$(sums)" ] || fail "touched archives changed what is made of them"
touch recipe.yaml
made -j2 || fail "over a touched recipe"
content "after the recipe was touched"
[ "$first" = "$(sums)" ] || fail "a touched recipe changed what is made by it"

# Removed: made anew in the same bytes, as if it had never been interrupted.
rm -r run val.arrow
made -j2 || fail "over a removed run"
content "after the run was removed"
[ "$first" = "$(sums)" ] || fail "a run that was not interrupted ends in other bytes"

# Another recipe: the dataset stays, the model and what hangs on it are made anew.
dataset=$(stat -c %Y.%s dataset/dataset.json)
recipe 1 2
made -j2 || fail "over another recipe"
content "after the recipe was changed"
[ "$dataset" = "$(stat -c %Y.%s dataset/dataset.json)" ] || fail "another recipe made the dataset anew"
second=$(sums)
for made in model.safetensors model.onnx val.arrow test.parquet; do
	[ "$(grep "$made" <<<"$first")" != "$(grep "$made" <<<"$second")" ] || fail "another recipe left $made"
done

# Without --overwrite each verb refuses and says what helps.
draw 2
refused() { # WORDS VERB...
	local words=$1
	shift
	! synshard "$@" >out 2>&1 || fail "synshard $* over other inputs is not refused"
	grep -q -- "$words" out || fail "synshard $* does not say what helps: $(cat out)"
}
refused 'overwrite makes it anew' ingest --train archives/ILSVRC2012_img_train.tar --val archives/ILSVRC2012_img_val.tar \
	--test archives/ILSVRC2012_img_test.tar --devkit archives/ILSVRC2012_devkit_t12.tar.gz --out dataset
refused 'overwrite makes it anew' train dataset --recipe demo --config recipe.yaml --seed 3 --out run
refused 'overwrite' infer run/model.onnx dataset --split train --out val.arrow

# Other images: everything is made anew.
made -j2 || fail "over other archives"
content "after the archives were changed"
third=$(sums)
for made in model.safetensors model.onnx val.arrow test.parquet; do
	[ "$(grep "$made" <<<"$second")" != "$(grep "$made" <<<"$third")" ] || fail "other images left $made"
done
echo "test-make: the road, interrupted, touched, removed, by another recipe and of other images"
