#!/usr/bin/env bash
# Everything that holds this project, on a clean checkout: set-up where needed, formatting, vet, staticcheck, the
# layering, every test, the race detector, the engine under the address sanitizer, and the whole road end to end.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
section() { printf '\n== %s (%d s)\n' "$1" "$((SECONDS - started))"; }

# What runs beside a stage is a process group of its own, which an interrupted run ends whole.
work=$(mktemp -d)
group=
trap '[ -z "$group" ] || kill -- "-$group" 2>/dev/null || true; rm -rf "$work"' EXIT
beside() {
	set -m
	"$@" >"$work/log" 2>&1 &
	group=$!
	set +m
}
# joined waits for it, and tells what it said where it failed.
joined() {
	wait "$group" || { cat "$work/log" >&2; exit 1; }
	group=
}

section "packages and the binary"
scripts/packages.sh
go build -o bin/synshard ./cmd/synshard

# Most of a set-up is one compiler building the engine's library, which leaves processors for what asks nothing of it.
section "set-up; beside it formatting, vet, staticcheck"
beside bash -c 'set -e; scripts/setup.sh --openvino; scripts/s3server.sh'
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

joined
cat "$work/log"

# Two more builds of the engine's library, for the tests of it below, are made of what the tests leave of the processors.
beside nice -n 19 bash -c 'set -e; for kind in sanitize emulate; do train/torch/shim/build.sh --$kind --out "$0/$kind.so"; done' "$work"

section "tests"
# With set-up done nothing native may be missing: a test that would skip for want of a library fails instead.
export SYNSHARD_TEST_NATIVE=1
# Tests share the processors, and a thread of the engine's that waits for one that has none would do so in a loop.
export OMP_WAIT_POLICY=passive
go test -timeout 30m ./...

# What it would look at in vain is left out: packages by scripts/raced.sh, tests by internal/raced.
section "race detector"
raced=$(scripts/raced.sh)
go test -race -short -timeout 30m $raced

# Each of them is for the most part one thread.
section "engine under the address sanitizer; beside it the GPU's path, emulated"
joined
beside scripts/test-shim-sanitized.sh "$work/sanitize.so"
scripts/test-shim-emulated.sh "$work/emulate.so"
joined
cat "$work/log"

section "end to end; beside it the kit for a machine with a card, on the CPU"
beside scripts/test-gpu-kit.sh
scripts/e2e.sh
joined
cat "$work/log"

section "manifests for Kubernetes, by the API's types"
(cd examples/kubernetes && go vet ./... && go test ./...)

section "a Slurm of two nodes"
scripts/test-slurm.sh

section "passed"
