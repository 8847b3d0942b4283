#!/usr/bin/env bash
# Everything that holds this project, on a clean checkout: set-up where needed, formatting, vet, staticcheck, the
# layering, every test, the race detector, the engine under the address sanitizer, and the whole road end to end.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
section() { printf '\n== %s (%d s)\n' "$1" "$((SECONDS - started))"; }

section "set-up"
scripts/setup.sh --openvino
scripts/s3server.sh

section "formatting, vet, staticcheck"
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "gofmt: $unformatted" >&2; exit 1; }
go vet ./...
go tool staticcheck ./...
# Versions of clang-format differ; these agree on what .clang-format says.
formatter=
for name in clang-format clang-format-18 clang-format-19 clang-format-20; do
	if [[ $("$name" --version 2>/dev/null) =~ version\ (18|19|20)\. ]]; then formatter=$name; fi
done
if [ -n "$formatter" ]; then
	"$formatter" --dry-run -Werror $(git ls-files 'pixel/*.[ch]' 'infer/openvino/*.[ch]' 'train/torch/shim/*.cpp' 'train/torch/shim/*.h' 'train/torch/shim/*.cu')
else
	echo "C and C++: formatting is not checked, as there is no clang-format of version 18 to 20"
fi

# Two more builds of the engine's library, for the tests of it below, are made of what the tests leave of the processors.
variants=$(mktemp -d)
building=
trap '[ -z "$building" ] || kill -- "-$building" 2>/dev/null || true; rm -rf "$variants"' EXIT
set -m # so that the builds are a process group, which an interrupted run ends whole
nice -n 19 bash -c 'set -e; for kind in sanitize emulate; do train/torch/shim/build.sh --$kind --out "$0/$kind.so"; done' "$variants" >"$variants/log" 2>&1 &
building=$!
set +m

section "tests"
# With set-up done nothing native may be missing: a test that would skip for want of a library fails instead.
export SYNSHARD_TEST_NATIVE=1
go test -timeout 30m ./...

# What it would look at in vain is left out: packages by scripts/raced.sh, tests by internal/raced.
section "race detector"
raced=$(scripts/raced.sh)
go test -race -short -timeout 30m $raced

section "engine under the address sanitizer"
wait "$building" || { cat "$variants/log" >&2; exit 1; }
building=
scripts/test-shim-sanitized.sh "$variants/sanitize.so"

section "the GPU's path, emulated"
scripts/test-shim-emulated.sh "$variants/emulate.so"

section "the kit for a machine with a card, on the CPU"
scripts/test-gpu-kit.sh

section "end to end"
scripts/e2e.sh

section "manifests for Kubernetes, by the API's types"
(cd examples/kubernetes && go vet ./... && go test ./...)

section "a Slurm of two nodes"
scripts/test-slurm.sh

section "passed"
