#!/usr/bin/env bash
# A run told to a real MLflow tracking server: one that is away when the run begins, comes, goes and comes again, and has
# in the end one run with every step once, the recipe and the files.
#   scripts/test-mlflow.sh SYNSHARD DATASET
#
# The server is mlflow's of PyPI, of the version below, in a Python environment that is kept. It is large: where it is not
# there the test skips and says so, unless SYNSHARD_TEST_MLFLOW=1, which installs it.
set -euo pipefail
version=3.6.0
synshard=$(realpath "$1") dataset=$(realpath "$2")
cd "$(dirname "$0")/.."
source scripts/kept.bash
# sqlalchemy's bound is one that mlflow does not say that it needs.
if ! kept_python mlflow "${SYNSHARD_TEST_MLFLOW:-}" "mlflow==$version" 'sqlalchemy<2.1'; then
	echo "test-mlflow: skipped: mlflow $version is not in $kept; SYNSHARD_TEST_MLFLOW=1 installs it" >&2
	exit 0
fi
dir=$(mktemp -d)
server=
stop_server() {
	[ -z "$server" ] && return
	kill -- "-$server" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
	server=
}
trap 'stop_server; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
fail() { echo "test-mlflow: $*" >&2; cat "$dir/server.log" "$dir/err" >&2 2>/dev/null || true; exit 1; }
port=$("$kept/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start_server() {
	MLFLOW_TRACKING_URI='' setsid "$kept/bin/mlflow" server --host 127.0.0.1 --port "$port" --workers 1 --backend-store-uri "sqlite:///$dir/mlflow.db" \
		--serve-artifacts --artifacts-destination "$dir/artifacts" >>"$dir/server.log" 2>&1 &
	server=$!
	for _ in $(seq 300); do
		curl -fs -o /dev/null "http://127.0.0.1:$port/health" && return
		sleep 0.2
	done
	fail "the server does not come up"
}
# train CODE ARGS...: one call of the run.
train() {
	local want=$1 got=0
	shift
	"$synshard" --progress lines train "$dataset" --out "$dir/run" --recipe demo --epochs 2 --batch 8 \
		--set network.width=0.1 --set eval.size=96 --set eval.resize=96 --aux-weight 0 --mlflow "http://127.0.0.1:$port" \
		--mlflow-experiment drawn "$@" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = "$want" ] || fail "exit $got, want $want"
}

train 75 --stop-after-steps 2 # nobody is there
grep -q 'warning: mlflow: .*refused; the run goes on' "$dir/err" || fail "nothing is said of a server that is away"
[ "$(grep -c 'the run goes on' "$dir/err")" = 1 ] || fail "it is said more than once"
start_server
train 75 --stop-after-steps 1
stop_server
train 0
start_server
train 0 # there is nothing to do but to tell
train 0
MLFLOW_TRACKING_URI="http://127.0.0.1:$port" "$kept/bin/python" - "$dir/run" <<'EOF' || fail "the server does not have what the run has"
import json, sys, mlflow
lines = [json.loads(l) for l in open(sys.argv[1] + "/log.ndjson")]
steps = {l["step"]: l for l in lines if l["kind"] == "step"}
evals = {l["step"]: l for l in lines if l["kind"] == "eval"}
client = mlflow.MlflowClient()
runs = client.search_runs([client.get_experiment_by_name("drawn").experiment_id])
assert len(runs) == 1, runs
run = runs[0]
assert run.info.status == "FINISHED", run.info.status
for key, want in {"train/loss": {s: l["loss"] for s, l in steps.items()}, "train/cross_entropy": {s: l["cross_entropy"] for s, l in steps.items()},
                  "val/top1": {s: l["raw"]["top1"] for s, l in evals.items()}}.items():
    have = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)]
    assert sorted(have) == sorted(want.items()), (key, sorted(have), sorted(want.items()))
assert run.data.params["epochs"] == "2" and run.data.params["batch"] == "8", run.data.params
assert run.data.tags["made_from.dataset.classes_sha256"], run.data.tags
names = {f.path for f in client.list_artifacts(run.info.run_id)}
assert {"config.yaml", "curves.png", "model.onnx", "model.safetensors"} <= names, names
got = client.download_artifacts(run.info.run_id, "model.onnx")
assert open(got, "rb").read() == open(sys.argv[1] + "/model.onnx", "rb").read()
print(f"test-mlflow: {len(steps)} steps and {len(evals)} validations, each once, {len(run.data.params)} parameters, {len(names)} files")
EOF
