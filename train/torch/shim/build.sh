#!/usr/bin/env bash
# Builds the training engine's shim against a libtorch (PyTorch 2.9 or later). Needs g++ and nothing else: the same
# sources serve CPU and CUDA, and the library takes CUDA from the libtorch it is built against.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() {
	cat <<'U'
usage: build.sh [--torch DIR] [--out FILE] [--rpath DIR] [--sanitize] [--emulate]
  --torch DIR  the torch package, with lib/ and include/; without it the one that lib/libsynshard_torch.so was built against
  --out FILE   the library to write; without it lib/libsynshard_torch.so of the checkout
  --rpath DIR  where DIR, above the torch package, will lie when the library is opened; $ORIGIN is the library's own place
  --sanitize   with gcc's address sanitizer, to be run with libasan preloaded
  --emulate    for tests: the GPU's path through a step on the CPU, its kernels emulated
U
}
sanitize='' emulate='' torch='' rpath='' built=$here/../../../lib/libsynshard_torch.so
out=$built
while [ $# -gt 0 ]; do
	case $1 in
	--torch | --out | --rpath)
		[ $# -ge 2 ] || { usage >&2; exit 2; }
		case $1 in --torch) torch=$2 ;; --out) out=$2 ;; --rpath) rpath=$2 ;; esac
		shift ;;
	--sanitize) sanitize=1 ;;
	--emulate) emulate=1 ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
die() { echo "build.sh: $*" >&2; exit 1; }
if [ -z "$torch" ]; then
	[ -e "$built" ] || { usage >&2; exit 2; }
	torch=$(readelf -d "$built" | sed -n 's/.*R\(UN\)\?PATH.*\[\([^]:]*\)\/lib[]:].*/\2/p')
	[ -n "$torch" ] || die "lib/libsynshard_torch.so does not say where its libtorch lies; give --torch"
fi
torch=$(cd "$torch" 2>/dev/null && pwd) || die "$torch: no such directory"
[ -e "$torch/include/ATen/ATen.h" ] && [ -e "$torch/lib/libtorch_cpu.so" ] || die "$torch has no include/ATen/ATen.h or no lib/libtorch_cpu.so"

mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$(dirname "$out")/.shim.XXXXXX") # beside its place, so that the last step is a rename
trap 'rm -rf "$work"' EXIT
flags=(-std=c++17 -O3 -fno-math-errno -DNDEBUG -fPIC -fvisibility=hidden -fopenmp -Wall -Wno-unknown-pragmas -Wno-subobject-linkage
	-isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include"
	"-ffile-prefix-map=$torch=torch" "-ffile-prefix-map=$here=shim" "-ffile-prefix-map=$work=shim") # the same bytes wherever they are built
[ -z "$emulate" ] || flags+=(-DSYNSHARD_EMULATED)
[ -z "$sanitize" ] || flags+=(-O1 -g1 -fno-omit-frame-pointer -fsanitize=address)
# torch's own ABI: wheels before 2.6 had the old one, and an existing installation may differ.
abi=$(sed -n 's/.*_GLIBCXX_USE_CXX11_ABI=\([01]\).*/\1/p' "$torch/share/cmake/Torch/TorchConfig.cmake" 2>/dev/null | head -1 || true)
[ -z "$abi" ] || flags+=("-D_GLIBCXX_USE_CXX11_ABI=$abi")

# Gloo's headers are not in libtorch's wheels; its code is. The same goes for the few of CUDA's compiler that the
# runtime's headers name. What stands in for them is looked up last.
last=()
[ -e "$torch/include/gloo/context.h" ] || last+=(-isystem "$here/instead/gloo")
# Recorded steps need CUDA's headers and several GPUs NCCL's: of the wheels beside the package, or of the system.
if [ -e "$torch/lib/libtorch_cuda.so" ]; then
	for dir in "$torch"/../nvidia/*/include "${CUDA_HOME:-/usr/local/cuda}/include"; do
		[ -d "$dir" ] && flags+=(-isystem "$dir")
	done
	last+=(-isystem "$here/instead/cuda")
	has() { printf '#include <%s>\n' "$@" | "${CXX:-g++}" "${flags[@]}" "${last[@]}" -fsyntax-only -x c++ - 2>/dev/null; }
	if has ATen/cuda/CUDAGraph.h; then flags+=(-DSYNSHARD_CUDA); else echo "build.sh: no CUDA headers (cuda_runtime_api.h): steps will not be recorded as CUDA graphs" >&2; fi
	if has cuda_runtime_api.h nccl.h; then flags+=(-DSYNSHARD_NCCL); else echo "build.sh: no NCCL headers: several GPUs cannot train together" >&2; fi
fi
# The kernels go into the library as text.
{ echo 'R"kernels('; sed '/^#pragma once/d' "$here/kernels.h"; cat "$here/kernels.cu"; echo ')kernels"'; } >"$work/kernels.inc"
flags+=(-I "$work" "${last[@]}")

# Torch's headers are most of what the compiler reads, so all files are one unit. Hence what is in a file's nameless
# namespace may not be in another's.
printf '#include "%s"\n' "$here"/*.cpp >"$work/unit.cpp"
"${CXX:-g++}" "${flags[@]}" -c "$work/unit.cpp" -o "$work/unit.o"

# Where the libraries are found at run time: libtorch's own directory and the CUDA wheels beside the package.
above=$(dirname "$torch")
places="$torch/lib" libs=(-ltorch_cpu -lc10)
for dir in "$above"/torch.libs "$above"/nvidia/*/lib; do
	[ ! -d "$dir" ] || places+=":$dir"
done
[ -n "$rpath" ] || rpath=$above
# Registers CUDA's kernels with the dispatcher; nothing here calls it by name, so the linker must be told to keep it.
[ -e "$torch/lib/libtorch_cuda.so" ] && libs+=(-Wl,--push-state,--no-as-needed -ltorch_cuda -lc10_cuda -Wl,--pop-state)
"${CXX:-g++}" -shared -o "$work/shim.so" "$work/unit.o" -L"$torch/lib" "${libs[@]}" -fopenmp \
	-Wl,--disable-new-dtags -Wl,-rpath,"${places//"$above"/"$rpath"}" -Wl,-rpath-link,"$places" -Wl,--allow-shlib-undefined ${sanitize:+-fsanitize=address}
mv "$work/shim.so" "$out"
