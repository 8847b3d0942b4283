#!/usr/bin/env bash
# scripts/gpu's kit as it is carried to a machine with a card: packed, unpacked elsewhere and tried whole on the CPU, in little.
# The engine's library is the one set-up built.
set -euo pipefail
cd "$(dirname "$0")/.."
lib=$(realpath "${SYNSHARD_TORCH_LIB:-lib/libsynshard_torch.so}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/gpu/pack.sh "$work/kit.tar.gz"
tar -C "$work" -xzf "$work/kit.tar.gz"
mkdir "$work/tools"
cat >"$work/tools/ncu" <<'NCU' # which runs what it is to look at, and has seen two launches of it
#!/usr/bin/env bash
while [ "${1#--}" != "$1" ]; do [ "$1" != --log-file ] || table=$2; [ "$1" = --csv ] && shift || shift 2; done
"$@" >/dev/null && printf '%s\n' '==PROF== talk' '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"' \
	'"0","bn_sums_bf16_wide(const void *, int)","gpu__time_duration.sum","ns","2,000,000"' '"0","bn_sums_bf16_wide(const void *, int)","dram__bytes.sum","byte","6,000,000,000"' \
	'"1","sgemm<float, 3>(int)","gpu__time_duration.sum","ns","500,000"' '"1","sgemm<float, 3>(int)","dram__bytes.sum","byte","1,000"' >"$table"
NCU
chmod +x "$work/tools/ncu"
for call in 1 2 3 4; do
	(cd "$work" && PATH=$work/tools:$PATH python3 synshard/scripts/gpu/kit.py --call $call --device cpu --tiny --lib "$lib" --out out) >"$work/call-$call" ||
		{ cat "$work/call-$call" "$work/out/log-$call.txt" >&2; exit 1; }
done
# Where the library cannot be built there, the one that was carried along is used: beside a PyTorch of which there is no more than a
# place, which the measuring of limits, in the same stage, finds wanting.
mkdir "$work/place" "$work/place/torch"
printf '__version__ = "0"\nclass version: cuda = None\n' >"$work/place/torch/__init__.py"
cp "$lib" "$work/synshard/bin/libsynshard_torch.so"
(cd "$work" && PYTHONPATH=$work/place python3 synshard/scripts/gpu/kit.py --call 1 --stages build,smoke --device cpu --tiny --out carried) >"$work/call-carried" || true
python3 - "$work/carried/results.ndjson" <<'PY'
import json, sys
results = [json.loads(line) for line in open(sys.argv[1])]
assert any(r.get("fallback") for r in results), f"nothing carried was used: {results}"
assert any(r.get("stage") == "interface" and r.get("ok") for r in results), f"what was carried does not open: {results}"
assert [r["failed"] for r in results if r.get("done")] == [["limits"]], results
PY
python3 - "$work/out/results.ndjson" <<'PY'
import json, sys
results = [json.loads(line) for line in open(sys.argv[1])]
done = {r["stage"] for r in results if r.get("ok")}
want = {"interface", "first steps", "correctness", "steps, run 1", "plain operations", "drawn set, ingest", "steps from shards", "training", "prediction, speed", "kernels", "paths", "step"}
assert want <= done, f"not done: {want - done}"
assert [r["failed"] for r in results if r.get("done")] == [[], [], [], []]
profile = next(r["profile"] for r in results if "profile" in r)
assert (profile["launches"], profile["ms"]) == (2, 2.5) and profile["kernels"][0] == {"kernel": "bn_sums_bf16_wide", "n": 1, "ms": 2.0, "tb_s": 3.0}, profile
assert any(r.get("test") == "TestForward" and r["result"] == "PASS" for r in results)
assert any(r["prediction"]["best"]["images_per_second"] > 0 and r["prediction"]["how"] == "prepared weights" for r in results if "prediction" in r)
assert all(r["steps"]["runs"][0]["images_per_second"] > 0 for r in results if "steps" in r)
print("test-gpu-kit: %d stages done, skipped: %s" % (len(done), "; ".join("%s (%s)" % (r["stage"], r["skipped"]) for r in results if "skipped" in r)))
PY
